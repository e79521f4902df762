"""Whether a network is good enough: by a limit, and against another network on the same images.

Decides what "worse" means: below the limit, or worse than the other beyond what chance explains.
"""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resnet.comparison.paired_comparison import PairedComparison


@dataclass(frozen=True)
class Check:
    """One condition.

    Attributes:
        name: of the parameter that asks for it.
        passed: whether it holds; None where that has not been judged.
        why: a sentence with the figures.
    """

    name: str
    passed: bool | None
    why: str


def verdict(*checks: Check) -> dict[str, Any]:
    """All checks as they are recorded: passed, whether none has failed, and each with its reason."""
    return {"passed": all(check.passed is not False for check in checks), "checks": [asdict(check) for check in checks]}


def check_minimum(accuracy: float, minimum: float) -> Check:
    """Whether the accuracy on the test split, a share, is at least `minimum`."""
    passed = accuracy >= minimum
    return Check("minimum_accuracy", passed, f"accuracy {accuracy:.4f} is {'at least' if passed else 'below'} {minimum:g}.")


def check_baseline(paired: "PairedComparison", baseline: str) -> Check:
    """Whether a network is not worse than another one beyond chance.

    It fails when the 95 % interval of the difference lies below zero as a whole. To fail by any difference would fail half of
    all trainings that change nothing.

    Args:
        paired: the network against the baseline.
        baseline: its name.
    """
    passed = paired.high >= 0
    figures = f"{100 * paired.difference:+.2f} points, 95 % interval {100 * paired.low:+.2f} to {100 * paired.high:+.2f}"
    judged = "not worse beyond chance" if passed else "worse beyond chance"
    return Check("baseline", passed, f"against {baseline}: {figures}: {judged}.")
