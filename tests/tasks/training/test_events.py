"""The record of events that training writes."""

import json
import os
import resource
import signal
from pathlib import Path
from typing import Any

import pytest

from resnet.training.state import Epoch, Progress
from tasks.stage.signals import EndedError
from tasks.training.events import Events

EPOCH = Epoch(
    epoch=1, loss=0.5, accuracy=0.75, val_loss=0.25, val_accuracy=1.0, learning_rate=0.01, seconds=2.0, images_per_second=8.0
)


def progress(step: int) -> Progress:
    return Progress(epoch=1, step=step, steps=9, loss=0.5, accuracy=0.75, learning_rate=0.01, images_per_second=8.0)


def read(path: Path) -> list[dict[str, Any]]:
    events = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert all(event.pop("time") > 1e9 for event in events)
    return events


def test_a_run_is_recorded_with_all_its_fields(tmp_path: Path) -> None:
    path = tmp_path / "new" / "train.jsonl"
    with Events(path) as events:
        events.start(run="0123", epochs=2, steps=9, epoch=1, step=0, precision="float32", devices=["CPU"])
        events.step(progress(1))
        events.epoch(EPOCH)
    assert read(path) == [
        {
            "event": "start",
            "format": 1,
            "process": os.getpid(),
            "run": "0123",
            "epochs": 2,
            "steps": 9,
            "epoch": 1,
            "step": 0,
            "precision": "float32",
            "devices": ["CPU"],
        },
        {
            "event": "step",
            "epoch": 1,
            "step": 1,
            "steps": 9,
            "loss": 0.5,
            "accuracy": 0.75,
            "learning_rate": 0.01,
            "images_per_second": 8.0,
        },
        {
            "event": "epoch",
            "epoch": 1,
            "loss": 0.5,
            "accuracy": 0.75,
            "val_loss": 0.25,
            "val_accuracy": 1.0,
            "learning_rate": 0.01,
            "seconds": 2.0,
            "size": 0,
            "images_per_second": 8.0,
        },
        {"event": "end", "outcome": "finished", "epochs": 1, "message": ""},
    ]


def test_steps_are_recorded_at_most_every_two_seconds(tmp_path: Path) -> None:
    moments = iter([100.0, 101.9, 102.0, 103.0, 104.5])
    events = Events(tmp_path / "e", clock=lambda: next(moments))
    for step in range(1, 6):
        events.step(progress(step))
    assert [event["step"] for event in read(tmp_path / "e")] == [1, 3, 5]


def test_each_line_can_be_read_at_once(tmp_path: Path) -> None:
    events = Events(tmp_path / "e")
    for number in range(1, 4):
        events.epoch(EPOCH)
        assert len(read(tmp_path / "e")) == number


@pytest.mark.parametrize(
    ("error", "outcome", "message"),
    [(EndedError(signal.SIGTERM), "interrupted", "ended by SIGTERM"), (ValueError("too hot"), "failed", "too hot")],
)
def test_the_end_has_its_reason(tmp_path: Path, error: BaseException, outcome: str, message: str) -> None:
    with pytest.raises(type(error)), Events(tmp_path / "e"):
        raise error
    assert read(tmp_path / "e") == [{"event": "end", "outcome": outcome, "epochs": 0, "message": message}]


def test_a_new_process_replaces_the_record(tmp_path: Path) -> None:
    (tmp_path / "e").write_text('{"event": "of an earlier process"}\n{"half')
    with Events(tmp_path / "e"):
        pass
    assert [event["event"] for event in read(tmp_path / "e")] == ["end"]


def test_the_environment_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAIN_RESNET_EVENTS", str(tmp_path / "e"))
    with Events.from_environment():
        pass
    assert len(read(tmp_path / "e")) == 1


@pytest.mark.parametrize("value", [None, ""])
def test_without_a_file_nothing_is_written(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRAIN_RESNET_EVENTS", raising=False)
    if value is not None:
        monkeypatch.setenv("TRAIN_RESNET_EVENTS", value)
    monkeypatch.setattr("json.dumps", None)
    monkeypatch.setattr("os.write", None)
    with Events.from_environment() as events:
        events.start(epochs=1)
        events.step(progress(1))
        events.epoch(EPOCH)


@pytest.mark.parametrize("kind", ["folder", "below a file", "full device", "named pipe", "no permission"])
def test_a_file_that_cannot_be_written_does_not_end_training(tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    path = {
        "folder": tmp_path,
        "below a file": tmp_path / "file" / "e",
        "full device": Path("/dev/full"),
        "named pipe": tmp_path / "pipe",
        "no permission": Path("/proc/e"),
    }[kind]
    with Events(path) as events:
        events.start(epochs=1)
        events.epoch(EPOCH)


def test_a_line_that_a_full_disk_cut_off_spoils_no_other(tmp_path: Path) -> None:
    events = Events(tmp_path / "e")
    events.epoch(EPOCH)
    size = (tmp_path / "e").stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, before[1]))
    try:
        events.epoch(EPOCH)
        events.epoch(EPOCH)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    events.epoch(EPOCH)
    first, cut, last = (tmp_path / "e").read_text("utf-8").splitlines()
    assert cut == last[:10]
    assert json.loads(first)["event"] == json.loads(last)["event"] == "epoch"


def test_it_says_whether_the_file_has_all_events(tmp_path: Path) -> None:
    events = Events(tmp_path / "e")
    events.epoch(EPOCH)
    assert events.error is None
    events.close()
    assert json.loads((tmp_path / "e").read_text("utf-8"))["event"] == "epoch"
    for path, why in ((Path("/dev/full"), "No space left on device"), (tmp_path, "Is a directory")):
        events = Events(path)
        events.epoch(EPOCH)
        assert events.error is not None
        assert events.error.strerror == why
