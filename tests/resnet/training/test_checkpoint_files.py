"""Checkpoint files are complete and unchanged, or they are not used."""

import json
import resource
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resnet.core.errors import UserError
from resnet.training.checkpoint_files import (
    KEPT,
    CheckpointWriter,
    list_checkpoints,
    read_checkpoint,
    read_newest,
    write_checkpoint,
)
from resnet.training.state import Snapshot


def snapshot(epoch: int = 1, step: int = 0, value: float = 0.5) -> Snapshot:
    arrays: dict[str, np.ndarray] = {
        "model/00000": np.full((3, 2), value, np.float32),
        "model/00001": np.asarray(np.float32(1e-45)),  # no dimensions, and the smallest float32
        "optimizer/00000": np.asarray(np.int64(2**40 + step)),
    }
    return Snapshot(arrays, {"epoch": epoch, "step": step, "history": [{"loss": 0.1 + 0.2}]})


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, snapshot(2, 7))
    found = read_newest(tmp_path, print)
    assert found is not None
    assert found.facts == {"epoch": 2, "step": 7, "history": [{"loss": 0.30000000000000004}]}
    for name, array in snapshot(2, 7).arrays.items():
        assert found.arrays[name].dtype == array.dtype
        assert found.arrays[name].shape == array.shape
        assert found.arrays[name].tobytes() == array.tobytes()


def test_the_file_is_what_safetensors_defines(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, snapshot(2, 7, value=0.25))
    content = list_checkpoints(tmp_path)[0].path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    assert length % 8 == 0
    assert set(header) == {"__metadata__", "model/00000", "model/00001", "optimizer/00000"}
    assert set(map(type, header["__metadata__"].values())) == {str}
    assert header["model/00000"] == {"dtype": "F32", "shape": [3, 2], "data_offsets": [0, 24]}
    assert header["optimizer/00000"] == {"dtype": "I64", "shape": [], "data_offsets": [28, 36]}
    assert content[8 + length : 8 + length + 24] == struct.pack("<6f", *[0.25] * 6)
    assert len(content) == 8 + length + 36


def test_the_last_two_files_are_kept(tmp_path: Path) -> None:
    for epoch, step in ((1, 9), (1, 10), (2, 0), (10, 0)):
        write_checkpoint(tmp_path, snapshot(epoch, step))
    assert [(one.epoch, one.step) for one in list_checkpoints(tmp_path)] == [(10, 0), (2, 0)]
    assert len(list(tmp_path.iterdir())) == KEPT == 2


def test_every_flipped_bit_is_found_and_the_previous_file_is_used(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, snapshot(1, 1))
    write_checkpoint(tmp_path, snapshot(1, 2))
    newest = list_checkpoints(tmp_path)[0].path
    content = newest.read_bytes()
    for bit in range(len(content) * 8):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        newest.write_bytes(changed)
        with pytest.raises(UserError, match=r"the checkpoint .* is damaged: its SHA-256 is \w{16}\.\.\.; it is not used"):
            read_checkpoint(newest)
    said: list[str] = []
    found = read_newest(tmp_path, said.append)
    assert found is not None
    assert found.facts["step"] == 1
    assert len(said) == 1
    assert not newest.exists()


def test_who_has_not_locked_a_run_removes_no_damaged_file(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, snapshot())
    path = list_checkpoints(tmp_path)[0].path
    path.write_bytes(b"damaged")
    assert read_newest(tmp_path, lambda line: None, remove=False) is None
    assert path.exists()
    assert read_newest(tmp_path, lambda line: None) is None
    assert not path.exists()


def test_a_file_that_cannot_be_read_now_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_checkpoint(tmp_path, snapshot())

    def fail(*_: object) -> None:
        raise OSError(24, "Too many open files")

    said: list[str] = []
    with monkeypatch.context() as full:
        full.setattr(Path, "open", fail)
        assert read_newest(tmp_path, said.append) is None
    assert [line.endswith("cannot be read (Too many open files); it is not used.") for line in said] == [True]
    assert read_newest(tmp_path, print) is not None


@pytest.mark.parametrize("size", [0, 7, 8, 100])
def test_a_truncated_file_is_not_used(tmp_path: Path, size: int) -> None:
    write_checkpoint(tmp_path, snapshot())
    path = list_checkpoints(tmp_path)[0].path
    path.write_bytes(path.read_bytes()[:size])
    assert read_newest(tmp_path, lambda line: None) is None


def test_a_state_that_is_not_finite_does_not_replace_a_good_one(tmp_path: Path) -> None:
    assert write_checkpoint(tmp_path, snapshot(1, 1))
    for value in (np.nan, np.inf):
        assert not write_checkpoint(tmp_path, snapshot(1, 2, value))
    assert [one.step for one in list_checkpoints(tmp_path)] == [1]


@contextmanager
def no_file_over(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [0, 5, 200])
def test_on_a_full_disk_the_previous_file_stays(tmp_path: Path, size: int) -> None:
    write_checkpoint(tmp_path, snapshot(1, 1))
    before = sorted(tmp_path.iterdir())
    told = rf"E00001-S0000002-\w+\.safetensors could not be written.*needs at least {before[0].stat().st_size:,} bytes"
    with no_file_over(size), pytest.raises(UserError, match=told):
        write_checkpoint(tmp_path, snapshot(1, 2))
    assert sorted(tmp_path.iterdir()) == before
    assert write_checkpoint(tmp_path, snapshot(1, 2))


class State:
    """Replaces the state of a run."""

    step = 0

    def snapshot(self) -> Snapshot:
        return snapshot(1, self.step)


def test_the_writer_waits_for_the_interval_and_reports_failures(tmp_path: Path) -> None:
    state: Any = State()
    with CheckpointWriter(tmp_path, state, seconds=1000) as writer:
        writer.tick()
    assert list_checkpoints(tmp_path) == []
    with CheckpointWriter(tmp_path, state, seconds=0) as writer:
        for state.step in range(1, 4):
            writer.tick()
        state.step = 9
        assert writer.write()
    assert list_checkpoints(tmp_path)[0].step == 9
    writer = CheckpointWriter(tmp_path, state, seconds=0)
    with no_file_over(5), pytest.raises(UserError, match="could not be written"), writer:
        state.step = 10
        writer.tick()


def test_the_first_intervals_are_short_so_that_a_run_that_is_killed_often_gets_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state: Any = State()
    now = 0.0
    monkeypatch.setattr("resnet.training.checkpoint_files.time.monotonic", lambda: now)

    def moments(seconds: float) -> list[int]:
        """When checkpoints are written in the first ten minutes, with a step every second."""
        nonlocal now
        now, found = 0.0, []
        with CheckpointWriter(tmp_path, state, seconds) as writer:
            for state.step in range(1, 600):
                now, before = float(state.step), writer._pending
                writer.tick()
                if writer._pending is not None and writer._pending is not before:
                    writer._pending.result()
                    found.append(state.step)
        return found

    # A step later each time: the next interval begins when a step finds that the checkpoint is written.
    assert moments(180) == [30, 91, 212, 393, 574]
    assert moments(20)[:3] == [20, 41, 62]
