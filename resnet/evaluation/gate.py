"""The quality gate: a minimum accuracy, and a comparison with a baseline on the same images.

A network fails if its accuracy is below the minimum, or if it is significantly worse than the baseline. With several labels to
an image, the accuracy is the share of images whose whole set is right, the exact-match accuracy.
"""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resnet.comparison.paired_comparison import PairedComparison


@dataclass(frozen=True)
class Check:
    """The result of one condition.

    Attributes:
        name: the parameter that sets the condition.
        passed: whether the condition holds; None if it has not been checked yet.
        why: a sentence with the figures.
    """

    name: str
    passed: bool | None
    why: str


def verdict(*checks: Check) -> dict[str, Any]:
    """The record for `gate.json`: `passed`, whether no check has failed, and `checks`, each with its reason."""
    return {"passed": all(check.passed is not False for check in checks), "checks": [asdict(check) for check in checks]}


def check_minimum(accuracy: float, minimum: float, *, of_sets: bool = False) -> Check:
    """Checks that the accuracy on the test split, in [0, 1], is at least `minimum`; `of_sets` if images have several labels."""
    passed = accuracy >= minimum
    figure = f"{accuracy_name(of_sets)} {accuracy:.4f}"
    return Check("minimum_accuracy", passed, f"{figure} is {'at least' if passed else 'below'} {minimum:g}.")


def accuracy_name(of_sets: bool) -> str:
    """What the accuracy is called; with several labels to an image, only a whole set counts."""
    return "exact-match accuracy" if of_sets else "accuracy"


def check_baseline(paired: "PairedComparison", baseline: str, testing: str = "", *, of_sets: bool = False) -> Check:
    """Checks that a network is not significantly worse than a baseline.

    The check fails if the whole 95 % interval of the difference is below zero. If any negative difference failed, half of the
    trainings without any relevant change would fail.

    Args:
        paired: the comparison of the network with the baseline.
        baseline: the name of the baseline.
        testing: a sentence on a difference between the two tests.
        of_sets: whether images have several labels.
    """
    passed = paired.high >= 0
    points = f"points of {accuracy_name(of_sets)}" if of_sets else "points"
    figures = f"{100 * paired.difference:+.2f} {points}, 95 % interval {100 * paired.low:+.2f} to {100 * paired.high:+.2f}"
    result = "not significantly worse" if passed else "significantly worse"
    return Check("baseline", passed, f"against {baseline}: {figures}: {result}.{testing and ' '}{testing}")
