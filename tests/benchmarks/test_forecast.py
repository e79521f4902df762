"""The comparison of a forecast with its run."""

import pytest

from benchmarks.forecast import compare, table

FORECAST = {"preprocess": 10.0, "build": 5.0, "train": 200.0, "evaluate": 20.0, "render": 3.0, "dvc": 12.0}
TAKEN = {"preprocess": 12.0, "build": 6.0, "train": 240.0, "evaluate": 15.0, "render": 3.0}


def test_what_the_stages_did_not_take_is_dvcs() -> None:
    found = compare(FORECAST, TAKEN, 300.0)
    assert found["parts"]["dvc"] == [12.0, 24.0]
    assert found["parts"]["train"] == [200.0, 240.0]
    assert (found["forecast"], found["measured"], found["error"]) == (250.0, 300.0, pytest.approx(0.2))


def test_the_table_names_the_part_with_the_largest_error() -> None:
    row = {"minutes": 5.0, **compare(FORECAST, TAKEN, 300.0)}
    assert table([row]).splitlines()[-1] == "| 5 | 250 | 300 | +20.0% | train: 200 s forecast, 240 s measured |"
