"""The arithmetic of `benchmarks/goodput.py`; the figures of the expectations are worked out by hand."""

from typing import Any

import pytest

from benchmarks.goodput import Parts, computed, table, young

PARTS = Parts(start=8.0, step=0.1, checkpoint=1.0, steps=20, gap=0.09)


def test_the_interval_of_young() -> None:
    assert young(2.0, 100.0) == 20.0


@pytest.mark.parametrize(
    ("between", "longest", "kept"),
    [
        (38.9, 180, 0),  # the first checkpoint is there at 8 + 30 + 1
        (39, 180, 30),
        (99.9, 180, 30),  # the second at 39 + 60 + 1
        (300, 180, 30 + 60 + 120),  # the third at 221; the next one at 402
        (402, 180, 30 + 60 + 120 + 180),
        (15, 2, 4),  # at 11 and 14
        (7, 0.5, 0),  # killed before the first step
    ],
)
def test_what_is_in_a_checkpoint_is_kept(between: float, longest: float, kept: float) -> None:
    assert computed(PARTS, between, longest) == pytest.approx(kept / between)


def test_a_row_says_whether_it_was_measured() -> None:
    rows: list[dict[str, Any]] = [
        {"every": 15, "interval": None, "goodput": 0.0, "how": "measured, 4 kills"},
        {"every": 300, "interval": 24.5, "goodput": 0.876, "how": "computed"},
    ]
    lines = table(PARTS, rows, "command").splitlines()
    assert lines[-2:] == ["| 15 s | default | 0% | measured, 4 kills |", "| 300 s | 24.5 s | 88% | computed |"]
    assert "8.0 s, a step 100 ms, a checkpoint holds training up for 1.00 s." in lines[2]
