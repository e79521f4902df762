"""The score that refuses images of no class, against the distances that it stands for."""

import numpy as np
import numpy.typing as npt
import pytest

from resnet.training.refusal import MOST_IMAGES, conformal_threshold, fit_known_score, rows_to_look_at

Features = npt.NDArray[np.float32]
MEANS = np.random.default_rng(7).uniform(0, 3, (3, 40))
SHAPE = np.random.default_rng(8).normal(size=(40, 40)) * np.geomspace(2, 0.05, 40)


def known(images: int, seed: int) -> tuple[Features, npt.NDArray[np.int64]]:
    """Features of images of three classes, and their labels."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, images)
    return (MEANS[labels] + generator.normal(size=(images, 40)) @ SHAPE.T).astype(np.float32), labels


def test_it_is_the_distance_to_the_nearest_mean_with_its_threshold_at_zero() -> None:
    training, labels = known(400, 0)
    validation, _ = known(99, 1)
    score = fit_known_score(training, labels, validation, 3)
    assert score is not None
    # All directions by the definition of Mahalanobis's distance; the score leaves out the eight weakest of forty.
    means = np.stack([training[labels == label].mean(axis=0) for label in range(3)]).astype(np.float64)
    within = training - means[labels]
    covariance = within.T @ within / 400 + (within**2).mean() * np.eye(40)
    inverse = np.linalg.inv(covariance)
    distances = np.min([np.einsum("ij,jk,ik->i", validation - mean, inverse, validation - mean) for mean in means], axis=0)
    expected = 1 - distances / np.sort(distances)[-5]
    np.testing.assert_allclose(score(validation), expected, atol=0.01)
    assert (score(validation) < 0).sum() == 4  # the fifth of 99 is on the threshold


def test_it_tells_foreign_features() -> None:
    training, labels = known(400, 0)
    score = fit_known_score(training, labels, known(200, 1)[0], 3)
    assert score is not None
    # Of no class: at the same distances from each other, in directions in which images of a class do not vary.
    weak = np.linalg.svd(SHAPE)[0][:, -10:].sum(axis=1)
    assert (score(MEANS + 12 * weak) < 0).all()
    assert (score(MEANS) > 0.9).all()


def test_new_images_are_refused_as_rarely_as_promised() -> None:
    shares = []
    for seed in range(60):
        training, labels = known(60, 3 * seed)
        score = fit_known_score(training, labels, known(59, 3 * seed + 1)[0], 3)
        assert score is not None
        shares.append((score(known(300, 3 * seed + 2)[0]) < 0).mean())
    # 3 of 60: each run differs by the luck of its 59 images, and the mean of 60 runs by 0.028 / sqrt(60).
    assert np.mean(shares) == pytest.approx(0.05, abs=4 * 0.028 / 60**0.5)


@pytest.mark.parametrize(("images", "rank"), [(18, None), (19, 1), (38, 1), (39, 2), (99, 5), (179, 9)])
def test_the_threshold_is_a_conformal_quantile(images: int, rank: int | None) -> None:
    distances = np.random.default_rng(0).permutation(np.arange(images, dtype=float))
    assert conformal_threshold(distances, 0.05) == (None if rank is None else images - rank)


def test_without_enough_images_or_differences_there_is_no_score() -> None:
    training, labels = known(100, 0)
    assert fit_known_score(training, labels, known(18, 1)[0], 3) is None
    assert fit_known_score(np.ones((9, 4), np.float32), np.zeros(9, int), np.ones((40, 4), np.float32), 2) is None


def test_a_class_without_images_changes_nothing() -> None:
    training, labels = known(200, 0)
    validation, _ = known(50, 1)
    with_gap = np.array([0, 2, 3])[labels]  # no image of class 1
    one, other = fit_known_score(training, labels, validation, 3), fit_known_score(training, with_gap, validation, 4)
    assert one is not None
    assert other is not None
    np.testing.assert_allclose(one(validation), other(validation), atol=1e-4)


def test_the_rows_are_spread_over_the_split() -> None:
    assert rows_to_look_at(4).tolist() == [0, 1, 2, 3]
    rows = rows_to_look_at(3 * MOST_IMAGES)
    assert (len(rows), rows[0], rows[-1]) == (MOST_IMAGES, 0, 3 * MOST_IMAGES - 1)
