"""Paired comparison against published examples, sums written out, and simulation."""

from math import comb

import numpy as np
import pytest

from resnet.comparison.paired_comparison import (
    ClassChange,
    class_changes,
    class_changes_of_sets,
    compare_hits,
    mcnemar,
    paired_interval,
)


def test_the_interval_is_newcombes() -> None:
    # Airway measurements before and after, 1, 1, 7 and 12 children: Fagerland, Lydersen and Laake, "Recommended tests and
    # confidence intervals for paired binomial proportions" (2014), give -0.507 to -0.026 for Newcombe's interval.
    assert paired_interval(1, 1, 7, 12) == pytest.approx((-0.507, -0.026), abs=5e-4)


def written_out(both: int, gained: int, lost: int, neither: int) -> tuple[float, float]:
    """Newcombe 1998, method 10, in the paper's letters: a, b, c, d; psi the second proportion, theta the difference."""
    a, b, c, d, z = both, gained, lost, neither, 1.959963984540054
    n = a + b + c + d

    def wilson(hits: int) -> tuple[float, float]:
        middle, half = 2 * hits + z * z, z * (z * z + 4 * hits * (1 - hits / n)) ** 0.5
        return (middle - half) / (2 * (n + z * z)), (middle + half) / (2 * (n + z * z))

    (l2, u2), (l3, u3) = wilson(a + b), wilson(a + c)
    dl2, du2, dl3, du3 = (a + b) / n - l2, u2 - (a + b) / n, (a + c) / n - l3, u3 - (a + c) / n
    below = ((a + b) * (c + d) * (a + c) * (b + d)) ** 0.5
    phi = 0.0
    if below:
        above = a * d - b * c
        phi = (above - n / 2 if above > n / 2 else 0 if above >= 0 else above) / below
    theta = (b - c) / n
    return (
        theta - (dl2**2 - 2 * phi * dl2 * du3 + du3**2) ** 0.5,
        theta + (du2**2 - 2 * phi * du2 * dl3 + dl3**2) ** 0.5,
    )


@pytest.mark.parametrize(
    "cells", [(36, 12, 2, 0), (340, 3, 0, 1), (50, 0, 0, 0), (0, 5, 5, 0), (150, 10, 25, 15), (0, 0, 0, 9)]
)
def test_the_interval_is_that_of_the_paper(cells: tuple[int, int, int, int]) -> None:
    assert paired_interval(*cells) == pytest.approx(written_out(*cells), abs=1e-9)


def test_the_interval_covers_the_true_difference_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    drawn = generator.multinomial(100, [0.7, 0.12, 0.08, 0.1], size=600)
    covered = [low <= 0.04 <= high for low, high in (paired_interval(*map(int, cells)) for cells in drawn)]
    assert 0.925 < np.mean(covered) < 0.985


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (1, 0), (3, 9), (9, 3), (5, 5), (20, 42)])
def test_mcnemar_is_two_tails_of_a_fair_coin(gained: int, lost: int) -> None:
    throws = gained + lost
    tail = sum(comb(throws, heads) for heads in range(min(gained, lost) + 1)) / 2**throws
    assert mcnemar(gained, lost) == pytest.approx(min(1.0, 2 * tail))


def test_mcnemar_of_the_published_example() -> None:
    assert mcnemar(1, 7) == pytest.approx(0.0703, abs=5e-5)  # Fagerland, Lydersen and Laake 2014, the exact conditional test


def test_gains_and_losses_are_counted() -> None:
    first = np.array([True, True, True, False, False, False])
    second = np.array([True, True, False, True, True, False])
    found = compare_hits(first, second)
    assert (found.images, found.first, found.second, found.gained, found.lost) == (6, 3, 4, 2, 1)
    assert found.difference == pytest.approx(1 / 6)
    assert found.low < found.difference < found.high
    assert found.p_value == 1.0


def test_networks_of_different_images_are_no_pair() -> None:
    with pytest.raises(ValueError, match="Received: 2 and 3"):
        compare_hits(np.zeros(2, bool), np.zeros(3, bool))


def test_classes_that_changed_most_come_first() -> None:
    labels = ["a", "a", "b", "b", "b", "c", "d", "d"]
    first = np.array([1, 0, 1, 1, 1, 1, 0, 1], bool)
    second = np.array([0, 1, 0, 0, 1, 1, 1, 1], bool)
    assert class_changes(labels, first, second) == [
        ClassChange("b", images=3, first=3, second=1, gained=0, lost=2),
        ClassChange("d", images=2, first=1, second=2, gained=1, lost=0),
        ClassChange("a", images=2, first=1, second=1, gained=1, lost=1),
    ]


def test_with_several_labels_an_image_counts_for_each_of_its_classes() -> None:
    labels = ["a|b", "a", "b|c", "", "c"]
    first = ["a|b", "", "b", "a", "c|b"]
    second = ["a", "a|b", "b|c", "", "c"]
    assert class_changes_of_sets(labels, first, second) == [
        ClassChange("b", images=2, first=2, second=1, gained=0, lost=1),
        ClassChange("a", images=2, first=1, second=2, gained=1, lost=0),
        ClassChange("c", images=2, first=1, second=2, gained=1, lost=0),
    ]
    assert class_changes_of_sets(["", ""], ["", ""], ["a", ""]) == []
