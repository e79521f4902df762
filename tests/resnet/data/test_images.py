"""Decoding and resizing."""

import io

import numpy as np
import pytest
from PIL import Image

from resnet.data.images import decode, resize_and_crop
from resnet.errors import UserError


def encode(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "1", "RGBA"])
def test_every_image_becomes_rgb(mode: str) -> None:
    image = decode(encode(Image.new(mode, (5, 4)), "PNG"), "x")
    assert (image.mode, image.size) == ("RGB", (5, 4))


def test_pixels_survive() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    np.testing.assert_array_equal(np.asarray(decode(encode(Image.fromarray(pixels), "PNG"), "x")), pixels)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_an_image_that_breaks_off_is_named(kind: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    encoded = encode(Image.fromarray(pixels), kind)
    with pytest.raises(UserError, match="a/b cannot be decoded as an image"):
        decode(encoded[: len(encoded) // 2], "a/b")
    with pytest.raises(UserError, match="a/b cannot be decoded as an image"):
        decode(b"not an image", "a/b")


@pytest.mark.parametrize("size", [(64, 64), (100, 64), (64, 100), (33, 500), (8, 8), (7, 9)])
def test_any_image_becomes_a_square_of_the_size(size: tuple[int, int]) -> None:
    assert resize_and_crop(Image.new("RGB", size), 32).shape == (32, 32, 3)


def test_the_middle_is_kept_and_the_aspect_too() -> None:
    pixels = np.zeros((40, 120, 3), dtype=np.uint8)
    pixels[:, 40:80] = 255  # a white square in the middle of a black strip
    np.testing.assert_array_equal(resize_and_crop(Image.fromarray(pixels), 40), 255)


def test_resizing_is_antialiased() -> None:
    stripes = np.zeros((256, 256, 3), dtype=np.uint8)
    stripes[:, ::2] = 255  # finer than the result can show: picking pixels would give all black or all white
    assert np.abs(resize_and_crop(Image.fromarray(stripes), 32).astype(int) - 128).max() < 20
