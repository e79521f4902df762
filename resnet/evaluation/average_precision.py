"""Average precision of the classes, and how much each image contributes to it.

The average precision is that of scikit-learn: the mean, over the images that have the class, of the precision among all images
with logits at least as high. It is 1 where these images come first, and about their share where the order is random.
"""

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score


def average_precisions(truth: npt.NDArray[np.bool_], logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """(classes,) the average precision of each class; NaN for a class that no image has, which has none.

    Args:
        truth: (images, classes) whether an image has a class.
        logits: (images, classes). Any function of them that rises, such as the probability, gives the same numbers.
    """
    found = np.full(truth.shape[1], np.nan)
    for number in np.flatnonzero(truth.any(axis=0)):
        found[number] = average_precision_score(truth[:, number], logits[:, number])
    return found


def influence_on_average_precision(truth: npt.NDArray[np.bool_], logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """(images,) the derivative of a class's average precision by the weight of each image in the test set, all weights being 1.

    The sum over all images is 0, since it does not matter if all images come twice. It takes one sorting.

    Args:
        truth: (images,) whether an image has the class; at least one has.
        logits: (images,) of the class.
    """
    order = np.argsort(-logits, kind="stable")
    falling = -logits[order]
    positives = np.flatnonzero(truth[order])
    above = np.searchsorted(falling, falling[positives], side="right")  # images with logits at least as high
    precision = np.searchsorted(positives, above, side="left") / above
    # A weight changes numerator and denominator of the precision at each positive whose logit is not higher.
    not_higher = np.searchsorted(falling[positives], falling, side="left")
    found = -_from_place_on(precision / above)[not_higher]
    found[positives] += _from_place_on(1 / above)[not_higher[positives]] + precision - precision.mean()
    influence = np.empty(len(order))
    influence[order] = found / len(positives)
    return influence


def _from_place_on(terms: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(terms + 1,): the sum of the terms from each place on."""
    return np.append(terms[::-1].cumsum()[::-1], 0.0)
