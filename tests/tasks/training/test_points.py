"""The points of a run that other programs read."""

import json
from pathlib import Path
from typing import Any

import pytest

from resnet.training.state import Epoch, Progress
from tasks.training.events import Events
from tasks.training.points import Points, read_points

FIGURES = {"loss": 0.5, "accuracy": 0.75, "learning_rate": 0.01, "images_per_second": 8.0}


def step(epoch: int, number: int) -> dict[str, Any]:
    return {"event": "step", "time": 10.0 * epoch + number, "epoch": epoch, "step": number, "steps": 9, **FIGURES}


def epoch(number: int) -> dict[str, Any]:
    validation = {"val_loss": 0.25, "val_accuracy": 1.0, "seconds": 2.0}
    return {"event": "epoch", "time": 10.0 * number + 9, "epoch": number, **FIGURES, **validation}


def start(epoch: int, step: int) -> dict[str, Any]:
    return {"event": "start", "time": 100.0, "epoch": epoch, "step": step, "epochs": 3, "steps": 9}


def places(points: Points) -> list[tuple[int, int | None]]:
    return [(event["epoch"], event.get("step")) for event in points]


def test_a_file_that_training_writes_is_read_while_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    assert list(read_points(path)) == []
    with Events(path, clock=iter([0.0, 5.0]).__next__) as events:
        events.start(run="0a", epochs=3, steps=9, epoch=1, step=0)
        events.step(Progress(1, 4, 9, 0.5, 0.75, 0.01, 8.0))
        assert places(read_points(path)) == [(1, 4)]
        events.epoch(Epoch(1, 0.5, 0.75, 0.25, 1.0, 0.01, 2.0, 8.0))
        with path.open("a") as file:
            file.write('{"event": "step", "epo')
        points = read_points(path)
    assert (points.start["run"], points.start["epochs"], points.end) == ("0a", 3, {})
    assert (points.epochs[0]["val_loss"], points.steps[0]["loss"]) == (0.25, 0.5)
    assert points.time == max(event["time"] for event in points)


def test_what_a_resumed_run_repeats_is_there_once() -> None:
    points = Points()
    for event in (
        start(1, 0),
        step(1, 3),
        step(1, 9),
        epoch(1),
        step(2, 3),
        step(2, 6),
        {"event": "end", "time": 1, "outcome": "failed"},
    ):
        points.see(event)
    points.see(start(1, 9))  # its last checkpoint was before the validation of epoch 1
    assert (places(points), points.end) == ([(1, 3), (1, 9)], {})
    for event in (epoch(1), step(2, 3), step(2, 3)):
        points.see(event)
    assert places(points) == [(1, 3), (1, 9), (1, None), (2, 3)]


ODD = [
    {},
    {"event": "new", "time": 1},
    {"event": ["step"], "time": 1},
    {"event": "step"},
    {**step(1, 3), "time": 1e30},
    {**step(1, 3), "time": float("nan")},
    {**step(1, 3), "epoch": float("inf")},
    {**step(1, 3), "epoch": True},
    {**step(1, 3), "steps": 0},
    {**step(1, 3), "loss": "<b>"},
    {**step(1, 3), "loss": 10**400},
    {name: value for name, value in step(1, 3).items() if name != "steps"},
    {name: value for name, value in epoch(1).items() if name != "val_loss"},
    {**epoch(1), "epoch": None},
    {**epoch(1), "seconds": float("inf")},
    {**epoch(1), "confusion": [[1, 2], [3]]},
    {**start(1, 0), "epochs": "x"},
    {**start(1, 0), "about": "<b>"},
    {**start(1, 0), "about": {"a": 1}},
    {**start(1, 0), "name": 3},
    {**start(1, 0), "devices": "CPU"},
    {"event": "end", "time": 1, "outcome": None},
]


@pytest.mark.parametrize("event", ODD)
def test_events_of_other_forms_are_ignored(event: dict[str, Any]) -> None:
    points = Points()
    points.see(event)
    assert (list(points), points.start, points.end, points.time) == ([], {}, {}, 0.0)


def test_a_loss_that_overflowed_and_unknown_fields_are_no_reason_to_ignore_an_event() -> None:
    points = Points()
    for event in (start(1, 0) | {"new": {}}, step(1, 3) | {"loss": float("nan")}, epoch(1) | {"val_loss": float("inf")}):
        points.see(event)
    assert places(points) == [(1, 3), (1, None)]


def test_lines_that_are_no_events_are_ignored(tmp_path: Path) -> None:
    (tmp_path / "e").write_text(f"3\nx\n[]\n{'[' * 100_000}\n{json.dumps(epoch(1))}\n\x00\n")
    assert places(read_points(tmp_path / "e")) == [(1, None)]
