"""The probabilities from which on an image has a class, for images with several labels.

Each maximises F1 on the validation images, as Lipton, Elkan and Naryanaswamy do ("Optimal Thresholding of Classifiers to
Maximize F1 Measure", 2014, section 6). For a calibrated network the best threshold is half of the F1 that it reaches, so it is
below 0.5.
"""

import numpy as np
import numpy.typing as npt
from scipy.special import expit
from sklearn.metrics import precision_recall_curve

LEAST = 20  # validation images with a class, and without it, below which the threshold of a class is the common one
_DIGITS = 6


def fit_thresholds(truth: npt.NDArray[np.bool_], logits: npt.NDArray[np.floating]) -> list[float]:
    """The thresholds of all classes.

    A class with fewer than `LEAST` validation images, or with fewer without it, has the common threshold: the one that
    maximises the F1 of all pairs of image and class together. Classes that no validation image has, or every one, are left out
    of these pairs: they would move it to where no other class is found.

    Args:
        truth: (images, classes), whether an image has a class.
        logits: (images, classes) of a calibrated network.

    Returns:
        Numbers in (0, 1) with six digits; 0.5 for all if no image has any class, or all images have all.
    """
    probabilities = expit(logits.astype(np.float32))
    differing = truth.any(axis=0) & ~truth.all(axis=0)
    common = _best(truth[:, differing].ravel(), probabilities[:, differing].ravel())
    found = []
    for number in range(truth.shape[1]):
        images = int(truth[:, number].sum())
        enough = min(images, len(truth) - images) >= LEAST
        found.append(_best(truth[:, number], probabilities[:, number]) if enough else common)
    return found


def _best(truth: npt.NDArray[np.bool_], probabilities: npt.NDArray[np.float32]) -> float:
    """The threshold with the highest F1, halfway to the next lower probability; of equals the highest."""
    if truth.all() or not truth.any():  # also without any pair
        return 0.5
    precision, recall, thresholds = precision_recall_curve(truth, probabilities)
    total = precision + recall
    f1 = 2 * precision * recall / np.where(total > 0, total, 1.0)
    place = len(thresholds) - 1 - int(f1[:-1][::-1].argmax())
    lower = float(thresholds[place - 1]) if place else 0.0
    return float(np.clip(round((lower + float(thresholds[place])) / 2, _DIGITS), 10.0**-_DIGITS, 1 - 10.0**-_DIGITS))
