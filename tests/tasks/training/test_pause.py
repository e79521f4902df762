"""Where a run pauses, and how it ends there."""

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resnet.core.errors import UserError
from resnet.training.checkpoint_files import list_checkpoints
from resnet.training.state import Snapshot
from tasks.stage.signals import EndedError
from tasks.training.events import outcome_of
from tasks.training.fingerprint import surroundings
from tasks.training.pause import Pause, PausedError
from tasks.training.resume import keeping
from tasks.training.runs import Run

VARIABLE = "TRAIN_RESNET_STOP_AFTER"


@pytest.mark.parametrize("value", ["", "0", "-1", "2.5", "soon", "²", pytest.param("9" * 5000, id="long")])
def test_the_epoch_is_a_whole_number(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, value)
    with pytest.raises(UserError, match="^TRAIN_RESNET_STOP_AFTER must be an epoch, a whole number of at least 1, but it is '"):
        Pause.from_environment(10)
    monkeypatch.setenv(VARIABLE, "007")
    assert Pause.from_environment(10).after == 7


def test_a_run_pauses_at_the_epoch_or_later_but_never_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert [epoch for epoch in range(11) if pauses(Pause.from_environment(10), epoch)] == []
    monkeypatch.setenv(VARIABLE, "3")
    assert [epoch for epoch in range(11) if pauses(Pause.from_environment(10), epoch)] == [3, 4, 5, 6, 7, 8, 9]
    for last in ("10", "11"):
        monkeypatch.setenv(VARIABLE, last)
        assert [epoch for epoch in range(11) if pauses(Pause.from_environment(10), epoch)] == []


def pauses(pause: Pause, epoch: int) -> bool:
    try:
        pause.check(epoch)
    except PausedError:
        return True
    return False


def test_a_pause_has_its_own_exit_code_and_sentence() -> None:
    with pytest.raises(PausedError) as caught:
        Pause(3, 10).check(4)
    assert caught.value.code == 75  # EX_TEMPFAIL in sysexits.h
    words = "paused after epoch 4 of 10, because TRAIN_RESNET_STOP_AFTER is set: unset it and run the same command to go on"
    assert str(caught.value) == words


def test_a_pause_is_neither_an_interruption_nor_a_failure() -> None:
    ends = [None, PausedError(3, 10), EndedError(signal.SIGTERM), ValueError()]
    assert [outcome_of(end) for end in ends] == ["finished", "paused", "interrupted", "failed"]


def test_the_variable_does_not_make_another_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    before = surroundings()
    monkeypatch.setenv(VARIABLE, "3")
    assert surroundings() == before


class State:
    """Stands in for the state of a run."""

    epoch, step = 1, 0

    def snapshot(self) -> Snapshot:
        return Snapshot({"a": np.zeros(1, np.float32)}, {"epoch": self.epoch, "step": self.step})


@pytest.fixture
def run(tmp_path: Path) -> Run:
    made = Run(tmp_path / "run", {"train.epochs": 3})
    made.folder.mkdir()
    return made


def epochs_on_disk(run: Run) -> list[int]:
    return sorted(one.epoch - 1 for one in list_checkpoints(run.folder))


def test_an_epoch_is_on_the_disk_before_it_is_reported_and_before_the_pause(run: Run) -> None:
    state: Any = State()
    with pytest.raises(PausedError), keeping(run, state, 1000.0, lambda: None, pause=Pause(2, 3)) as keep:
        for state.epoch in (2, 3):
            keep.secure()
            assert epochs_on_disk(run)[-1] == state.epoch - 1
            keep()
    assert epochs_on_disk(run) == [1, 2]


def test_a_run_that_does_not_pause_writes_at_its_intervals_only(run: Run) -> None:
    state: Any = State()
    with keeping(run, state, 1000.0, lambda: None) as keep:
        for state.epoch in (2, 3):
            keep.secure()
            keep()
    assert epochs_on_disk(run) == []


def test_the_end_of_a_run_that_may_pause_is_written_once(run: Run) -> None:
    state: Any = State()
    with keeping(run, state, 1000.0, lambda: None, pause=Pause(3, 3)) as keep:
        for state.epoch in (2, 3, 4):
            keep.secure()
            keep()
    assert epochs_on_disk(run) == [2, 3]
    assert keep.cost()["written"] == 3
