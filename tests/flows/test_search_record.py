"""The record of a search: it survives, and one process at a time has it."""

import json
import math
from pathlib import Path

import pytest

from flows.results import Result
from flows.search_record import SearchRecord, Trial, opened_record
from resnet.core.errors import UserError

HISTORY = [{"epoch": 1.0, "val_loss": 0.5}, {"epoch": 2.0, "val_loss": 0.3}, {"epoch": 3.0, "val_loss": 0.4}]
FACTS = {"commit": "c", "seed": 0}


def test_the_loss_of_a_trial_is_the_lowest_up_to_a_rung() -> None:
    trial = Trial({"x": 1}, HISTORY)
    assert [trial.loss(until) for until in (0, 1, 2, 3, 9)] == [math.inf, 0.5, 0.3, 0.3, 0.3]
    assert Trial({"x": 1}, HISTORY, failure="train: no").loss(3) == math.inf
    assert Trial({"x": 1}, [{"epoch": 1.0, "val_loss": math.nan}, *HISTORY[1:]]).loss(3) == 0.3
    assert Trial({"x": 1}, [{"epoch": 1.0, "val_loss": math.nan}]).loss(3) == math.inf


def test_a_record_is_found_again_by_what_identifies_its_search(tmp_path: Path) -> None:
    trials = [Trial({"x": 0.1, "y": "adam"}, HISTORY, "run", True, Result("name", {"accuracy": 0.5}, 0.3)), Trial({"x": 2})]
    with opened_record(tmp_path, FACTS, (1, 3)) as record:
        record.trials |= dict(enumerate(trials))
        record.save()
    with opened_record(tmp_path, FACTS, (1, 3)) as again:
        assert list(again.trials.values()) == trials
    for facts, rungs in (({**FACTS, "seed": 1}, (1, 3)), (FACTS, (2, 3))):
        with opened_record(tmp_path, facts, rungs) as other:
            assert other.trials == {}


def test_a_second_process_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with (
        opened_record(tmp_path, FACTS, (1, 3)),
        pytest.raises(UserError, match="^another process runs this very search: wait until it has ended, or end it and"),
        opened_record(tmp_path, FACTS, (1, 3)),
    ):
        raise AssertionError("not reached")


TRIAL = {"values": {}, "history": [], "run": "", "fresh": False, "result": None, "failure": ""}
DAMAGED = [
    {},
    [],
    1,
    {"trials": 1},
    {"trials": [1]},
    {"trials": [{**TRIAL, "unknown": 1}]},
    {"trials": [{"values": {}, "history": []}]},
    {"trials": [{**TRIAL, "values": 1}]},
    {"trials": [{**TRIAL, "run": None}]},
    {"trials": [{**TRIAL, "result": {"experiment": "x"}}]},
    {"trials": [{**TRIAL, "result": "x"}]},
    {"trials": [{**TRIAL, "result": {"experiment": "x", "metrics": 1, "val_loss": 1.0}}]},
    {"trials": [{**TRIAL, "history": 1}]},
    {"trials": [{**TRIAL, "history": [1]}]},
    {"trials": [{**TRIAL, "history": [{}]}]},
    {"trials": [{**TRIAL, "history": [{"epoch": 1, "val_loss": "x"}]}]},
    {"trials": [{**TRIAL, "history": [{"epoch": 2, "val_loss": 0.1}]}]},
]


@pytest.mark.parametrize("text", ["{", *map(json.dumps, DAMAGED), "[" * 100_000], ids=range(len(DAMAGED) + 2))
def test_a_damaged_record_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "search.json").write_text(text)
    with pytest.raises(UserError, match=r"search.json cannot be read .*: remove it to begin the search again.$"):
        SearchRecord(tmp_path / "search.json")
