"""Intervals of the figures of images with several labels each, by the infinitesimal jackknife over images.

The deviation is the one that drawing images with replacement gives (the bootstrap, Efron 1979) to first order. It comes from
the derivative of a figure by the weight of each image in the test set, so from one pass over the images: Efron,
"The Jackknife, the Bootstrap and Other Resampling Plans" (1982), chapter 6. The interval is normal for the log-odds of a share,
as recommended in Boyd, Eng and Page, "Area under the Precision-Recall Curve: Point Estimates and Confidence Intervals" (2013).

How many of 300 simulated test sets had the true mean average precision in the 95 % interval:

| classes, each in a share of the images, mean | test images | percentiles of 1,000 drawn test sets | here |
|---|---|---|---|
| 5, from 5 to 50 %, 0.77 | 60, 150, 344, 1,000 | 84, 93, 94, 92 % | 81, 92, 94, 92 % |
| 10, in 5 %, 0.53 | 60, 150, 344, 1,000 | 66, 78, 85, 93 % | 66, 83, 89, 95 % |
| 10, in 30 %, 0.99 | 60, 150, 344, 1,000 | 94, 96, 93, 95 % | 95, 96, 94, 95 % |

Intervals of single classes had the true value in 87 to 96 % by drawing and in 89 to 96 % here. With few images of a class both
are too narrow, as the average precision of few images is too high on average. For 30,000 images and 80 classes drawing took
32 s, and this 0.4 s, with ends that differ by 0.0001.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit
from scipy.stats import norm

from resnet.core.row_blocks import row_blocks
from resnet.evaluation.average_precision import influence_on_average_precision
from resnet.evaluation.metrics import CONFIDENCE

_LEAST = 1e-9  # a deviation below it is rounding
_REACH = float(norm.ppf((1 + CONFIDENCE) / 2))  # in standard deviations


@dataclass(frozen=True)
class Intervals:
    """95 % intervals. A figure that no image's weight changes has none, such as that of a network without a mistake.

    Attributes:
        figures: the bounds by name, of those of mean_average_precision, macro_f1, micro_f1 and loss that have an interval.
        average_precision: (2, classes) the lower and upper bounds of each class; NaN where there is no interval.
    """

    figures: dict[str, tuple[float, float]]
    average_precision: npt.NDArray[np.float64]


def intervals(
    truth: npt.NDArray[np.bool_],
    predicted: npt.NDArray[np.bool_],
    logits: npt.NDArray[np.float32],
    losses: npt.NDArray[np.float64],
    precisions: npt.NDArray[np.float64],
) -> Intervals:
    """The intervals of all figures.

    Args:
        truth: (images, classes) whether an image has a class.
        predicted: (images, classes) whether it is predicted to have it.
        logits: (images, classes).
        losses: (images,).
        precisions: (classes,) the average precisions; NaN for a class that no image has.
    """
    images, classes = truth.shape
    some = np.flatnonzero(~np.isnan(precisions))
    of_mean, of_classes = np.zeros(images), np.full((2, classes), np.nan)
    for number in some:
        of_class = influence_on_average_precision(truth[:, number], logits[:, number])
        of_classes[:, number] = _of_share(precisions[number], of_class) or (np.nan, np.nan)
        of_mean += of_class / len(some)
    (macro, of_macro), (micro, of_micro) = _influences_on_f1(truth, predicted)
    loss, deviation = float(losses.mean()), float(losses.std()) / sqrt(images)
    found = {
        "mean_average_precision": _of_share(precisions[some].mean(), of_mean) if len(some) else None,
        "macro_f1": _of_share(macro, of_macro),
        "micro_f1": _of_share(micro, of_micro),
        "loss": (loss - _REACH * deviation, loss + _REACH * deviation) if deviation >= _LEAST else None,
    }
    return Intervals({name: bounds for name, bounds in found.items() if bounds}, of_classes)


def f1_scores(hits: npt.NDArray[np.int64], total: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Macro and micro F1.

    F1 = 2 TP / (2 TP + FP + FN). The macro F1 is the mean over the classes that have images or predictions; of the others the
    F1 is not defined. Both are 0 if there is no such class.

    Args:
        hits: (classes,) the number of images that have a class and are predicted to have it.
        total: (classes,) the images that have the class plus those that are predicted to have it.
    """
    of_classes = 2 * hits / np.maximum(total, 1)
    return float(of_classes.sum() / max((total > 0).sum(), 1)), float(2 * hits.sum() / max(total.sum(), 1))


def _influences_on_f1(
    truth: npt.NDArray[np.bool_], predicted: npt.NDArray[np.bool_]
) -> tuple[tuple[float, npt.NDArray[np.float64]], tuple[float, npt.NDArray[np.float64]]]:
    """Macro and micro F1, each with (images,) its derivatives by the weights of the images."""
    hits = np.count_nonzero(truth & predicted, axis=0)
    total = np.count_nonzero(truth, axis=0) + np.count_nonzero(predicted, axis=0)
    macro, micro = f1_scores(hits, total)
    of_classes = 2 * hits / np.maximum(total, 1)
    share = 1 / np.maximum(total, 1) / max((total > 0).sum(), 1)  # of a class in the mean; without images it adds nothing
    of_macro, of_micro = np.empty(len(truth)), np.empty(len(truth))
    for rows in row_blocks(*truth.shape):
        right, both = 2.0 * (truth[rows] & predicted[rows]), truth[rows].astype(np.float64) + predicted[rows]
        of_macro[rows] = (right - of_classes * both) @ share
        of_micro[rows] = (right - micro * both).sum(axis=1) / max(total.sum(), 1)
    return (macro, of_macro), (micro, of_micro)


def _of_share(value: float, influence: npt.NDArray[np.float64]) -> tuple[float, float] | None:
    """The interval of a share, between 0 and 1; None if no image changes it.

    Args:
        value: the share.
        influence: (images,) its derivatives by the weights of the images.
    """
    deviation = float(np.sqrt((influence**2).sum()))
    if not 0 < value < 1 or deviation < _LEAST:
        return None
    half = _REACH * deviation / (value * (1 - value))
    return float(expit(logit(value) - half)), float(expit(logit(value) + half))
