"""Ranks images by how probably their label is wrong: confident learning (Northcutt, Jiang and Chuang, 2021)."""

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from resnet.core.errors import UserError


@dataclass(frozen=True)
class Ranking:
    """All images, the most suspect first.

    Attributes:
        order: (images,) row numbers.
        suspects: the number of the first rows whose labels are probably wrong.
        score: (images,) float64 from 0 to 1 by row, lower is more suspect: the probability of the label minus that of the most
            probable other class, as a share of the range from -1 to 1.
        suggested: (images,) int64, the most probable class other than the label, by row.
    """

    order: npt.NDArray[np.int64]
    suspects: int
    score: npt.NDArray[np.float64]
    suggested: npt.NDArray[np.int64]


def require_cleanlab() -> None:
    """Raises `UserError` if cleanlab is not installed."""
    try:
        import cleanlab  # noqa: F401
    except ImportError as error:
        raise UserError("an audit needs cleanlab, which is not installed; run `pip install -e '.[audit]'`.") from error


def rank(labels: npt.NDArray[np.uint16], probabilities: npt.NDArray[np.float32]) -> Ranking:
    """Ranks images by their out-of-fold probabilities.

    Confident learning counts how often images of each class are confidently predicted as another class, and takes as many
    images of each pair of classes for wrong: those with the largest margin between the two.

    Args:
        labels: (images,) uint16.
        probabilities: (images, classes) float32, of networks that were not trained on the image.

    Raises:
        UserError: cleanlab is not installed.
    """
    require_cleanlab()
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    given = labels.astype(np.int64)
    exact = probabilities.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    rows = np.arange(len(given))
    others = exact.copy()
    others[rows, given] = -1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that it does not judge a class of one image, or without images
        suspect = find_label_issues(given, exact, n_jobs=1)  # without processes, which would each copy the probabilities
    score = get_label_quality_scores(given, exact, method="normalized_margin")
    order = np.lexsort((rows, score, ~suspect))
    return Ranking(order, int(suspect.sum()), score, others.argmax(axis=1))
