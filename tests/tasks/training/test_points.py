"""The points of a run that other programs read."""

import json
from pathlib import Path
from typing import Any

import pytest

from resnet.training.state import Epoch, Progress
from tasks.training.events import Events
from tasks.training.points import Points, read_points


def step(epoch: int, number: int) -> dict[str, Any]:
    return {"event": "step", "time": 10.0 * epoch + number, "epoch": epoch, "step": number, "steps": 9}


def epoch(number: int) -> dict[str, Any]:
    return {"event": "epoch", "time": 10.0 * number + 9, "epoch": number}


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
    for event in (start(1, 0), step(1, 3), step(1, 9), epoch(1), step(2, 3), step(2, 6), {"event": "end", "time": 1}):
        points.see(event)
    points.see(start(1, 9))  # its last checkpoint was before the validation of epoch 1
    assert (places(points), points.end) == ([(1, 3), (1, 9)], {})
    for event in (epoch(1), step(2, 3), step(2, 3)):
        points.see(event)
    assert places(points) == [(1, 3), (1, 9), (1, None), (2, 3)]


@pytest.mark.parametrize("event", [{}, {"event": "step"}, {"event": "new", "time": 1}, {"event": "epoch", "epoch": None}])
def test_events_of_other_forms_are_ignored(event: dict[str, Any]) -> None:
    points = Points()
    points.see(event)
    assert list(points) == []


def test_lines_that_are_no_events_are_ignored(tmp_path: Path) -> None:
    (tmp_path / "e").write_text(f"3\nx\n[]\n{json.dumps(epoch(1))}\n\x00\n")
    assert places(read_points(tmp_path / "e")) == [(1, None)]
