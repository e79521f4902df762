"""The temperature that makes the probabilities of a trained network hold: a probability of 0.8 is right 8 times out of 10.

All logits are divided by one number, so the order of the classes stays (Guo et al., "On Calibration of Modern Neural Networks",
2017, section 4.2). With several labels to an image, one offset is added to all logits besides.
"""

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, log_softmax

from resnet.core.row_blocks import row_blocks

BOUND = 20.0  # the temperature is between one over this and this
_SPREAD = 0.35  # the standard deviation of the prior on the logarithm of the temperature
_SPREAD_OF_OFFSET = 0.5  # that of the prior on the offset, in logits


def fit_temperature(labels: npt.NDArray[np.integer], logits: npt.NDArray[np.floating]) -> float:
    """The most probable temperature, given validation images and that most networks need one near 1.

    It has the lowest sum of the cross-entropy of all images and `(log(temperature) / 0.35)**2 / 2`. The second term is a normal
    prior: two of three networks are expected to need a temperature between 0.7 and 1.4. Without it, a few images give any
    temperature, and images that are all predicted correctly call for zero, and for probabilities of one. It weighs as much as
    some tens of images. The method is MAP estimation (Bishop, "Pattern Recognition and Machine Learning", 2006, section
    1.2.3); Guo et al. fit thousands of images and have no prior.

    Measured change of the test loss (nats) from a temperature of 1; means of 200 draws of so many validation images:

    | network, its best temperature | 10 | 20 | 50 | 100 | 200 |
    |---|---|---|---|---|---|
    | digits, default run, 0.41 | -0.047 | -0.062 | -0.074 | -0.081 | |
    | clothes, 0.74 | -0.034 | -0.036 | -0.038 | -0.041 | -0.041 |
    | CIFAR-10, 1.00 | +0.014 | +0.011 | +0.005 | +0.002 | |
    | simulated, 1.5 | -0.035 | -0.043 | -0.063 | -0.069 | -0.072 |
    | simulated, 1.0 | +0.017 | +0.012 | +0.010 | +0.006 | +0.003 |

    Where 1 is best, nothing fitted can be better; the price is at most 0.017 nats, with 10 images. The spread of the prior was
    chosen among 0.25 to 1 on these networks. An earlier version, which added half an image with an unknown label instead, lost
    0.038 on CIFAR-10 and 0.035 on the last one with 10 images. With 1,000 images there is no difference.

    Args:
        labels: (images,) true classes. Classes may be missing.
        logits: (images, classes).

    Returns:
        The temperature, with six digits, within `BOUND`; 1 if there are no images, or if the logits do not differ.
    """
    images = len(labels)
    blocks = row_blocks(*logits.shape)

    def centred(rows: slice) -> npt.NDArray[np.float64]:
        exact = np.asarray(logits[rows], np.float64)
        return exact - exact.mean(axis=1, keepdims=True)

    if not images or max(centred(rows).max() for rows in blocks) == min(centred(rows).min() for rows in blocks):
        return 1.0
    losses = np.empty(images)

    def loss(inverse: float) -> float:
        for rows in blocks:
            found = log_softmax(centred(rows) * inverse, axis=1)
            losses[rows] = -found[np.arange(len(found)), labels[rows]]
        return float(losses.sum())

    def cost(log_inverse: float) -> float:
        return loss(np.exp(log_inverse)) + (log_inverse / _SPREAD) ** 2 / 2

    reach = np.log(BOUND)
    result = minimize_scalar(cost, bounds=(-reach, reach), method="bounded", options={"xatol": 1e-7})
    return _rounded(np.exp(-result.x))


def fit_multi_label_calibration(truth: npt.NDArray[np.bool_], logits: npt.NDArray[np.floating]) -> tuple[float, float]:
    """The most probable temperature and offset for images with several labels, by the binary cross-entropy of all classes.

    A logit becomes `logit / temperature + offset` (Platt, "Probabilistic Outputs for Support Vector Machines", 1999). With one
    label to an image an offset would change nothing. Here most networks said too seldom that an image has a class. The priors
    are that of `fit_temperature` and a normal one with a standard deviation of 0.5 on the offset.

    Measured change of the test loss (nats for a pair of image and class) from no calibration, by a temperature alone and with
    an offset; means of 30 draws of so many validation images, and the calibration error with all of them. The images are 2 x 2
    grids (`benchmarks/multi_label.py`), the networks ResNet-18 after 6 to 8 epochs:

    | images of | 10 | 20 | 50 | 100 | all, 200 to 300 | error |
    |---|---|---|---|---|---|---|
    | digits, temperature alone | +0.0002 | -0.0009 | -0.0013 | -0.0015 | -0.0016 | 0.026 |
    | digits, with an offset | -0.0024 | -0.0038 | -0.0044 | -0.0044 | -0.0047 | 0.016 |
    | hands, temperature alone | +0.0003 | +0.0003 | +0.0001 | +0.0000 | -0.0000 | 0.020 |
    | hands, with an offset | -0.0003 | -0.0007 | -0.0013 | -0.0017 | -0.0018 | 0.012 |
    | CIFAR-10, temperature alone | +0.0005 | +0.0004 | -0.0003 | -0.0005 | -0.0006 | 0.013 |
    | CIFAR-10, with an offset | +0.0007 | +0.0006 | -0.0002 | -0.0002 | -0.0006 | 0.014 |
    | CIFAR-10, not smoothed, temperature alone | +0.0006 | +0.0005 | -0.0006 | -0.0007 | -0.0009 | 0.022 |
    | CIFAR-10, not smoothed, with an offset | -0.0006 | -0.0001 | -0.0018 | -0.0020 | -0.0025 | 0.016 |
    | MNIST, temperature alone | +0.0002 | -0.0001 | -0.0009 | -0.0011 | -0.0013 | 0.029 |
    | MNIST, with an offset | -0.0031 | -0.0037 | -0.0045 | -0.0049 | -0.0052 | 0.011 |
    | clothes, temperature alone | +0.0012 | +0.0012 | +0.0003 | +0.0001 | -0.0000 | 0.015 |
    | clothes, with an offset | +0.0003 | +0.0001 | -0.0007 | -0.0009 | -0.0012 | 0.012 |

    The last two sets of images were measured after the spread of the prior had been chosen. On CIFAR-10 with smoothing an
    offset gains nothing. An offset for each class was worse than one for all with up to 50 images, on all six; with all images
    on three of them.

    Args:
        truth: (images, classes), whether an image has a class.
        logits: (images, classes), of the logistic function.

    Returns:
        The temperature and the offset, both within `BOUND`, with six digits; 1 and 0 without images.
    """
    if not len(truth):
        return 1.0, 0.0
    blocks = row_blocks(*logits.shape)

    def cost(values: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        """The cost and its gradient by the logarithm of the inverse temperature and by the offset."""
        log_inverse, offset = values
        total = (log_inverse / _SPREAD) ** 2 / 2 + (offset / _SPREAD_OF_OFFSET) ** 2 / 2
        slopes = np.array([log_inverse / _SPREAD**2, offset / _SPREAD_OF_OFFSET**2])
        for rows in blocks:
            scaled = np.asarray(logits[rows], np.float64) * np.exp(log_inverse)
            calibrated = scaled + offset
            total += float((np.logaddexp(0.0, calibrated) - truth[rows] * calibrated).sum())
            beyond = expit(calibrated) - truth[rows]
            slopes += [(beyond * scaled).sum(), beyond.sum()]
        return total, slopes

    reach = np.log(BOUND)
    bounds = [(-reach, reach), (-BOUND, BOUND)]
    options = {"ftol": 1e-15, "gtol": 1e-7}
    # The prior on the temperature may give a second valley where logits are tiny.
    starts = [(start, 0.0) for start in (0.0, reach)]
    results = [minimize(cost, start, jac=True, bounds=bounds, method="L-BFGS-B", options=options) for start in starts]
    found = min(results, key=lambda result: float(result.fun)).x
    return _rounded(np.exp(-found[0])), _rounded(found[1])


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
