"""Locks and training slots, within a process and between processes."""

import fcntl
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from flows import locks
from flows.ending import RunEndedError
from flows.locks import find_gpus, held, is_held, slot, slot_count
from resnet.core.errors import UserError
from tests.imports import ROOT


@pytest.fixture(autouse=True)
def own_slots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.delenv("TRAIN_RESNET_SLOTS", raising=False)


def nothing() -> None:
    """Is called before a wait."""


def test_a_lock_is_free_again_when_its_holder_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    program = (
        "import pathlib, time\nfrom flows.locks import held\n"
        f"with held(pathlib.Path({str(path)!r})):\n    print(1, flush=True)\n    time.sleep(99)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert is_held(path)
        with held(path, holder.kill):  # the waiting side kills the holder
            assert is_held(path)
    assert not is_held(path)


@pytest.mark.parametrize(
    ("gpus", "slots", "expected"),
    [
        ("", None, [{}]),
        ("-1", None, [{}]),
        ("0,1,2", None, [{"CUDA_VISIBLE_DEVICES": name} for name in ("0", "1", "2")]),
        ("GPU-5ebe, GPU-77aa", None, [{"CUDA_VISIBLE_DEVICES": name} for name in ("GPU-5ebe", "GPU-77aa")]),
        ("0,1", "3", [{"CUDA_VISIBLE_DEVICES": name} for name in ("0", "1", "0")]),
        ("0,1", "1", [{"CUDA_VISIBLE_DEVICES": "0"}]),
        ("", "2", [{}, {}]),
    ],
)
def test_each_slot_is_held_by_one_run(
    monkeypatch: pytest.MonkeyPatch, gpus: str, slots: str | None, expected: list[dict[str, str]]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
    if slots:
        monkeypatch.setenv("TRAIN_RESNET_SLOTS", slots)
    assert slot_count() == len(expected)
    with ExitStack() as stack:
        assert [stack.enter_context(slot(nothing)) for _ in expected] == expected

        def give_one_back() -> None:
            stack.close()

        with slot(give_one_back) as environment:  # no slot was free, so it waited
            assert environment == expected[0]


def test_a_run_on_several_gpus_holds_a_slot_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    with ExitStack() as stack:
        assert stack.enter_context(slot(nothing, 2)) == {"CUDA_VISIBLE_DEVICES": "0,1"}

        def third_is_free() -> None:
            with slot(nothing) as other:  # a run that waits for two GPUs does not hold the free one
                assert other == {"CUDA_VISIBLE_DEVICES": "2"}
            stack.close()

        with slot(third_is_free, 2) as environment:
            assert environment == {"CUDA_VISIBLE_DEVICES": "0,1"}


@pytest.mark.parametrize(
    ("gpus", "slots", "expected"),
    [("0", None, {"CUDA_VISIBLE_DEVICES": "0"}), ("0,1", "4", {"CUDA_VISIBLE_DEVICES": "0,1"}), ("", None, {})],
)
def test_a_run_that_wants_more_gpus_than_there_are_gets_all_of_them(
    monkeypatch: pytest.MonkeyPatch, gpus: str, slots: str | None, expected: dict[str, str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
    if slots:
        monkeypatch.setenv("TRAIN_RESNET_SLOTS", slots)
    with slot(nothing, 3) as environment:
        assert environment == expected


def test_gpus_are_listed_by_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    program = tmp_path / "nvidia-smi"
    listed = "GPU 0: NVIDIA L4 (UUID: GPU-1)\nGPU 1: NVIDIA L4 (UUID: GPU-2)"
    program.write_text(f"#!/bin/sh\n[ $* = --list-gpus ] && echo '{listed}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_gpus() == ["0", "1"]
    program.write_text("#!/bin/sh\nexit 9\n")
    assert find_gpus() == []
    program.unlink()
    assert find_gpus() == []


@pytest.mark.parametrize("slots", ["0", "-1", "many", ""])
def test_an_invalid_number_of_slots_is_refused(monkeypatch: pytest.MonkeyPatch, slots: str) -> None:
    monkeypatch.setenv("TRAIN_RESNET_SLOTS", slots)
    with pytest.raises(UserError, match=f"^TRAIN_RESNET_SLOTS must be a whole number of at least 1, but it is '{slots}'"):
        slot_count()


def test_the_waits_of_a_run_that_is_being_stopped_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    ending = threading.Event()
    monkeypatch.setattr(locks, "ending", ending)
    # Only the main thread gets a signal: a run of a sweep waits in another one.
    with (tmp_path / "x.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(RunEndedError), held(tmp_path / "x.lock", ending.set):
            pass
    ending.clear()
    with slot(nothing), pytest.raises(RunEndedError), slot(ending.set):
        pass
