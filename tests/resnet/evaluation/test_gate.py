"""The quality gate at its limits."""

import pytest

from resnet.comparison.paired_comparison import PairedComparison
from resnet.evaluation.gate import Check, check_baseline, check_minimum, verdict


def paired(low: float, high: float) -> PairedComparison:
    return PairedComparison(100, 90, 88, 1, 3, -0.02, low, high, 0.5)


@pytest.mark.parametrize(("low", "high", "passed"), [(-0.05, 0.01, True), (-0.05, -0.01, False), (0.01, 0.02, True)])
def test_a_network_fails_if_it_is_significantly_worse_than_the_baseline(low: float, high: float, passed: bool) -> None:
    check = check_baseline(paired(low, high), "main (1234567)")
    assert check.passed is passed
    assert check.why.startswith(f"against main (1234567): -2.00 points, 95 % interval {100 * low:+.2f} to {100 * high:+.2f}: ")
    assert check.why.endswith(": not significantly worse." if passed else ": significantly worse.")


def test_a_difference_between_the_tests_is_named() -> None:
    assert check_baseline(paired(-0.05, 0.01), "main", "Only the second was.").why.endswith("worse. Only the second was.")


def test_a_network_fails_below_the_minimum_accuracy() -> None:
    assert check_minimum(0.95, 0.95) == Check("minimum_accuracy", True, "accuracy 0.9500 is at least 0.95.")
    assert check_minimum(0.9499, 0.95) == Check("minimum_accuracy", False, "accuracy 0.9499 is below 0.95.")


def test_a_verdict_fails_if_a_check_fails_but_not_if_one_is_open() -> None:
    good, bad, left_open = (Check("x", passed, "why") for passed in (True, False, None))
    assert verdict() == {"passed": True, "checks": []}
    assert verdict(good, left_open)["passed"] is True
    assert verdict(good, bad) == {
        "passed": False,
        "checks": [{"name": "x", "passed": True, "why": "why"}, {"name": "x", "passed": False, "why": "why"}],
    }


def test_with_several_labels_an_image_it_compares_whole_sets() -> None:
    check = check_minimum(0.95, 0.9, of_sets=True)
    assert check == Check("minimum_accuracy", True, "exact-match accuracy 0.9500 is at least 0.9.")
    check = check_baseline(paired(-0.05, -0.01), "main", of_sets=True)
    assert check.why.startswith("against main: -2.00 points of exact-match accuracy, 95 % interval -5.00 to -1.00: signif")
