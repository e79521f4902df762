"""The quality gate: a minimum accuracy, and a comparison with a baseline on the same images.

A network fails if its accuracy is below the minimum, or if it is significantly worse than the baseline.
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


def check_minimum(accuracy: float, minimum: float) -> Check:
    """Checks that the accuracy on the test split, in [0, 1], is at least `minimum`."""
    passed = accuracy >= minimum
    return Check("minimum_accuracy", passed, f"accuracy {accuracy:.4f} is {'at least' if passed else 'below'} {minimum:g}.")


def check_baseline(paired: "PairedComparison", baseline: str, testing: str = "") -> Check:
    """Checks that a network is not significantly worse than a baseline.

    The check fails if the whole 95 % interval of the difference is below zero. If any negative difference failed, half of the
    trainings without any relevant change would fail.

    Args:
        paired: the comparison of the network with the baseline.
        baseline: the name of the baseline.
        testing: a sentence on a difference between the two tests.
    """
    passed = paired.high >= 0
    figures = f"{100 * paired.difference:+.2f} points, 95 % interval {100 * paired.low:+.2f} to {100 * paired.high:+.2f}"
    result = "not significantly worse" if passed else "significantly worse"
    return Check("baseline", passed, f"against {baseline}: {figures}: {result}.{testing and ' '}{testing}")
