"""What became of a trial in words, and the order of the table."""

from pathlib import Path

import pytest

pytest.importorskip("optuna")

from flows.halving import Plan
from flows.results import Result
from flows.search import make_space
from flows.search_page import PAGE, Standing, table, write_page
from flows.search_record import Trial

SPACE = make_space({}, {"train.learning_rate": [0.001, 0.1]}, {})
PLAN = Plan(SPACE, (1, 3, 9), [9, 3, 1], 0, "commit", "search", 1)
METRICS = {"accuracy": 0.5, "accuracy_low": 0.4, "accuracy_high": 0.6}


def make(number: int, epochs: int, loss: float = 1.0, **more: object) -> Trial:
    history = [{"epoch": float(one), "val_loss": loss / one, "val_accuracy": 0.5} for one in range(1, epochs + 1)]
    return Trial({"train.learning_rate": 0.012345678 + number}, history, **more)  # type: ignore[arg-type]


STANDING = Standing(
    PLAN,
    {
        0: make(0, 9, result=Result("search-01", METRICS, 0.1111)),
        1: make(1, 1, loss=0.1),
        2: make(2, 5, loss=0.2),  # DVC's cache had five epochs of it
        3: make(3, 3),
        4: make(4, 0),
        5: make(5, 1, failure="train: a | b"),
        6: make(6, 1),
        7: make(7, 0),
    },
    on=frozenset({0, 3, 4, 6, 7}),
    running={6: 3, 7: 1},
)


def test_each_trial_has_a_state() -> None:
    assert [STANDING.state(number) for number in range(8)] == [
        "finished",
        "stopped at epoch 1",
        "stopped at epoch 3",
        "paused at epoch 3",
        "interrupted",
        "failed: train: a | b",
        "trains to epoch 3",
        "trains to epoch 1",
    ]


def test_the_table_has_the_furthest_trial_first_then_the_lowest_loss_and_failures_last() -> None:
    lines = table(STANDING).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == [
        "search-01",
        "trial 3",
        "trial 4",
        "trial 2",
        "trial 7",
        "trial 5",
        "trial 8",
        "trial 6",
    ]
    assert lines[2] == "| search-01  | 0.0123457 | 9      | 0.1111          | 50.0 % (40.0 to 60.0)         |"
    assert "failed: train: a / b" in lines[-1]


def test_the_page_is_hidden_from_git_and_says_whether_the_search_goes_on(tmp_path: Path) -> None:
    for running in (True, False):
        write_page(tmp_path, STANDING, running=running)
        page = (tmp_path / PAGE).read_text("utf-8")
        assert ("Last written at" in page) is running
        assert "0.0123457" in page
    assert {path.name for path in (tmp_path / PAGE).parent.iterdir()} == {"index.html", ".gitignore"}
    assert (tmp_path / PAGE).with_name(".gitignore").read_text() == "*\n"
