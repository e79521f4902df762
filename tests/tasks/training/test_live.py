"""What is seen of a run while it goes on, without a run."""

import json
import os
import re
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from resnet.training.state import Epoch, Progress, TrainingState
from tasks.stage.git import git
from tasks.stage.signals import EndedError
from tasks.training.live import Live
from tasks.training.points import read_points
from tasks.training.seen import RECORD, folders

STEP = Progress(epoch=1, step=1, steps=500, loss=0.5, accuracy=0.75, learning_rate=0.01, images_per_second=8.0)
EPOCH = Epoch(1, 0.5, 0.75, 0.25, 1.0, 0.01, 2.0, 8.0)
COUNTS = np.array([[3, 1], [0, 4]])
FACTS: dict[str, Any] = {"run": "0123456789abcdef", "epochs": 3, "steps": 500, "precision": "float32", "devices": ["CPU"]}


class Clock:
    """Seconds that pass when a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_EXP_NAME", "hot")
    monkeypatch.delenv("DVC_ROOT", raising=False)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "params.yaml").write_text("seed: 0\ntrain:\n  epochs: 3\n")
    return tmp_path


def begin(
    live: Live,
    epoch: int = 1,
    step: int = 0,
    history: tuple[Epoch, ...] = (),
    runs: tuple[str, ...] = (),
    *,
    ended: bool = False,
) -> list[Any]:
    state = TrainingState()
    state.epoch, state.step, state.history = epoch, step, list(history)
    images = np.zeros((2, 8, 8, 3), np.uint8)
    return live.start([FACTS["run"], *runs], state, lambda: images, [Path("models/resnet.keras")], **FACTS, ended=ended)


def the_folder() -> Path:
    (folder,) = folders()
    return folder


def steps() -> list[int]:
    return [event["step"] for event in read_points(the_folder() / RECORD).steps]


def test_the_first_line_is_a_link_to_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    with Live() as live:
        begin(live)
        (address,) = re.findall(r"train: (file:///\S+) shows this run while it goes on", capsys.readouterr().out)
        page = Path(address.removeprefix("file://"))
        assert page == Path("live/hot-01234567/index.html").absolute()
        assert 'http-equiv="refresh"' in page.read_text("utf-8")
    assert "Training finished" in page.read_text("utf-8")
    assert Path("live/.gitignore").read_text() == "*\n"


def test_the_page_names_the_seed_also_if_it_is_0_and_that_of_the_commit(project: Path) -> None:
    git(project, "init", "--quiet")
    git(project, "add", "params.yaml")
    git(project, "-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "--quiet", "--message", "first")
    with Live() as live:
        begin(live)
        page = (the_folder() / "index.html").read_text("utf-8")
    assert '<th scope="row">seed</th><td>0</td>' in page
    assert '<th scope="row">parameters that differ from the commit</th><td>none</td>' in page


def test_an_epoch_has_fifty_points_and_one_more_after_ten_seconds() -> None:
    clock = Clock()
    with Live(clock) as live:
        begin(live)
        for step in range(1, 501):
            clock.now += 100 if step == 17 else 0
            live.step(replace(STEP, step=step))
    assert steps() == sorted([*range(10, 501, 10), 17])


def test_the_page_follows_within_ten_seconds_and_at_the_end_of_an_epoch() -> None:
    clock = Clock()
    with Live(clock) as live:
        begin(live)
        page = the_folder() / "index.html"
        for seconds, step, shown in ((9, 10, "Waiting"), (1, 11, "step 10 of"), (9, 20, "step 10 of"), (1, 30, "step 30 of")):
            clock.now += seconds
            live.step(replace(STEP, step=step))
            assert shown in page.read_text("utf-8")
        clock.now += 2
        live.epoch(EPOCH, COUNTS)
        assert "epoch 1 of 3" in page.read_text("utf-8")
        assert read_points(the_folder() / RECORD).epochs[0]["confusion"] == [[3, 1], [0, 4]]
        signal_file = Path(".dvc/tmp/exps/run/DVCLIVE_STEP_COMPLETED")
        assert json.loads(signal_file.read_text()) == {"pid": os.getpid(), "step": 1}
    assert not signal_file.exists()


def test_a_slow_disk_is_written_to_less_often() -> None:
    clock = Clock()
    with Live(clock) as live:
        begin(live)
        live._page_seconds = (0.1, 0.2)
        pages = live.cost()["pages"]
        for _ in range(19):
            clock.now += 1
            live.wait()
        assert live.cost()["pages"] == pages
        clock.now += 1
        live.wait()
        assert live.cost()["pages"] == pages + 1


def test_a_resumed_run_goes_on_in_the_same_folder_under_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EndedError), Live() as live:
        begin(live)
        for step in (10, 20, 30):
            live.step(replace(STEP, step=step))
        raise EndedError(signal.SIGTERM)
    assert "Training interrupted" in (the_folder() / "index.html").read_text("utf-8")
    monkeypatch.setenv("DVC_EXP_NAME", "other")
    with Live() as live:
        earlier = begin(live, step=20)
        assert [(event["event"], event["step"]) for event in earlier] == [("step", 10), ("step", 20)]
        assert steps() == [10, 20]
        live.step(replace(STEP, step=30, loss=0.25))
        assert 'http-equiv="refresh"' in (the_folder() / "index.html").read_text("utf-8")
    board = EventAccumulator(str(the_folder()))
    board.Reload()
    assert [(one.step, one.value) for one in board.Scalars("step/loss")] == [(10, 0.5), (20, 0.5), (30, 0.25)]


def test_a_run_that_had_ended_has_no_images_of_a_later_epoch() -> None:
    with Live() as live:
        begin(live, epoch=4, history=(EPOCH,), ended=True)
    board = EventAccumulator(str(the_folder()))
    board.Reload()
    assert board.Tags()["images"] == []
    assert read_points(the_folder() / RECORD).start["ended"] is True


def test_a_longer_run_takes_over_the_points_of_the_shorter_one() -> None:
    with Live() as live:
        begin(live)
        live.step(replace(STEP, step=500))
        live.epoch(EPOCH, None)
    shorter = the_folder()
    shorter.rename(shorter.with_name("short-fedcba98"))
    with Live() as live:
        earlier = begin(live, epoch=2, history=(EPOCH,), runs=("fedcba9876543210",))
    assert [event["event"] for event in earlier] == ["step", "epoch"]
    assert len(list(folders())) == 2


def test_epochs_that_no_record_has_come_from_the_checkpoint() -> None:
    with Live() as live:
        assert [event["epoch"] for event in begin(live, epoch=3, history=(EPOCH, replace(EPOCH, epoch=2)))] == [1, 2]


@pytest.fixture
def unwritable(project: Path) -> Iterator[None]:
    (project / "live").write_text("a file where the folder should be")
    return iter(())


def test_a_folder_that_cannot_be_made_is_one_line_and_no_more(unwritable: None, capsys: pytest.CaptureFixture[str]) -> None:
    with Live() as live:
        begin(live)
        live.step(replace(STEP, step=500))
        live.epoch(EPOCH, COUNTS)
        live.wait()
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("train: ")]
    assert said == ["train: the folder of this run cannot be written (Not a directory); training goes on without it"]


def test_a_full_disk_is_one_line_for_each_file_and_what_fails_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock()
    with Live(clock) as live:
        begin(live)
        with monkeypatch.context() as full:
            full.setattr(Path, "write_text", _no_space)
            full.setattr("tensorflow.io.TFRecordWriter.write", _no_space)
            for step in (10, 20, 30):
                clock.now += 10
                live.step(replace(STEP, step=step))
            live.epoch(EPOCH, COUNTS)
        clock.now += 600
        live.step(replace(STEP, epoch=2, step=40))
        assert "epoch 2 of 3, step 40 of" in (the_folder() / "index.html").read_text("utf-8")
    said = [line for line in capsys.readouterr().out.splitlines() if "cannot be written" in line]
    assert said == [
        f"train: {what} of this run cannot be written (No space left on device); training goes on without it"
        for what in ("the event file for TensorBoard", "the page", "DVC's signal")
    ]
    board = EventAccumulator(str(the_folder()))
    board.Reload()
    assert [one.step for one in board.Scalars("step/loss")] == [10, 20, 30, 540]


def _no_space(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_bug_does_not_end_training(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("tasks.training.live.render_page", 3)
    with Live() as live:
        begin(live)
    assert "the page of this run cannot be written ('int' object is not callable)" in capsys.readouterr().out


def killed(live: Live) -> None:
    """As if SIGKILL had ended its process."""
    assert live._record is not None
    live._record.close()


def test_a_full_disk_at_a_resume_leaves_the_record_as_it_was(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock()
    first = Live(clock)
    begin(first)
    for step in (10, 20, 30):
        first.step(replace(STEP, step=step))
    killed(first)
    record = (the_folder() / RECORD).read_bytes()
    with Live(clock) as live:
        with monkeypatch.context() as full:
            full.setattr("os.write", _no_space)
            begin(live, step=20)
            live.step(replace(STEP, step=30, loss=0.25))
        assert (the_folder() / RECORD).read_bytes() == record
        assert not list(the_folder().glob(".partial-*"))
        clock.now += 60
        live.step(replace(STEP, step=40))
        points = read_points(the_folder() / RECORD)
        assert (points.start["step"], points.end) == (20, {})
        assert [(event["step"], event["loss"]) for event in points] == [(10, 0.5), (20, 0.5), (30, 0.25), (40, 0.5)]
    assert read_points(the_folder() / RECORD).end["outcome"] == "finished"
    assert capsys.readouterr().out.count("the record of this run cannot be written (No space left on device)") == 1


def test_points_that_a_full_disk_lost_are_in_the_record_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    with Live(Clock()) as live:
        begin(live)
        with monkeypatch.context() as full:
            full.setattr("os.write", _no_space)
            live.step(replace(STEP, step=10))
        live.step(replace(STEP, step=20))
    assert steps() == [10, 20]
    assert read_points(the_folder() / RECORD).end["outcome"] == "finished"


def test_a_folder_that_could_not_be_made_is_made_later(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock()
    with Live(clock) as live:
        with monkeypatch.context() as full:
            full.setattr(Path, "mkdir", _no_space)
            begin(live)
            live.step(replace(STEP, step=10))
        clock.now += 60
        live.step(replace(STEP, step=20))
        assert steps() == [10, 20]
        assert "step 20 of" in (the_folder() / "index.html").read_text("utf-8")
        assert (capsys.readouterr().out.count("shows this run while it goes on")) == 1
    board = EventAccumulator(str(the_folder()))
    board.Reload()
    assert [one.step for one in board.Scalars("step/loss")] == [10, 20]


def test_without_its_gitignore_a_run_is_seen_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    with Live(clock) as live:
        with monkeypatch.context() as full:
            full.setattr("tasks.training.live.hide_from_git", _no_space)
            begin(live)
            live.step(replace(STEP, step=10))
        assert steps() == [10]
        clock.now += 60
        live.step(replace(STEP, step=20))
        assert Path("live/.gitignore").read_text() == "*\n"


def test_a_process_that_ends_without_leaving_the_context_shows_its_end() -> None:
    """As a signal ends it while the first step compiles."""
    live = Live()
    live.stop(EndedError(signal.SIGINT))  # before the start there is nothing to show
    begin(live)
    live.stop(EndedError(signal.SIGINT))
    page = (the_folder() / "index.html").read_text("utf-8")
    assert "Training interrupted" in page
    assert "ended by SIGINT" in page
    assert "refresh" not in page
    assert read_points(the_folder() / RECORD).end["outcome"] == "interrupted"
