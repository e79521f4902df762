"""Whether probabilities mean what they say: the reliability diagram and the expected calibration error.

Decides the binning: 15 bins of equal width over the probability of the predicted class, each without its lower bound and with
its upper one, as in Guo et al., "On Calibration of Modern Neural Networks" (2017), section 2.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BINS = 15
_SIMULATIONS = 1000


@dataclass(frozen=True)
class Reliability:
    """What is in each of the `BINS` bins, from the least sure to the surest.

    Attributes:
        images: how many.
        confidence: the mean probability of the predicted class; 0 in an empty bin.
        hits: how many of them were predicted rightly.
    """

    images: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float64]
    hits: npt.NDArray[np.int64]

    @property
    def error(self) -> float:
        """The expected calibration error: the gap between hits and confidence, averaged over images. In [0, 1]."""
        return float(np.abs(self.hits - self.images * self.confidence).sum() / self.images.sum())


def reliability(confidence: npt.NDArray[np.float64], correct: npt.NDArray[np.bool_]) -> Reliability:
    """Sorts predictions into bins.

    Args:
        confidence: (images,) the probability of the predicted class.
        correct: (images,) whether it is the right class.
    """
    bins = _bins(confidence)
    images = np.bincount(bins, minlength=BINS)
    sums = np.bincount(bins, weights=confidence, minlength=BINS)
    return Reliability(images, sums / np.maximum(images, 1), np.bincount(bins[correct], minlength=BINS))


def error_by_chance(confidence: npt.NDArray[np.float64], level: float = 0.95) -> float:
    """The calibration error that a calibrated network stays under in a share of `level` of test sets like this one.

    The error of a calibrated network is not zero, because hits are counted in bins of few images. Here images are hits with
    just the probabilities given, 1,000 times (Vaicenavicius et al., "Evaluating model calibration in classification", 2019,
    section 5, calls it consistency resampling).

    Args:
        confidence: (images,) the probability of the predicted class.
        level: of the quantile.
    """
    generator = np.random.default_rng(0)
    bins = _bins(confidence)
    expected = np.bincount(bins, weights=confidence, minlength=BINS)
    errors = np.empty(_SIMULATIONS)
    for number in range(_SIMULATIONS):
        hits = np.bincount(bins[generator.random(len(confidence)) < confidence], minlength=BINS)
        errors[number] = np.abs(hits - expected).sum() / len(confidence)
    return float(np.quantile(errors, level))


def _bins(confidence: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    return np.digitize(confidence, np.linspace(0, 1, BINS + 1)[1:-1], right=True)
