"""Two networks on the same test images: how far apart they are, and whether that is more than chance.

The images are the same for both, so only those count on which one is right and the other wrong. That is what makes a
difference visible that two separate intervals would hide.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

from resnet.evaluation.metrics import wilson_interval


@dataclass(frozen=True)
class PairedComparison:
    """The accuracy of a second network against that of a first.

    Attributes:
        images: how many both have seen.
        first: hits of the first network.
        second: hits of the second.
        gained: images on which only the second is right.
        lost: images on which only the first is right.
        difference: of the accuracies, second less first, in [-1, 1].
        low: lower bound of its 95 % interval.
        high: upper bound.
        p_value: of McNemar's exact test that gains and losses are equally likely.
    """

    images: int
    first: int
    second: int
    gained: int
    lost: int
    difference: float
    low: float
    high: float
    p_value: float


def compare_hits(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> PairedComparison:
    """Compares two networks by their hits.

    Args:
        first: (images,) whether the first network is right.
        second: the same of the second, for the same images.

    Raises:
        ValueError: no images, or not as many for both.
    """
    if len(first) != len(second) or not len(first):
        raise ValueError(f"both networks must have seen the same images. Received: {len(first)} and {len(second)}.")
    gained, lost = int((second & ~first).sum()), int((first & ~second).sum())
    low, high = paired_interval(int((first & second).sum()), gained, lost, int((~first & ~second).sum()))
    return PairedComparison(
        images=len(first),
        first=int(first.sum()),
        second=int(second.sum()),
        gained=gained,
        lost=lost,
        difference=(gained - lost) / len(first),
        low=low,
        high=high,
        p_value=mcnemar(gained, lost),
    )


@dataclass(frozen=True)
class ClassChange:
    """What became of one class.

    Attributes:
        label: its name.
        images: of it.
        first: hits of the first network.
        second: hits of the second.
        gained: images on which only the second is right.
        lost: images on which only the first is right.
    """

    label: str
    images: int
    first: int
    second: int
    gained: int
    lost: int


def class_changes(labels: Sequence[str], first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> list[ClassChange]:
    """The classes that gained or lost an image, the greatest net change first, losses before gains, then by name.

    Args:
        labels: of each image.
        first: (images,) whether the first network is right.
        second: the same of the second.
    """
    found = []
    truth = np.asarray(labels, dtype=object)
    for label in sorted(set(labels)):
        before, after = first[truth == label], second[truth == label]
        gained, lost = int((after & ~before).sum()), int((before & ~after).sum())
        if gained or lost:
            found.append(ClassChange(label, len(before), int(before.sum()), int(after.sum()), gained, lost))
    return sorted(found, key=lambda change: (-abs(change.gained - change.lost), change.gained - change.lost, change.label))


def mcnemar(gained: int, lost: int) -> float:
    """P-value of McNemar's test in its exact form: gains against losses as throws of a fair coin, on both sides.

    McNemar, "Note on the sampling error of the difference between correlated proportions or percentages" (1947); the exact form
    holds for few disagreements too.
    """
    return float(binomtest(gained, gained + lost, 0.5).pvalue) if gained + lost else 1.0


def paired_interval(both: int, gained: int, lost: int, neither: int) -> tuple[float, float]:
    """95 % interval for the difference of two paired proportions.

    Newcombe, "Improved confidence intervals for the difference between binomial proportions based on paired data" (1998),
    method 10: the Wilson intervals of the two, put together with their correlation, which is corrected for continuity. It
    keeps its promise for few images and near 0 and 1.

    Args:
        both: images on which both networks are right.
        gained: only the second.
        lost: only the first.
        neither: none of them.
    """
    images = both + gained + lost + neither
    second, first = (both + gained) / images, (both + lost) / images
    (second_low, second_high), (first_low, first_high) = (
        wilson_interval(hits, images) for hits in (both + gained, both + lost)
    )
    correlation = _correlation(both, gained, lost, neither)

    def distance(of_second: float, of_first: float) -> float:
        return sqrt(max(0.0, of_second**2 - 2 * correlation * of_second * of_first + of_first**2))

    difference = second - first
    low = difference - distance(second - second_low, first_high - first)
    return low, difference + distance(second_high - second, first - first_low)


def _correlation(both: int, gained: int, lost: int, neither: int) -> float:
    """Newcombe's corrected phi: brought nearer to zero by half of the images where it is positive."""
    product = (both + gained) * (lost + neither) * (both + lost) * (gained + neither)
    if not product:
        return 0.0
    excess = float(both * neither - gained * lost)
    if excess > 0:
        excess = max(excess - (both + gained + lost + neither) / 2, 0.0)
    return excess / sqrt(product)
