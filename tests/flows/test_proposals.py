"""Proposals are a function of the seed and the results, and the importance of parameters is that of a known function."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("optuna")

from flows.proposals import TRIALS_FOR_IMPORTANCE, Known, importances, propose
from flows.search import make_space

SPACE = make_space({"a": [0.0, 1.0], "b": [0.0, 1.0]}, {"c": [0.001, 1.0]}, {"d": ["x", "y"]})


def known(count: int) -> list[Known]:
    """Random trials whose loss depends on a alone."""
    draw = np.random.default_rng(0)
    rows: list[dict[str, Any]] = [
        {"a": draw.random(), "b": draw.random(), "c": 10 ** -(3 * draw.random()), "d": "xy"[draw.integers(2)]}
        for _ in range(count)
    ]
    return [Known(row, (row["a"] - 0.2) ** 2) for row in rows]


def test_a_proposal_depends_on_the_seed_the_number_and_the_results_only() -> None:
    results = known(15)
    opposite = [Known(one.values, -one.loss) for one in results if one.loss is not None]
    first = propose(SPACE, 0, 15, results)
    assert propose(SPACE, 0, 15, results) == first
    others = [propose(SPACE, 1, 15, results), propose(SPACE, 0, 16, results), propose(SPACE, 0, 15, opposite)]
    assert first not in others
    # The first ten are random, so what is known does not matter.
    assert propose(SPACE, 0, 3, known(3)) == propose(SPACE, 0, 3, [])


def test_a_trial_that_runs_is_known_without_a_result() -> None:
    results = known(12)
    running = Known(results[0].values, None)
    assert set(propose(SPACE, 0, 13, [*results, running])) == {"a", "b", "c", "d"}


def test_the_parameter_that_decides_is_the_most_important_one() -> None:
    found = importances(SPACE, known(40))
    assert found is not None
    assert next(iter(found)) == "a"
    assert found["a"] > 0.5
    assert sum(found.values()) == pytest.approx(1)


def test_importance_needs_twenty_results_and_two_parameters() -> None:
    assert TRIALS_FOR_IMPORTANCE == 20
    assert importances(SPACE, [*known(19), Known(known(1)[0].values, None)]) is None
    assert importances(SPACE, known(20)) is not None
    alone = make_space({"a": [0.0, 1.0]}, {}, {})
    assert importances(alone, [Known({"a": one.values["a"]}, one.loss) for one in known(20)]) is None
