"""What probabilities say of images: the most probable class, or the set of classes if images have several labels each."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

THRESHOLDS = "thresholds"  # under this name exports of networks for several labels an image hold them


def answers(probabilities: npt.NDArray[np.float32], thresholds: Sequence[float] | None) -> npt.NDArray[Any]:
    """What the probabilities say.

    Args:
        probabilities: (images, classes).
        thresholds: one for each class, of a network for several labels an image; None for one label an image.

    Returns:
        (images, 1) int64, the most probable class, or (images, classes) bool, whether an image has a class.
    """
    if thresholds is None:
        return np.asarray(probabilities.argmax(axis=1)[:, None])
    return np.asarray(probabilities >= np.array(thresholds, np.float32))
