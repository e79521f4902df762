"""How the flow follows the record of events that training writes."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flows import training_progress
from flows.training_progress import CurvePage, EventTail, Position, TrainingProgress
from resnet.training.state import Epoch, Progress
from tasks.training.events import Events

EPOCH = Epoch(2, 0.5, 0.75, 0.25, 0.875, 0.01, 2.0, 8.0)


def add(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def test_only_complete_lines_are_read_and_each_of_them_once(tmp_path: Path) -> None:
    path = tmp_path / "e"
    tail = EventTail(path)
    assert list(tail.read_new()) == []
    add(path, '{"n": 1}\n{"n": 2}\n{"n":')
    assert list(tail.read_new()) == [{"n": 1}, {"n": 2}]
    assert list(tail.read_new()) == []
    add(path, " 3}\n")
    assert list(tail.read_new()) == [{"n": 3}]


def test_lines_that_are_not_events_are_skipped(tmp_path: Path) -> None:
    add(tmp_path / "e", '{"n": 1}\n{"n": \n[2]\n\n{"n": 3}\n')
    assert list(EventTail(tmp_path / "e").read_new()) == [{"n": 1}, {"n": 3}]


def test_a_record_that_starts_again_is_read_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "e"
    tail = EventTail(path)
    add(path, '{"n": 1}\n{"n": 2}\n')
    list(tail.read_new())
    path.write_text('{"n": 3}\n')  # shorter
    assert list(tail.read_new()) == [{"n": 3}]
    add(tmp_path / "other", '{"n": 4}\n{"n": 5}\n')
    (tmp_path / "other").rename(path)  # another file
    assert list(tail.read_new()) == [{"n": 4}, {"n": 5}]


def seen(events: list[dict[str, Any]]) -> tuple[float, str]:
    position = Position()
    for event in events:
        position.see(event)
    return position.percent, position.words


START = {"event": "start", "time": 1.0, "epochs": 4, "steps": 10, "epoch": 1, "step": 0}
RATES = {"learning_rate": 0.1, "images_per_second": 8.0}
STEP = {"event": "step", "time": 2.0, "epoch": 2, "step": 5, "steps": 10, "loss": 0.5, "accuracy": 0.75, **RATES}
END_OF_EPOCH = {
    "event": "epoch",
    "time": 3.0,
    "epoch": 2,
    "loss": 0.5,
    "accuracy": 0.75,
    "val_loss": 0.25,
    "val_accuracy": 0.875,
    "seconds": 2.0,
    **RATES,
}


@pytest.mark.parametrize(
    ("events", "percent", "words"),
    [
        ([], 0.0, ""),
        ([START], 0.0, ""),
        ([START, STEP], 37.5, "epoch 2 of 4, step 5 of 10: loss 0.5000, accuracy 0.7500"),
        ([START, END_OF_EPOCH], 50.0, "epoch 2 of 4: loss 0.5000, accuracy 0.7500, val_loss 0.2500, val_accuracy 0.8750"),
        (
            [START, STEP, {"event": "end", "outcome": "finished"}],
            100.0,
            "epoch 2 of 4, step 5 of 10: loss 0.5000, accuracy 0.7500",
        ),
        (
            [START, STEP, {"event": "end", "outcome": "failed"}],
            37.5,
            "epoch 2 of 4, step 5 of 10: loss 0.5000, accuracy 0.7500",
        ),
        ([START, {}, {"event": "new"}, {"event": "step"}, {"event": "start"}, {**STEP, "steps": 0}], 0.0, ""),
        ([STEP], 0.0, ""),
    ],
)
def test_the_position_follows_the_events(events: list[dict[str, Any]], percent: float, words: str) -> None:
    assert seen(events) == (percent, words)


def test_it_reads_what_training_writes(tmp_path: Path) -> None:
    with Events(tmp_path / "e") as events:
        events.start(epochs=4)
        events.step(Progress(epoch=2, step=5, steps=10, loss=0.5, accuracy=0.75, learning_rate=0.1, images_per_second=8.0))
        events.epoch(EPOCH)
    assert seen(list(EventTail(tmp_path / "e").read_new())) == (
        100.0,
        "epoch 2 of 4: loss 0.5000, accuracy 0.7500, val_loss 0.2500, val_accuracy 0.8750",
    )


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, float, str]]:
    """What the server was asked to show: the artifact (None for a new one), percent, words."""
    calls: list[tuple[Any, float, str]] = []

    def create(progress: float, key: str, description: str) -> str:
        calls.append((None, progress, description))
        return f"artifact {key}"

    monkeypatch.setattr(training_progress, "TaskRunContext", type("Context", (), {"get": staticmethod(lambda: "a run")}))
    monkeypatch.setattr(training_progress, "create_progress_artifact", create)
    monkeypatch.setattr(training_progress.CurvePage, "show", lambda page, words, last: None)
    monkeypatch.setattr(
        training_progress,
        "update_progress_artifact",
        lambda artifact, progress, description: calls.append((artifact, progress, description)),
    )
    return calls


def test_the_last_state_is_shown_at_the_end(tmp_path: Path, shown: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_progress, "_POLL_SECONDS", 1000.0)
    with TrainingProgress(tmp_path / "e", "train") as progress:
        add(tmp_path / "e", json.dumps(START) + "\n" + json.dumps(END_OF_EPOCH) + "\n")
        assert progress.environment == {"TRAIN_RESNET_EVENTS": str(tmp_path / "e")}
    assert [(artifact, percent) for artifact, percent, _ in shown] == [(None, 50.0)]


def test_an_odd_record_ends_nothing(tmp_path: Path, shown: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread would end at an error, and pytest reports that as a failure."""
    monkeypatch.setattr(training_progress, "_POLL_SECONDS", 1000.0)
    with TrainingProgress(tmp_path / "e", "train"):
        odd = [{**STEP, "loss": "x"}, {**STEP, "epoch": float("inf")}, {**START, "epochs": "x"}]
        add(tmp_path / "e", "".join(json.dumps(event) + "\n" for event in (START, END_OF_EPOCH, *odd)))
    assert [percent for _, percent, _ in shown] == [50.0]


def test_the_same_state_is_shown_once_and_an_artifact_is_updated(tmp_path: Path, shown: list[Any]) -> None:
    progress = TrainingProgress(tmp_path / "e", "train")
    progress._show(0.0, "")
    for percent in (10.0, 10.0, 20.0):
        progress._show(percent, "epoch 1")
    assert shown == [(None, 10.0, "epoch 1"), ("artifact train-progress", 20.0, "epoch 1")]


def test_a_server_that_cannot_be_reached_is_a_warning(
    tmp_path: Path, shown: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: Any) -> None:
        raise ConnectionError("no server")

    warnings: list[str] = []
    logger = type("Logger", (), {"warning": lambda _, text, error: warnings.append(text % error)})()
    monkeypatch.setattr(training_progress, "create_progress_artifact", refuse)
    monkeypatch.setattr(training_progress, "get_run_logger", lambda: logger)
    with TrainingProgress(tmp_path / "e", "train"):
        add(tmp_path / "e", json.dumps(START) + "\n" + json.dumps(STEP) + "\n")
    assert warnings == ["The progress could not be shown: no server"]


def test_outside_of_a_task_run_nothing_is_shown(tmp_path: Path) -> None:
    with TrainingProgress(tmp_path / "e", "train") as progress:
        add(tmp_path / "e", json.dumps(START) + "\n" + json.dumps(STEP) + "\n")
    assert not progress._thread.is_alive()


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The pages that the server was sent: the artifact that was replaced, or its key for a new one, and the description."""
    sent: list[tuple[str, str]] = []

    def create(markdown: str, key: str, description: str) -> str:
        assert markdown.startswith(description)
        sent.append((key, description))
        return "id"

    @contextmanager
    def client(sync_client: bool) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(update_artifact=lambda artifact, update: sent.append((artifact, update.description)))

    monkeypatch.setattr(training_progress, "create_markdown_artifact", create)
    monkeypatch.setattr(training_progress, "get_client", client)
    return sent


def test_the_curves_are_replaced_at_each_epoch_and_every_ten_seconds(pages: list[Any]) -> None:
    seconds = iter([0.0, 9.0, 9.5, 10.0, 10.5, 11.0, 12.0])
    page = CurvePage("train-curves", lambda: next(seconds))
    page.show("before the first figures", False)  # 0 s
    page.curve.see(START)
    page.curve.see({**STEP, "epoch": 1})
    page.show("step 5", False)  # 9 s: the first figures
    page.show("step 6", False)  # too soon
    page.curve.see({**END_OF_EPOCH, "epoch": 1})
    page.show("epoch 1", False)  # 10 s: at once
    page.show("step 1", False)  # too soon
    page.show("step 2", True)  # training ended
    page.show("step 2", True)  # the same again
    assert pages == [("train-curves", "step 5"), ("id", "epoch 1"), ("id", "step 2")]


def test_within_an_epoch_the_curves_are_at_most_ten_seconds_old(pages: list[Any]) -> None:
    seconds = iter(range(0, 120, 2))
    page = CurvePage("train-curves", lambda: next(seconds))
    page.curve.see(START)
    page.curve.see(STEP)
    for number in range(60):  # every two seconds, as the record has a new step
        page.show(f"step {number}", False)
    assert [words for _, words in pages] == [f"step {number}" for number in range(0, 60, 5)]
