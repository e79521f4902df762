"""Calibration of probabilities: the reliability diagram and the expected calibration error.

The probability of the predicted class is divided into 15 bins of equal width. A bin includes its upper bound but not its lower
bound, as in Guo et al., "On Calibration of Modern Neural Networks" (2017), section 2.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BINS = 15
_SIMULATIONS = 1000


@dataclass(frozen=True)
class Reliability:
    """The content of the bins, in order of rising confidence.

    Attributes:
        images: (BINS,) the number of images.
        confidence: (BINS,) the mean probability of the predicted class; 0 for an empty bin.
        hits: (BINS,) the number of images that were predicted correctly.
    """

    images: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float64]
    hits: npt.NDArray[np.int64]

    @property
    def error(self) -> float:
        """The expected calibration error, in [0, 1]: the gap between accuracy and confidence of a bin, averaged over images."""
        return float(np.abs(self.hits - self.images * self.confidence).sum() / self.images.sum())


def reliability(confidence: npt.NDArray[np.float64], correct: npt.NDArray[np.bool_]) -> Reliability:
    """Sorts predictions into bins.

    Args:
        confidence: (images,) the probability of the predicted class.
        correct: (images,) whether the predicted class is correct.
    """
    bins = bins_of(confidence)
    images = np.bincount(bins, minlength=BINS)
    sums = np.bincount(bins, weights=confidence, minlength=BINS)
    return Reliability(images, sums / np.maximum(images, 1), np.bincount(bins[correct], minlength=BINS))


def error_by_chance(confidence: npt.NDArray[np.float64], level: float = 0.95) -> float:
    """A quantile of the calibration error of a perfectly calibrated network on test sets like this one.

    The measured error of a calibrated network is above zero, because the number of images is finite. To estimate its
    distribution, hits are drawn 1,000 times with exactly the given probabilities. Vaicenavicius et al., "Evaluating model
    calibration in classification" (2019), section 5, call this consistency resampling.

    Args:
        confidence: (images,) the probability of the predicted class.
        level: the quantile, in (0, 1).
    """
    generator = np.random.default_rng(0)
    bins = bins_of(confidence)
    expected = np.bincount(bins, weights=confidence, minlength=BINS)
    errors = np.empty(_SIMULATIONS)
    for number in range(_SIMULATIONS):
        hits = np.bincount(bins[generator.random(len(confidence)) < confidence], minlength=BINS)
        errors[number] = np.abs(hits - expected).sum() / len(confidence)
    return float(np.quantile(errors, level))


def bins_of(confidence: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """The number of the bin of each probability, from 0; in the shape of the probabilities."""
    return np.digitize(confidence, np.linspace(0, 1, BINS + 1)[1:-1], right=True)
