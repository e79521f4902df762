"""Resizing in TensorFlow against Pillow, which resizes for training."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from resnet.export.resampling import resize_and_crop
from resnet.images.decoding import resize_and_crop as with_pillow
from tests.pictures import picture


def photograph(width: int, height: int) -> Image.Image:
    """Smooth, with a hard edge and noise."""
    pixels = np.asarray(Image.open(io.BytesIO(picture(width, size=(width, height))))).copy()
    pixels[: height // 3, : width // 2] = 255 - pixels[: height // 3, : width // 2]
    noise = np.random.default_rng(height).integers(-9, 10, pixels.shape)
    return Image.fromarray(np.clip(pixels.astype(int) + noise, 0, 255).astype(np.uint8))


def assert_alike(found: tf.Tensor, expected: np.ndarray) -> None:
    """Equal but for sums that lie on the edge between two levels."""
    difference = np.abs(found.numpy().astype(int) - expected.astype(int))
    assert difference.max() <= 1
    assert np.mean(difference > 0) < 0.002


@pytest.mark.parametrize("size", [(48, 48), (7, 9), (100, 61), (61, 100), (40, 233), (170, 171)])
def test_it_resizes_as_pillow_does(size: tuple[int, int]) -> None:
    image = photograph(*size)
    assert_alike(resize_and_crop(tf.constant(np.asarray(image))[None], 48)[0], with_pillow(image, 48))


def test_images_of_the_right_size_are_left_as_they_are() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    np.testing.assert_array_equal(resize_and_crop(tf.constant(images), 32), images)
