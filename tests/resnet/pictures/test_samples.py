"""Encoded test images and their heat maps."""

import io

import numpy as np
import pytest
from PIL import Image

from resnet.pictures.samples import encode_image, overlay_heat_map


@pytest.mark.parametrize(("side", "kind", "shown"), [(8, "image/png", 8), (48, "image/png", 48), (400, "image/jpeg", 144)])
def test_small_images_are_not_resized_and_large_ones_are_reduced(side: int, kind: str, shown: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    mime, content = encode_image(image)
    picture = Image.open(io.BytesIO(content))
    assert (mime, picture.size) == (kind, (shown, shown))
    if kind == "image/png":
        np.testing.assert_array_equal(np.asarray(picture), image)


def test_a_heat_map_is_bright_in_colour_and_the_rest_is_grey() -> None:
    heat = np.zeros((4, 4), np.uint8)
    heat[0, 3] = 255
    _, content = overlay_heat_map(np.full((32, 32, 3), 100, np.uint8), heat)
    pixels = np.asarray(Image.open(io.BytesIO(content))).astype(int)
    assert pixels[10, 130].sum() > pixels[130, 10].sum() + 150
    assert np.ptp(pixels[130, 10]) < 12


def test_an_overlay_keeps_the_proportions_of_the_image() -> None:
    mime, content = overlay_heat_map(np.zeros((40, 80, 3), np.uint8), np.zeros((2, 4), np.uint8))
    assert (mime, Image.open(io.BytesIO(content)).size) == ("image/jpeg", (144, 72))
