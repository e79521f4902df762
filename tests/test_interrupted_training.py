"""Training that is killed, stopped, started twice or orphaned gives the same result as an undisturbed run, bit for bit."""

import csv
import json
import os
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tasks.training.points import read_points
from tests.interrupted import BATCH, ENDED, EPOCHS, RESUMED, STEPS, TinyRun, child_of, is_alive, kill


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[TinyRun, str]:
    """A run and the hash of its results."""
    run = TinyRun(tmp_path_factory.mktemp("run"))
    digest = run.complete()
    shutil.copytree(run.folder / "live", run.folder.parent / "undisturbed")
    return run, digest


@pytest.fixture
def run(undisturbed: tuple[TinyRun, str]) -> TinyRun:
    undisturbed[0].forget()
    return undisturbed[0]


def test_five_sigkills_do_not_change_the_result(run: TinyRun, undisturbed: tuple[TinyRun, str]) -> None:
    dice = random.Random(0)
    for aim in ((1, 3), (1, 12), (2, 1), (2, 15), (3, 2)):
        process = run.start(pause=0.05)
        run.wait_for(aim)
        time.sleep(dice.uniform(0, 0.05))
        kill(process, signal.SIGKILL)
        assert run.join(process) == -signal.SIGKILL
    assert run.complete() == undisturbed[1]
    positions = [(int(epoch), int(step)) for epoch, step in RESUMED.findall(run.log)]
    assert len(positions) == 5
    assert positions == sorted(positions)
    assert positions[-1] >= (3, 2)
    shown, expected = Shown(run.folder / "live"), Shown(run.folder.parent / "undisturbed")
    assert [place for place, *_ in shown.steps] == [(epoch, step) for epoch in (1, 2, 3) for step in range(1, STEPS + 1)]
    assert (shown.steps, shown.epochs) == (expected.steps, expected.epochs)
    assert shown.scalars == expected.scalars
    assert [step for step, _ in shown.scalars["step/loss"]] == list(range(1, EPOCHS * STEPS + 1))
    assert [step for step, _ in shown.scalars["epoch/val_loss"]] == [1, 2, 3]
    assert "Training finished" in shown.page


def test_signals_save_the_work_and_no_step_is_lost(run: TinyRun, undisturbed: tuple[TinyRun, str]) -> None:
    for number, code, aim, as_by_script in (
        (signal.SIGTERM, 143, (1, 2), True),
        (signal.SIGINT, 130, (1, 10), False),
        (signal.SIGINT, 130, (2, 1), True),
        (signal.SIGHUP, 129, (2, 5), False),
    ):
        process = run.start(pause=0.05, as_by_script=as_by_script)
        run.wait_for(aim)
        kill(process, number)
        assert run.join(process) == code
    assert "Traceback" not in run.log
    assert run.complete() == undisturbed[1]
    assert len(ENDED.findall(run.log)) == 4
    assert ENDED.findall(run.log) == RESUMED.findall(run.log)


def test_a_second_trainer_refuses_and_an_orphan_ends(run: TinyRun, undisturbed: tuple[TinyRun, str]) -> None:
    parent = run.start(with_parent=True, pause=0.02)
    run.wait_for((1, 1))
    trainer = child_of(run)
    os.kill(trainer, signal.SIGSTOP)  # so that it does not finish in the meantime
    assert run.join(run.start()) == 1
    assert f"train: process {trainer} on " in run.log
    assert "is training this very run; wait until it has finished" in run.log
    kill(parent, signal.SIGKILL)
    os.kill(trainer, signal.SIGCONT)
    deadline = time.monotonic() + 60
    while is_alive(trainer):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert len(ENDED.findall(run.log)) == 1
    assert run.complete() == undisturbed[1]


def test_a_finished_run_is_not_trained_again(run: TinyRun, undisturbed: tuple[TinyRun, str]) -> None:
    assert run.complete() == undisturbed[1]
    (run.folder / "models" / "resnet.keras").unlink()
    (run.folder / "reports" / "history.csv").unlink()
    assert run.complete() == undisturbed[1]
    assert "train: had ended after epoch 3 of 3; only its results are written (checkpoint of run " in run.log
    assert RESUMED.findall(run.log) == []
    assert run.log.count("epoch 3/3") == 1


def test_a_flipped_bit_is_found_and_the_previous_checkpoint_is_used(run: TinyRun, undisturbed: tuple[TinyRun, str]) -> None:
    process = run.start(pause=0.02)
    run.wait_for((2, 10))
    kill(process, signal.SIGTERM)
    run.join(process)
    newest, before = sorted(run.checkpoints.glob("*/*.safetensors"), reverse=True)
    flip(newest, 12345)
    assert run.complete() == undisturbed[1]
    assert f"train: the checkpoint {newest.relative_to(run.folder)} is damaged: " in run.log
    epoch, step = before.name.split("-")[:2]
    assert RESUMED.findall(run.log) == [(str(int(epoch[1:])), str(int(step[1:])))]


def flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def test_a_longer_run_continues_from_the_end_of_a_shorter_one(run: TinyRun) -> None:
    try:
        run.set(epochs="5", restarts="[3]")
        from_scratch = run.complete()
        assert RESUMED.findall(run.log) == []
        run.forget()
        run.set(epochs="3", restarts="[]")
        run.complete()
        run.set(epochs="5", restarts="[3]")
        assert run.complete() == from_scratch
        assert RESUMED.findall(run.log) == [("4", "0")]
        assert rates(run) == pytest.approx([0.002, 0.001, 0.0, 0.001, 0.0], abs=4e-4)
    finally:
        run.set(epochs="3", restarts="[]")


def rates(run: TinyRun) -> list[float]:
    rows = (run.folder / "reports" / "history.csv").read_text().splitlines()[1:]
    return [float(row.rpartition(",")[2]) for row in rows]


def test_a_run_goes_on_in_as_many_parts_as_it_found_out(run: TinyRun) -> None:
    def accumulated() -> int:
        return int(json.loads((run.folder / "reports" / "run.json").read_text())["stages"]["train"]["accumulate"])

    try:
        run.set(accumulate="2")
        in_two_parts = run.complete()
        run.forget()
        run.set(accumulate="1")
        assert run.join(run.start(most=BATCH // 2)) == 1
        assert run.log.splitlines()[-1] == (
            "train: a step of 8 images of 32 x 32 pixels needs more memory than is free: set train.accumulate to auto or 2, or "
            "lower train.batch_size."
        )
        run.forget()
        run.set(accumulate="auto")
        assert run.join(run.start(most=BATCH // 2, stop_at=(2, 7))) == 143
        assert "train.accumulate is 2: in fewer parts the largest step does not fit into memory" in run.log
        assert run.complete() == in_two_parts  # although all of a batch would fit now
        assert RESUMED.findall(run.log) == [("2", "7")]
        assert accumulated() == 2
        run.forget()
        run.complete()
        assert accumulated() == 1
    finally:
        run.set(accumulate="1")


def test_a_resumed_run_records_all_epochs_again(run: TinyRun) -> None:
    path = run.folder.parent / "events.jsonl"
    assert run.join(run.start(stop_at=(2, 7), events=str(path))) == 143
    assert "Training interrupted" in Shown(run.folder / "live").page
    first = read_events(path)
    assert [event["event"] for event in first if event["event"] != "step"] == ["start", "epoch", "end"]
    assert (first[-1]["outcome"], first[-1]["epochs"]) == ("interrupted", 1)
    assert first[-1]["message"].startswith("ended by SIGTERM at epoch 2, step 7; ")
    assert run.join(run.start(events=str(path))) == 0
    start, *others = [event for event in read_events(path) if event["event"] != "step"]
    assert (start["epochs"], start["steps"], start["epoch"], start["step"]) == (EPOCHS, STEPS, 2, 7)
    assert start["run"] == next(run.checkpoints.glob("*/")).name
    steps = [(event["epoch"], event["step"]) for event in read_events(path) if event["event"] == "step"]
    assert steps[: STEPS + 7] == [(1, step) for step in range(1, STEPS + 1)] + [(2, step) for step in range(1, 8)]
    assert [(event["event"], event.get("epoch")) for event in others] == [
        ("epoch", 1),
        ("epoch", 2),
        ("epoch", 3),
        ("end", None),
    ]
    assert others[-1]["outcome"] == "finished"
    rows = list(csv.DictReader((run.folder / "reports" / "history.csv").read_text("utf-8").splitlines()))
    for row, event in zip(rows, others[:-1], strict=True):
        assert all(float(text) == pytest.approx(event[name], rel=1e-5) for name, text in row.items())


def test_a_run_that_pauses_after_each_epoch_ends_with_the_same_bytes(run: TinyRun, undisturbed: tuple[TinyRun, str]) -> None:
    path = run.folder.parent / "events.jsonl"
    for epoch, seconds in ((1, 60), (1, 60), (2, 60)):  # the second time it is there already
        assert run.join(run.start(seconds, stop_after=epoch, events=str(path))) == 75
        assert not (run.folder / "models" / "resnet.keras").exists()
        assert run.position() == (epoch + 1, 0)
        points = read_points(path)
        assert (points.end["outcome"], points.end["epochs"]) == ("paused", epoch)
        assert [event["epoch"] for event in points.epochs] == list(range(1, epoch + 1))
        assert "Training paused" in Shown(run.folder / "live").page
    assert "Traceback" not in run.log
    assert run.log.count("epoch 1/3") == run.log.count("epoch 2/3") == 1
    assert run.log.count("\ntrain: paused after epoch 1 of 3, because TRAIN_RESNET_STOP_AFTER is set: unset it and run") == 2
    assert run.join(run.start(60, stop_after=3)) == 0
    assert run.outcome() == undisturbed[1]
    assert RESUMED.findall(run.log) == [("2", "0"), ("2", "0"), ("3", "0")]


def test_a_full_disk_for_events_does_not_change_the_result(run: TinyRun, undisturbed: tuple[TinyRun, str]) -> None:
    assert run.join(run.start(events="/dev/full")) == 0
    assert run.outcome() == undisturbed[1]


class Shown:
    """What is seen of the only run: its points, the curves that TensorBoard reads, and the page. Without times and rates."""

    def __init__(self, folder: Path) -> None:
        (record,) = folder.glob("*/record.jsonl")
        points = read_points(record)
        self.steps = [((one["epoch"], one["step"]), one["loss"], one["accuracy"], one["learning_rate"]) for one in points.steps]
        self.epochs = [
            (one["epoch"], one["loss"], one["val_loss"], one["val_accuracy"], one["confusion"]) for one in points.epochs
        ]
        board = EventAccumulator(str(record.parent), size_guidance={"scalars": 0})
        board.Reload()
        tags = [tag for tag in board.Tags()["scalars"] if not tag.endswith(("seconds", "per_second"))]
        self.scalars = {tag: [(one.step, one.value) for one in board.Scalars(tag)] for tag in tags}
        self.page = (record.parent / "index.html").read_text("utf-8")


def read_events(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
