"""Training with several steps in a call and kept images is interrupted: the bits are as without both."""

import json
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import TypeVar

import pytest

from tests.interrupted import ENDED, EPOCHS, RESUMED, STEPS, TinyRun, _train, kill

Kind = TypeVar("Kind", bound=TinyRun)
PER_CALL = 3  # of 20 steps: the last call of an epoch has two


class InCalls(TinyRun):
    """Trains with several steps in a call and keeps the images on the device, as on a GPU."""

    def _start(self, target: Callable[..., None], environment: dict[str, str] | None = None) -> ForkServerProcess:
        return super()._start(_train_in_calls if target is _train else target, environment)


def _train_in_calls(folder: Path, log: Path, environment: dict[str, str]) -> None:
    from resnet.network import device_kernels

    device_kernels.PROCESSOR = replace(
        device_kernels.PROCESSOR, steps_per_call=PER_CALL, steps_ahead=4, batches_on="CPU:0", kept_bytes=1e9
    )
    _train(folder, log, environment)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[TinyRun, str]:
    """A run of single steps and the hash of its results."""
    run = TinyRun(tmp_path_factory.mktemp("single"))
    return run, run.complete()


@pytest.fixture
def run(undisturbed: tuple[TinyRun, str], tmp_path: Path) -> InCalls:
    return copy_of(undisturbed[0], InCalls, tmp_path)


def copy_of(run: TinyRun, kind: type[Kind], folder: Path) -> Kind:
    """A copy of a run before training."""
    copy = kind(folder, copy_of=run)
    copy.forget()
    return copy


def test_a_whole_run_has_the_results_of_single_steps(run: InCalls, undisturbed: tuple[TinyRun, str]) -> None:
    assert run.complete() == undisturbed[1]
    assert [run.log.count(f"epoch {epoch}/{EPOCHS}") for epoch in (1, 2, 3)] == [1, 1, 1]


def test_a_run_that_is_ended_in_the_middle_goes_on_from_the_end_of_a_call(
    run: InCalls, undisturbed: tuple[TinyRun, str]
) -> None:
    for place in ((1, 9), (2, 20), (3, 15)):
        assert run.join(run.start(stop_at=place)) == 143
        assert ENDED.findall(run.log)[-1] == (str(place[0]), str(place[1]))
    assert run.complete() == undisturbed[1]
    assert RESUMED.findall(run.log) == ENDED.findall(run.log)


def test_sigkill_costs_no_more_than_the_steps_since_the_last_call(run: InCalls, undisturbed: tuple[TinyRun, str]) -> None:
    for place in ((1, 6), (2, 12)):
        process = run.start(pause=0.02)
        run.wait_for(place)
        kill(process, signal.SIGKILL)
        run.join(process)
        assert all(step in (*range(0, STEPS, PER_CALL), STEPS) for _, step in run.kept())
    assert run.complete() == undisturbed[1]


@pytest.mark.parametrize(
    "phases", [{"mixup": "0.2", "cutmix": "1"}, {"weights": "old.keras", "freeze_epochs": "1", "ema": "0.9"}]
)
def test_two_devices_have_the_results_of_single_steps(
    phases: dict[str, str], undisturbed: tuple[TinyRun, str], tmp_path: Path
) -> None:
    single, run = (copy_of(undisturbed[0], kind, tmp_path / kind.__name__) for kind in (TinyRun, InCalls))
    for one in (single, run):
        one.set(devices="2", accumulate="2", epochs="2", precision="bfloat16", **phases)
    expected = single.complete(devices=2)
    assert run.join(run.start(stop_at=(2, 9), devices=2)) == 143
    assert run.complete(devices=2) == expected
    assert RESUMED.findall(run.log) == [("2", "9")]


def test_a_finished_run_is_repeated_in_as_many_parts_although_more_memory_is_free(run: InCalls) -> None:
    run.set(accumulate="auto", epochs="1")
    assert run.join(run.start(most=4)) == 0, run.log
    expected = run.outcome()
    for folder in run.checkpoints.glob("*/"):
        shutil.rmtree(folder)  # as after three other runs
    assert run.complete() == expected
    assert "train: train.accumulate is 2: in fewer parts" in run.log
    assert "train: train.accumulate is 2: as it was when this run was finished before" in run.log
    assert json.loads((run.checkpoints / "parts.json").read_text("utf-8")).popitem()[1] == 2
