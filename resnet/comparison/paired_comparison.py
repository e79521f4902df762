"""Compares the accuracies of two networks on the same test images: the difference, its interval and its significance.

Both networks see the same images, so only images that exactly one of them predicts correctly contribute to the difference. This
makes differences significant that two separate intervals would not show.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

from resnet.core.label_sets import names_in
from resnet.evaluation.metrics import wilson_interval


@dataclass(frozen=True)
class PairedComparison:
    """The accuracy of a second network compared with that of a first.

    Attributes:
        images: the number of images.
        first: how many of them the first network predicts correctly.
        second: how many the second network predicts correctly.
        gained: how many only the second predicts correctly.
        lost: how many only the first predicts correctly.
        difference: accuracy of the second minus accuracy of the first, in [-1, 1].
        low: lower bound of the 95 % interval of the difference.
        high: upper bound.
        p_value: p-value of McNemar's exact test of the hypothesis that gains and losses are equally likely.
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
    """Compares the correct predictions of two networks.

    Args:
        first: (images,) whether the first network is correct.
        second: (images,) whether the second network is correct, for the same images.

    Raises:
        ValueError: there are no images, or the lengths differ.
    """
    if len(first) != len(second) or not len(first):
        raise ValueError(
            f"Expected the same number of images, at least one, for both networks. Received: {len(first)} and {len(second)}."
        )
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
    """The difference between two networks in one class.

    Attributes:
        label: its name.
        images: the number of its test images.
        first: how many of them the first network predicts correctly.
        second: how many the second network predicts correctly.
        gained: how many only the second predicts correctly.
        lost: how many only the first predicts correctly.
    """

    label: str
    images: int
    first: int
    second: int
    gained: int
    lost: int


def class_changes(labels: Sequence[str], first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> list[ClassChange]:
    """The classes that gained or lost images, sorted by the size of the net change, losses before gains, then by name.

    Args:
        labels: (images,) the class of each image.
        first: (images,) whether the first network is correct.
        second: (images,) whether the second network is correct.
    """
    found = []
    truth = np.asarray(labels, dtype=object)
    for label in sorted(set(labels)):
        before, after = first[truth == label], second[truth == label]
        gained, lost = int((after & ~before).sum()), int((before & ~after).sum())
        if gained or lost:
            found.append(ClassChange(label, len(before), int(before.sum()), int(after.sum()), gained, lost))
    return sorted(found, key=lambda change: (-abs(change.gained - change.lost), change.gained - change.lost, change.label))


def class_changes_of_sets(labels: Sequence[str], first: Sequence[str], second: Sequence[str]) -> list[ClassChange]:
    """As `class_changes`, for images with several labels each: an image counts for each class that it has.

    A network is correct about a class of an image if the predicted set has it; so the shares are recalls there, too.

    Args:
        labels: (images,) the set of each image as text.
        first: (images,) the sets that the first network predicts.
        second: (images,) the sets that the second network predicts.
    """
    found = [
        (name, name in before, name in after)
        for label, *sets in zip(labels, first, second, strict=True)
        for before, after in [[names_in(one) for one in sets]]
        for name in names_in(label)
    ]
    hits = np.array([rest for _, *rest in found], np.bool_).reshape(-1, 2)
    return class_changes([name for name, _, _ in found], hits[:, 0], hits[:, 1])


def mcnemar(gained: int, lost: int) -> float:
    """The two-sided p-value of McNemar's exact test: a binomial test that gains and losses are equally likely.

    McNemar, "Note on the sampling error of the difference between correlated proportions or percentages" (1947). The exact form
    is also valid for small numbers.
    """
    return float(binomtest(gained, gained + lost, 0.5).pvalue) if gained + lost else 1.0


def paired_interval(both: int, gained: int, lost: int, neither: int) -> tuple[float, float]:
    """The 95 % interval of the difference of two paired proportions.

    Newcombe, "Improved confidence intervals for the difference between binomial proportions based on paired data" (1998),
    method 10. It combines the Wilson intervals of the two proportions with their correlation, corrected for continuity. Its
    coverage is also correct for few images and near 0 and 1.

    Args:
        both: the number of images that both networks predict correctly.
        gained: the number that only the second predicts correctly.
        lost: the number that only the first predicts correctly.
        neither: the number that neither predicts correctly.

    Returns:
        The lower and the upper bound of second minus first.
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
    """Newcombe's phi with continuity correction: half the number of images is subtracted from a positive numerator."""
    product = (both + gained) * (lost + neither) * (both + lost) * (gained + neither)
    if not product:
        return 0.0
    excess = float(both * neither - gained * lost)
    if excess > 0:
        excess = max(excess - (both + gained + lost + neither) / 2, 0.0)
    return excess / sqrt(product)
