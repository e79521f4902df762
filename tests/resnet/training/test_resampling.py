"""Boxes that are resized on the device, compared with Pillow, which resizes one image at a time."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from resnet.training.resampling import resample

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 40, 40, 3), dtype=np.uint8)
# In shares: the whole image, a middle, and a flat box at an edge; as top, left, bottom, right.
BOXES = np.array([[0, 0, 1, 1], [0.2, 0.3, 0.9, 0.85], [0.75, 0.1, 1, 0.9]], np.float32)


@pytest.mark.parametrize("size", [7, 16, 40, 64])
def test_the_pixels_are_those_of_pillow(size: int) -> None:
    found = np.asarray(resample(tf.constant(IMAGES), tf.constant(BOXES), size)).astype(int)
    for image, box, result in zip(IMAGES, BOXES.astype(float) * 40, found, strict=True):
        top, left, bottom, right = box
        wanted = Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR, box=(left, top, right, bottom))
        # Pillow rounds between its two passes.
        assert np.abs(result - np.asarray(wanted, dtype=int)).max() <= 1


def test_a_fine_pattern_becomes_grey_instead_of_a_coarse_pattern() -> None:
    stripes = np.zeros((1, 40, 40, 3), np.uint8)
    stripes[:, :, ::2] = 255
    found = np.asarray(resample(tf.constant(stripes), tf.constant([[0.0, 0.0, 1.0, 1.0]]), 10))
    assert np.abs(found.astype(int) - 127.5).max() <= 20
    picked = np.asarray(tf.image.resize(stripes, (10, 10)))  # without antialiasing: the two pixels in the middle of four
    assert np.abs(picked - 127.5).max() < 1  # here by luck, and not at other ratios:
    assert np.ptp(np.asarray(tf.image.resize(stripes, (13, 13)))) > 200
    assert np.ptp(np.asarray(resample(tf.constant(stripes), tf.constant([[0.0, 0.0, 1.0, 1.0]]), 13))[0, :, 1:-1]) < 60


def test_an_image_does_not_depend_on_its_batch() -> None:
    together = np.asarray(resample(tf.constant(IMAGES), tf.constant(BOXES), 24))
    for number in range(3):
        part = slice(number, number + 1)
        alone = resample(tf.constant(IMAGES[part]), tf.constant(BOXES[part]), 24)
        np.testing.assert_array_equal(np.asarray(alone), together[part])
