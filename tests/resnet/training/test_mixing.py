"""Mixup and CutMix, compared with their definitions."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from resnet.training.mixing import draw_shares, mix

IMAGES = np.random.default_rng(0).normal(size=(4, 10, 12, 3)).astype(np.float32)
LABELS = np.array([3, 1, 0, 2], np.uint16)
OTHERS = IMAGES[[1, 2, 3, 0]]


def apply(draws: list[list[float]], **which: bool) -> tuple[np.ndarray, ...]:
    return tuple(np.asarray(part) for part in mix(tf.constant(IMAGES), tf.constant(LABELS), tf.constant(draws), **which))


def test_mixup_is_a_weighted_mean_with_the_next_image() -> None:
    shares = np.array([0.0, 0.25, 0.9, 1.0], np.float32)
    images, labels, others, found = apply([[0.1, share, 0.5, 0.5, 0.5] for share in shares], mixup=True, cutmix=False)
    expected = shares[:, None, None, None] * IMAGES + (1 - shares[:, None, None, None]) * OTHERS
    np.testing.assert_allclose(images, expected, rtol=1e-6)
    np.testing.assert_array_equal(labels, LABELS)
    np.testing.assert_array_equal(others, [1, 0, 2, 3])
    np.testing.assert_array_equal(found, shares)


def test_cutmix_pastes_a_rectangle_of_the_next_image() -> None:
    # A quarter of the area: 5 x 6 pixels, of which halves of 2 and 3 lie on both sides of the middle.
    images, _, _, shares = apply([[0.9, 0.3, 0.75, 0.5, 0.5]] * 3 + [[0.9, 0.3, 0.75, 0.0, 0.99]], mixup=False, cutmix=True)
    expected = IMAGES.copy()
    expected[:3, 3:7, 3:9] = OTHERS[:3, 3:7, 3:9]
    expected[3, :2, 8:] = OTHERS[3, :2, 8:]  # cut off at the border
    np.testing.assert_array_equal(images, expected)
    np.testing.assert_allclose(shares, [1 - 24 / 120] * 3 + [1 - 8 / 120], rtol=1e-6)


def test_with_both_each_image_gets_one_of_them() -> None:
    images, _, _, shares = apply([[0.49, 0.5, 0.0, 0.5, 0.5], [0.51, 0.5, 0.0, 0.5, 0.5]] * 2, mixup=True, cutmix=True)
    np.testing.assert_array_equal(images[::2], OTHERS[::2])  # the rectangle covers the whole image
    np.testing.assert_allclose(images[1::2], (IMAGES[1::2] + OTHERS[1::2]) / 2, rtol=1e-6)
    np.testing.assert_allclose(shares, [0.0, 0.5] * 2, atol=1e-6)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_shares_have_the_beta_distribution(alpha: float) -> None:
    shares = np.asarray(draw_shares(5000, alpha, tf.constant((1, 2))))
    assert shares.shape == (5000, 1)
    assert stats.kstest(shares[:, 0].astype(np.float64), stats.beta(alpha, alpha).cdf).pvalue > 0.01
    np.testing.assert_array_equal(shares, np.asarray(draw_shares(5000, alpha, tf.constant((1, 2)))))
    assert not np.array_equal(shares, np.asarray(draw_shares(5000, alpha, tf.constant((1, 3)))))


def test_without_alpha_images_are_not_mixed() -> None:
    assert np.unique(np.asarray(draw_shares(10, 0.0, tf.constant((1, 2))))).tolist() == [1.0]
