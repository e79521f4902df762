"""Fits the score that refuses images which show none of the classes: `resnet.network.known_score` says what it is."""

import math

import numpy as np
import numpy.typing as npt
from sklearn.utils.extmath import randomized_svd

from resnet.network.known_score import KnownScore, is_usable

REFUSED = 0.05  # share of the validation images
MOST_IMAGES = 5000  # training images that are looked at: their pass takes at most a thirtieth of ten epochs
# With 32 directions the smallest AUROC of five foreign data sets was 0.976 for the digits; with 8 0.980, with 64 0.977. For
# CIFAR-10 against digits it was 0.858 with 8, 0.914 with 32, 0.903 with 64.
_DIRECTIONS = 32

# The threshold is above the distance of the last accepted image by this share of it, or less if the next image is near: the
# engines round differently, by about 1e-5.
_MARGIN = 1e-3
_MOST_ROUNDED = 0.01  # share of the validation images that float32 may move over the threshold

Features = npt.NDArray[np.floating]


class NoKnownScoreError(ValueError):
    """There can be no known score; the message is the reason, as a clause."""


def rows_to_look_at(images: int) -> npt.NDArray[np.int64]:
    """Rows of the training split, spread over it, because it is sorted by path and so often by class."""
    return np.linspace(0, images - 1, min(images, MOST_IMAGES)).astype(np.int64)


def fit_known_score(training: Features, labels: npt.NDArray[np.integer], validation: Features, classes: int) -> KnownScore:
    """The score for a trained network.

    The covariance within the classes is that of the strongest directions. The mean variance of a feature is added to it in
    every direction, so that directions in which the few training images do not vary do not decide.

    Args:
        training: (images, features) of training images.
        labels: (images,) their classes.
        validation: (images, features) of validation images. They set the threshold.
        classes: number of classes.

    Raises:
        NoKnownScoreError: there are too few validation images for a threshold, images of one class have equal features, or
            float32 cannot hold the score.
    """
    means = _class_means(training, labels, classes)
    within = np.asarray(training, np.float64) - means[labels]
    features = within.shape[1]
    ridge = float((within**2).mean())
    if not ridge:
        raise NoKnownScoreError("the training images of each class have equal features, as where a class has one image")
    count = min(_DIRECTIONS, features, len(within))
    # Halko et al. (2011). For 1,272 images of 2,048 features it takes a tenth of the processor time of LAPACK's eigenvectors.
    _, spread, rows = randomized_svd(within / math.sqrt(len(within)), count, n_iter=3, random_state=0)
    # The inverse of the covariance is I / ridge - D D', with these columns D.
    directions = rows.T * np.sqrt(1 / ridge - 1 / (spread**2 + ridge))
    found = _as_layer(means, directions, 1 / ridge)
    farthest = _threshold(1 - found.exact(validation))
    # In float32 from here on, as every engine computes.
    farthest *= _threshold(1 - _rounded(found, farthest)(validation).astype(np.float64))
    score = _rounded(found, farthest)
    moved = float(((score(validation) < 0) != (found.exact(validation) < 1 - farthest)).mean())
    if moved > _MOST_ROUNDED:
        raise NoKnownScoreError(
            f"rounding to float32 changes its answer for {100 * moved:.1f} % of the validation images: the images of a class "
            "are too much alike for the distances between classes"
        )
    return score


def _threshold(distances: npt.NDArray[np.float64]) -> float:
    """The distance from which on images are refused: above that of the last accepted one, but below the next one."""
    last = conformal_threshold(distances, REFUSED)
    if last is None:
        raise NoKnownScoreError(f"it needs at least {math.ceil(1 / REFUSED) - 1} validation images, not {len(distances)}")
    if not 0 < last < math.inf:
        raise NoKnownScoreError(f"its distances have no threshold: a twentieth of them is {last:g} or more")
    following = distances[distances > last].min(initial=math.inf)
    return min((1 + _MARGIN) * last, (last + following) / 2)


def _rounded(found: KnownScore, farthest: float) -> KnownScore:
    """The score with its threshold at this distance, in float32."""
    count, root = found.directions, math.sqrt(farthest)
    with np.errstate(over="ignore"):
        score = KnownScore(
            found.middle,
            np.concatenate([found.kernel[:, :count] / root, found.kernel[:, count:] / farthest], axis=1).astype(np.float32),
            np.concatenate([found.bias[:count] / root, found.bias[count:] / farthest]).astype(np.float32),
            float(np.float32(found.scale / farthest)),
            count,
        )
    if not is_usable(score):
        raise NoKnownScoreError("the features differ too little or are too large for numbers in float32")
    return score


def conformal_threshold(distances: npt.NDArray[np.float64], refused: float) -> float | None:
    """The distance that a new image of the same kind exceeds with a probability of at most `refused`.

    Of n distances it is the k-th largest, k being the whole part of refused (n + 1): a new image is farther than that with a
    probability of k / (n + 1), whatever the distribution (Vovk et al., "Algorithmic Learning in a Random World", 2005).

    Returns:
        The threshold; None if k is zero.
    """
    rank = math.floor(refused * (len(distances) + 1) + 1e-9)
    return float(np.sort(distances)[-rank]) if rank else None


def _class_means(features: Features, labels: npt.NDArray[np.integer], classes: int) -> npt.NDArray[np.float64]:
    """(classes, features). A class without images gets the mean of another one, which changes no distance."""
    means = np.stack([features[labels == label].mean(axis=0, dtype=np.float64) for label in np.unique(labels)])
    places = np.searchsorted(np.unique(labels), np.arange(classes)).clip(max=len(means) - 1)
    return np.asarray(means[places])


def _as_layer(means: npt.NDArray[np.float64], directions: npt.NDArray[np.float64], scale: float) -> KnownScore:
    """The squared distance to the nearest mean, with its threshold at one: the square is multiplied out."""
    middle = means.mean(axis=0).astype(np.float32)
    centred = means - middle
    # The matrix of the distance, I scale - D D', times the means.
    weighted = scale * centred - (centred @ directions) @ directions.T
    bias = np.concatenate([np.zeros(directions.shape[1]), (centred * weighted).sum(axis=1)])
    return KnownScore(middle, np.concatenate([directions, -2.0 * weighted.T], axis=1), bias, scale, directions.shape[1])
