"""Encoded test images and their occlusion maps."""

import io

import numpy as np
import pytest
from PIL import Image

from resnet.pictures.samples import encode_image, overlay_occlusion, shown_size


@pytest.mark.parametrize(
    ("side", "kind", "shown"), [(8, "image/png", 8), (72, "image/png", 72), (73, "image/jpeg", 73), (400, "image/jpeg", 144)]
)
def test_small_images_are_not_resized_and_large_ones_are_reduced(side: int, kind: str, shown: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    mime, content = encode_image(image)
    picture = Image.open(io.BytesIO(content))
    assert (mime, picture.size) == (kind, (shown, shown))
    if kind == "image/png":
        np.testing.assert_array_equal(np.asarray(picture), image)


def colours(fall: float, rise: float) -> list[list[int]]:
    """The pixels of the top right cell, where covering lowers the probability, of the bottom left one, and of a third."""
    changes = np.zeros((4, 4), np.float32)
    changes[0, 3], changes[3, 0] = fall, -rise
    _, content = overlay_occlusion(np.full((36, 36, 3), 100, np.uint8), changes)
    pixels = np.asarray(Image.open(io.BytesIO(content))).astype(int)
    return [pixels[8, 136].tolist(), pixels[136, 8].tolist(), pixels[8, 8].tolist()]


def test_support_is_orange_opposition_blue_and_the_rest_grey() -> None:
    orange, blue, grey = colours(0.4, 0.4)
    assert orange[0] > orange[1] + 60 > orange[2] + 120
    assert blue[2] > blue[1] + 60 > blue[0] + 60
    assert np.ptp(grey) < 12


def test_colours_are_relative_to_the_largest_change_but_small_changes_stay_pale() -> None:
    assert np.abs(np.subtract(colours(0.4, 0.1), colours(0.8, 0.2))).max() < 6
    assert np.ptp(colours(0.001, 0.0)[0]) < 12
    assert np.ptp(colours(0.0, 0.0)[0]) < 12


def test_an_overlay_keeps_the_proportions_of_the_image() -> None:
    mime, content = overlay_occlusion(np.zeros((100, 200, 3), np.uint8), np.zeros((2, 4), np.float32))
    assert (mime, Image.open(io.BytesIO(content)).size) == ("image/jpeg", (144, 72))


@pytest.mark.parametrize(
    ("height", "width", "shown"),
    [
        (8, 8, (144, 144)),
        (32, 32, (128, 128)),
        (32, 48, (144, 96)),
        (72, 72, (144, 144)),
        (73, 73, (73, 73)),
        (96, 96, (96, 96)),
        (288, 144, (72, 144)),
        (1, 1000, (144, 1)),
    ],
)
def test_small_images_are_enlarged_by_a_whole_number_and_none_by_less_than_two(
    height: int, width: int, shown: tuple[int, int]
) -> None:
    assert shown_size(height, width) == shown
