"""The score that refuses images of no class, against the distances that it stands for."""

import numpy as np
import numpy.typing as npt
import pytest

from resnet.training.refusal import MOST_IMAGES, NoKnownScoreError, conformal_threshold, fit_known_score, rows_to_look_at

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
    # Of no class: at the same distances from each other, in directions in which images of a class do not vary.
    weak = np.linalg.svd(SHAPE)[0][:, -10:].sum(axis=1)
    assert (score(MEANS + 12 * weak) < 0).all()
    assert (score(MEANS) > 0.9).all()


def test_new_images_are_refused_as_rarely_as_promised() -> None:
    shares = []
    for seed in range(60):
        training, labels = known(60, 3 * seed)
        score = fit_known_score(training, labels, known(59, 3 * seed + 1)[0], 3)
        shares.append((score(known(300, 3 * seed + 2)[0]) < 0).mean())
    # 3 of 60: each run differs by the luck of its 59 images, and the mean of 60 runs by 0.028 / sqrt(60).
    assert np.mean(shares) == pytest.approx(0.05, abs=4 * 0.028 / 60**0.5)


@pytest.mark.parametrize(("images", "rank"), [(18, None), (19, 1), (38, 1), (39, 2), (99, 5), (179, 9)])
def test_the_threshold_is_a_conformal_quantile(images: int, rank: int | None) -> None:
    distances = np.random.default_rng(0).permutation(np.arange(images, dtype=float))
    assert conformal_threshold(distances, 0.05) == (None if rank is None else images - rank)


def test_without_enough_images_or_differences_there_is_no_score() -> None:
    training, labels = known(100, 0)
    with pytest.raises(NoKnownScoreError, match="it needs at least 19 validation images, not 18"):
        fit_known_score(training, labels, known(18, 1)[0], 3)
    for features, classes in ((np.ones((9, 4), np.float32), np.zeros(9, int)), (training, np.arange(100))):
        with pytest.raises(NoKnownScoreError, match="the training images of each class have equal features"):
            fit_known_score(features, classes, known(40, 1)[0][:, : features.shape[1]], 100)
    means = np.stack([training[labels == label].mean(axis=0, dtype=np.float64) for label in range(3)])
    with pytest.raises(NoKnownScoreError, match="its distances have no threshold: a twentieth of them is nan or more"):
        fit_known_score(training, labels, np.full((40, 40), np.nan, np.float32) + means[0].astype(np.float32), 3)


@pytest.mark.parametrize("size", [1e-20, 1e-10])
def test_features_that_are_too_small_give_no_score(size: float) -> None:
    training, labels = known(100, 0)
    validation, _ = known(40, 1)
    with pytest.raises(NoKnownScoreError, match="the features differ too little or are too large"):
        fit_known_score(training * np.float32(size), labels, validation * np.float32(size), 3)


def apart(ratio: float, offset: float) -> tuple[Features, npt.NDArray[np.int64], Features]:
    """Training images with their labels and validation images of ten classes, with a noise of one.

    Args:
        ratio: the standard deviation of the class means.
        offset: of all features.
    """
    generator = np.random.default_rng(0)
    means = offset + ratio * generator.normal(size=(10, 32))
    labels = generator.integers(0, 10, 1400)
    features = (means[labels] + generator.normal(size=(1400, 32))).astype(np.float32)
    return features[:1000], labels[:1000], features[1000:]


@pytest.mark.parametrize(("ratio", "offset"), [(10, 1000), (30, 3000), (300, 0)])
def test_float32_is_enough_where_classes_are_tight(ratio: float, offset: float) -> None:
    training, labels, validation = apart(ratio, offset)
    found = fit_known_score(training, labels, validation, 10)(validation)
    assert found.dtype == np.float32
    # By definition, with means and covariance in float64.
    means = np.stack([training[labels == label].mean(axis=0, dtype=np.float64) for label in range(10)])
    within = training - means[labels]
    inverse = np.linalg.inv(within.T @ within / 1000 + (within**2).mean() * np.eye(32))
    distances = np.min([np.einsum("ij,jk,ik->i", validation - mean, inverse, validation - mean) for mean in means], axis=0)
    refused = distances > np.sort(distances)[-20]  # the twentieth of 400 is the last that is accepted
    assert (found < 0).mean() == pytest.approx(19 / 400, abs=0.01)
    assert ((found < 0) != refused).mean() <= 0.01


def test_a_score_that_float32_cannot_hold_is_not_made() -> None:
    with pytest.raises(
        NoKnownScoreError, match=r"rounding to float32 changes its answer for \d\.\d % of the validation images"
    ):
        fit_known_score(*apart(1000, 0), 10)


@pytest.mark.parametrize(("images", "refused"), [(19, 0), (38, 0), (39, 1), (59, 2), (99, 4)])
def test_rounding_does_not_decide_on_the_image_at_the_threshold(images: int, refused: int) -> None:
    training, labels = known(400, 0)
    validation, _ = known(images, 1)
    scores = fit_known_score(training, labels, validation, 3)(validation)
    assert (scores < 0).sum() == refused
    last = np.sort(scores)[refused]
    assert last == pytest.approx(1e-3, rel=0.05) or last == pytest.approx(-np.sort(scores)[refused - 1], rel=0.05)


def test_a_class_without_images_changes_nothing() -> None:
    training, labels = known(200, 0)
    validation, _ = known(50, 1)
    with_gap = np.array([0, 2, 3])[labels]  # no image of class 1
    one, other = fit_known_score(training, labels, validation, 3), fit_known_score(training, with_gap, validation, 4)
    np.testing.assert_allclose(one(validation), other(validation), atol=1e-4)


def test_the_rows_are_spread_over_the_split() -> None:
    assert rows_to_look_at(4).tolist() == [0, 1, 2, 3]
    rows = rows_to_look_at(3 * MOST_IMAGES)
    assert (len(rows), rows[0], rows[-1]) == (MOST_IMAGES, 0, 3 * MOST_IMAGES - 1)
