"""The benchmark of the search that prunes: what it trains and compares, with a stand-in for training."""

import math
from collections.abc import Mapping
from typing import Any

import pytest

pytest.importorskip("optuna")

from benchmarks.search import chosen, pruned, unpruned

ENDS, COUNTS = (2, 6, 18), [20, 6, 2]


class Loss:
    """A loss that falls with the epochs, and whose best learning rate is 0.01 at all times."""

    def __init__(self) -> None:
        self.asked: set[tuple[str, int]] = set()

    def __call__(self, values: Mapping[str, Any], until: int) -> float:
        self.asked.add((str(values), until))
        return abs(math.log10(values["train.learning_rate"]) + 2) + 1 / until


def test_the_search_that_prunes_trains_few_trials_to_the_end_and_finds_the_same() -> None:
    loss = Loss()
    found = pruned(loss, 20, ENDS, COUNTS, 0)
    assert [sum(until == end for _, until in loss.asked) for end in ENDS] == COUNTS
    whole = Loss()
    # The order of the trials is the same after any number of epochs, so both find the same trial.
    assert unpruned(whole, 20, 18, 0) == pytest.approx(found)
    assert {until for _, until in whole.asked} == {18}
    assert len(whole.asked) == 20
    assert chosen(whole, 20, ENDS, COUNTS, 0) == pytest.approx(found)
