"""The temperature that makes the probabilities of a trained network hold: a probability of 0.8 is right 8 times out of 10.

All logits are divided by one number, so the order of the classes stays (Guo et al., "On Calibration of Modern Neural Networks",
2017, section 4.2).
"""

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

BOUND = 20.0  # the temperature is between one over this and this
# Test loss of the digits' default run by the weight of the imagined image. With the 181 validation images (2 mistakes): 0.028
# at 0, 0.030 at 0.5, 0.034 at 1. With 30 of them, the mean of 12 draws: 0.098 at 0, 0.049 at 0.5, 0.076 at 1.
_IMAGINED = 0.5


def fit_temperature(labels: npt.NDArray[np.integer], logits: npt.NDArray[np.floating]) -> float:
    """The temperature with the lowest cross-entropy on validation images and on half an imagined image.

    The imagined image has the logits of all images in equal shares, and every class has an equal share in its label. It counts
    half as much as a real one. Without it, images that are all predicted correctly would call for a temperature of zero, and
    for probabilities of one. With it, probabilities claim no more than so many images can show: of 10 images without a mistake
    about 10.5/11, as with Jeffreys' prior. Platt, "Probabilistic Outputs for Support Vector Machines" (1999), section 2.2,
    smooths labels for the same reason. On thousands of images it has no influence.

    The cross-entropy is convex in the inverse of the temperature, so there is one minimum.

    Args:
        labels: (images,) true classes. Classes may be missing.
        logits: (images, classes).

    Returns:
        The temperature, with six digits, within `BOUND`; 1 if there are no images, or if the logits do not differ.
    """
    images = len(labels)
    centred = np.asarray(logits, np.float64)
    centred = centred - centred.mean(axis=1, keepdims=True)
    if not images or not np.ptp(centred):
        return 1.0
    share = _IMAGINED / (images + _IMAGINED)
    rows = np.arange(images)

    def cross_entropy(log_inverse: float) -> float:
        found = log_softmax(centred * np.exp(log_inverse), axis=1)
        return float(-(1 - share) * found[rows, labels].mean() - share * found.mean())

    reach = np.log(BOUND)
    result = minimize_scalar(cross_entropy, bounds=(-reach, reach), method="bounded", options={"xatol": 1e-7})
    return float(f"{np.exp(-result.x):.6g}")
