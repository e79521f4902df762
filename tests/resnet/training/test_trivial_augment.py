"""TrivialAugment, compared with the operations of Pillow."""

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from resnet.training.trivial_augment import OPERATIONS, trivial_augment

GENERATOR = np.random.default_rng(0)
# Smooth, so that interpolation matters, and not of full range, so that contrast can be stretched.
COARSE = [GENERATOR.integers(30, 226, (5, 6, 3), dtype=np.uint8) for _ in range(4)]
PICTURES = [Image.fromarray(coarse).resize((24, 20), Image.Resampling.BICUBIC) for coarse in COARSE]
IMAGES = np.stack([np.asarray(picture) for picture in PICTURES])


def apply(name: str, level: int, *, up: bool = True) -> np.ndarray:
    """An operation at one of the 31 levels, 0 to 30."""
    draws = [(OPERATIONS.index(name) + 0.5) / len(OPERATIONS), (level + 0.5) / 31, 0.75 if up else 0.25]
    found = trivial_augment(tf.constant(IMAGES), tf.constant([draws] * len(IMAGES), tf.float32))
    assert found.dtype == tf.uint8
    return np.asarray(found)


@pytest.mark.parametrize("level", [0, 12, 30])
@pytest.mark.parametrize("up", [True, False])
@pytest.mark.parametrize(
    ("name", "enhance"),
    [
        ("brightness", ImageEnhance.Brightness),
        ("color", ImageEnhance.Color),
        ("contrast", ImageEnhance.Contrast),
        ("sharpness", ImageEnhance.Sharpness),
    ],
)
def test_blends_equal_those_of_pillow(name: str, enhance: Callable[..., ImageEnhance._Enhance], level: int, up: bool) -> None:
    factor = 1 + (1 if up else -1) * 0.99 * level / 30
    expected = np.stack([np.asarray(enhance(picture).enhance(factor)) for picture in PICTURES])
    found = apply(name, level, up=up)
    # Pillow rounds the simpler image and truncates the result.
    assert np.abs(found.astype(int) - expected).max() <= 2
    assert (level == 0) == np.array_equal(found, IMAGES)


@pytest.mark.parametrize(
    ("name", "level", "pillows"),
    [
        ("posterize", 0, lambda picture: ImageOps.posterize(picture, 8)),
        ("posterize", 10, lambda picture: ImageOps.posterize(picture, 6)),
        ("posterize", 30, lambda picture: ImageOps.posterize(picture, 2)),
        ("solarize", 0, lambda picture: ImageOps.solarize(picture, 255)),
        ("solarize", 15, lambda picture: ImageOps.solarize(picture, 128)),  # the threshold is 127.5
        ("solarize", 30, ImageOps.invert),
        ("identity", 30, lambda picture: picture),
    ],
)
def test_operations_on_single_pixels_equal_those_of_pillow(name: str, level: int, pillows: Callable[..., Image.Image]) -> None:
    np.testing.assert_array_equal(apply(name, level), np.stack([np.asarray(pillows(picture)) for picture in PICTURES]))


def test_autocontrast_equals_that_of_pillow() -> None:
    expected = np.stack([np.asarray(ImageOps.autocontrast(picture)) for picture in PICTURES])
    assert np.abs(apply("autocontrast", 0).astype(int) - expected).max() <= 1
    flat = tf.fill((1, 8, 8, 3), tf.constant(7, tf.uint8))
    assert np.unique(np.asarray(trivial_augment(flat, tf.constant([[0.999, 0.5, 0.5]])))).tolist() == [7]


@pytest.mark.parametrize("level", [0, 4, 30])
@pytest.mark.parametrize(
    ("name", "matrix"),
    [
        ("shear_x", lambda share: (1, 0.99 * share, 0, 0, 1, 0)),
        ("shear_y", lambda share: (1, 0, 0, 0.99 * share, 1, 0)),
        ("translate_x", lambda share: (1, 0, 32 * share, 0, 1, 0)),
        ("translate_y", lambda share: (1, 0, 0, 0, 1, 32 * share)),
    ],
)
def test_shears_and_translations_equal_those_of_pillow(
    name: str, matrix: Callable[[float], tuple[float, ...]], level: int
) -> None:
    found = apply(name, level).astype(int)
    a, b, c, d, e, f = matrix(level / 30)
    x, y = np.meshgrid(np.arange(24), np.arange(20))
    across, down = a * x + b * y + c, d * x + e * y + f
    inside = (across >= 0) & (across <= 23) & (down >= 0) & (down <= 19)
    outside = (across <= -1) | (across >= 24) | (down <= -1) | (down >= 20)
    for picture, result in zip(PICTURES, found, strict=True):
        # The origin is the corner of the first pixel in Pillow and its centre here: a sheared image moves by half of its slope.
        centred = (a, b, c - b / 2, d, e, f - d / 2)
        expected = picture.transform(picture.size, Image.Transform.AFFINE, centred, resample=Image.Resampling.BILINEAR)
        assert np.abs(result - np.asarray(expected))[inside].max(initial=0) <= 1
        assert result[outside].max(initial=0) == 0


def test_a_rotation_turns_about_the_centre() -> None:
    level = 20  # of 30: two thirds of 135 degrees
    side = IMAGES[:, :, :20]
    draws = [
        [(OPERATIONS.index("rotate") + 0.5) / len(OPERATIONS), (level + 0.5) / 31, direction] for direction in (0.25, 0.75)
    ]
    found = np.asarray(trivial_augment(tf.constant(side[:2]), tf.constant(draws, tf.float32)))
    turned = [np.rot90(side[0], 1), np.rot90(side[1], -1)]
    if not np.array_equal(found[0], turned[0]):
        turned = [np.rot90(side[0], -1), np.rot90(side[1], 1)]  # which one is clockwise does not matter
    np.testing.assert_array_equal(found, np.stack(turned))


def test_all_operations_and_levels_are_equally_likely() -> None:
    draws = np.asarray(tf.random.stateless_uniform((26_000, 3), (0, 1)))
    image = tf.fill((26_000, 2, 4, 3), tf.constant(100, tf.uint8))
    only = draws.copy()
    only[:, 0] = (OPERATIONS.index("brightness") + 0.5) / len(OPERATIONS)
    values, counts = np.unique(np.asarray(trivial_augment(image, tf.constant(only)))[:, 0, 0, 0], return_counts=True)
    assert len(values) == 61  # 30 darker, 30 brighter, and the unchanged image from both directions
    assert counts[values == 100] == pytest.approx(26_000 / 31, abs=100)
    chosen = np.bincount((draws[:, 0] * len(OPERATIONS)).astype(int))
    assert np.abs(chosen - 2000).max() < 200


def test_the_change_of_an_image_does_not_depend_on_its_batch() -> None:
    draws = np.asarray(tf.random.stateless_uniform((4, 3), (3, 1)))
    together = np.asarray(trivial_augment(tf.constant(IMAGES), tf.constant(draws)))
    for number in range(4):
        alone = trivial_augment(tf.constant(IMAGES[number : number + 1]), tf.constant(draws[number : number + 1]))
        np.testing.assert_array_equal(np.asarray(alone)[0], together[number])
