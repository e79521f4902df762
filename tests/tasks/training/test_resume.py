"""Which facts decide a run, which checkpoints it can start from, and when it writes one."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resnet.core.errors import UserError
from resnet.training.checkpoint_files import list_checkpoints, write_checkpoint
from resnet.training.state import Snapshot
from tasks.stage.signals import EndedError
from tasks.train import Train
from tasks.training.fingerprint import differences, fingerprint
from tasks.training.resume import checkpoint_seconds, decisive, keeping, resume, sources
from tasks.training.runs import Run
from tests.tasks.test_train import VALUES

CHANGES: dict[str, Any] = {
    "epochs": 5,
    "restarts": [2],
    "size_schedule": [16, 32],
    "batch_size": 9,
    "optimizer": "sgd",
    "learning_rate": 0.011,
    "schedule": "one_cycle",
    "warmup_epochs": 0.5,
    "momentum": 0.81,
    "weight_decay": 0.004,
    "devices": 2,
    "label_smoothing": 0.21,
    "shift": 0.16,
    "flip": False,
    "balance": "weights",
    "crop": 0.51,
    "trivial_augment": True,
    "mixup": 0.21,
    "cutmix": 1.1,
    "ema": 0.91,
    "accumulate": 2,
    "freeze_epochs": 1,
    "unfrozen_rate": 0.11,
    "patience": 3,
    "budget_minutes": 1.1,
}


def test_every_parameter_makes_another_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").write_text("1")
    (tmp_path / "code.py").write_text("1")
    base = decisive(Train(**VALUES), 0, [Path("data")], [Path("code.py")])
    # The precision that `auto` comes to is what counts; the stage adds it.
    assert CHANGES.keys() | {"precision"} == Train.model_fields.keys()
    for name, value in CHANGES.items():
        changed = decisive(Train(**(VALUES | {name: value})), 0, [Path("data")], [Path("code.py")])
        assert differences(base, changed) == [f"train.{name}"]
        assert fingerprint(changed) != fingerprint(base)
    assert differences(base, decisive(Train(**VALUES), 1, [Path("data")], [Path("code.py")])) == ["seed"]
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    assert "environment.TF_ENABLE_ONEDNN_OPTS" in differences(base, decisive(Train(**VALUES), 0, [], []))


def test_a_longer_run_can_start_from_the_shorter_ones(tmp_path: Path) -> None:
    def run(epochs: int, restarts: list[int]) -> Run:
        facts = {"train.epochs": epochs, "train.restarts": restarts}
        return Run(tmp_path / fingerprint(facts), facts)

    params: Any = Train(**(VALUES | {"epochs": 40, "restarts": [10, 20]}))
    assert list(sources(run(40, [10, 20]), params)) == [run(40, [10, 20]), run(20, [10]), run(10, [])]


@pytest.mark.parametrize("value", ["soon", "-1", "nan", "inf"])
def test_the_time_between_checkpoints_is_a_number(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert checkpoint_seconds() == 180
    monkeypatch.setenv("TRAIN_RESNET_CHECKPOINT_SECONDS", value)
    with pytest.raises(UserError, match="TRAIN_RESNET_CHECKPOINT_SECONDS must be a number of seconds"):
        checkpoint_seconds()


class State:
    """Replaces the state of a run."""

    epoch, step = 1, 0

    def snapshot(self) -> Snapshot:
        return Snapshot({"a": np.zeros(1, np.float32)}, {"epoch": self.epoch, "step": self.step})

    def restore(self, snapshot: Snapshot) -> None:
        self.epoch, self.step = snapshot.facts["epoch"], snapshot.facts["step"]


@pytest.fixture
def begun(tmp_path: Path) -> Callable[[int, list[int]], Run]:
    """Makes the folder of a run."""

    def make(epochs: int, restarts: list[int]) -> Run:
        facts = {"train.epochs": epochs, "train.restarts": restarts}
        run = Run(tmp_path / fingerprint(facts), facts)
        run.folder.mkdir()
        return run

    return make


def test_a_run_resumes_from_its_own_checkpoint_first(
    begun: Callable[[int, list[int]], Run], capsys: pytest.CaptureFixture[str]
) -> None:
    state: Any = State()
    params: Any = Train(**(VALUES | {"epochs": 20, "restarts": [10]}))
    longer, shorter = begun(20, [10]), begun(10, [])
    assert resume(state, longer, params) is None
    for run, epoch, step in ((shorter, 11, 0), (longer, 12, 3)):
        other = State()
        other.epoch, other.step = epoch, step
        write_checkpoint(run.folder, other.snapshot())
        assert resume(state, longer, params) == f"resumes from epoch {epoch}, step {step}"
        assert (state.epoch, state.step) == (epoch, step)
        expected = f"train: resumes from epoch {epoch}, step {step} (checkpoint of run {run.folder.name})\n"
        assert capsys.readouterr().out == expected


@pytest.mark.parametrize(("epoch", "last"), [(11, 10), (8, 7)])  # the second one was stopped early
def test_a_run_that_had_ended_is_not_said_to_resume(
    epoch: int, last: int, begun: Callable[[int, list[int]], Run], capsys: pytest.CaptureFixture[str]
) -> None:
    state: Any = State()
    run = begun(10, [])
    state.epoch = epoch
    write_checkpoint(run.folder, state.snapshot())
    expected = f"had ended after epoch {last} of 10; only its results are written"
    params: Any = Train(**(VALUES | {"epochs": 10}))
    assert resume(State(), run, params, last_epoch=lambda epochs: last) == expected  # type: ignore[arg-type]
    assert capsys.readouterr().out == f"train: {expected} (checkpoint of run {run.folder.name})\n"


def test_a_signal_after_the_last_epoch_does_not_name_an_epoch_that_there_is_not(
    begun: Callable[[int, list[int]], Run],
) -> None:
    state: Any = State()
    state.epoch = 11
    run = begun(10, [])
    expected = "^ended by SIGTERM after the last epoch; run the same command to write its results$"
    with pytest.raises(EndedError, match=expected), keeping(run, state, 1000.0, lambda: signal.SIGTERM) as keep:
        keep()
    assert run.finished


def test_a_signal_saves_the_state_and_ends_the_run(begun: Callable[[int, list[int]], Run]) -> None:
    state: Any = State()
    signals: list[signal.Signals | None] = [None, signal.SIGTERM]
    run = begun(10, [])
    expected = "^ended by SIGTERM at epoch 1, step 2; run the same command to resume from there$"
    with pytest.raises(EndedError, match=expected), keeping(run, state, 1000.0, lambda: signals.pop(0)) as keep:
        for state.step in (1, 2):
            keep()
    assert [(one.epoch, one.step) for one in list_checkpoints(run.folder)] == [(1, 2)]


def test_the_end_of_a_run_is_saved(begun: Callable[[int, list[int]], Run]) -> None:
    state: Any = State()
    run = begun(10, [])
    with keeping(run, state, 1000.0, lambda: None) as keep:
        state.epoch = 10
        keep()
        assert list_checkpoints(run.folder) == []
        state.epoch = 11
        keep()
    assert [one.epoch for one in list_checkpoints(run.folder)] == [11]
    assert run.finished
    assert keep.cost()["written"] == 1
