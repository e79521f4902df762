"""Checkpoint files: states of a training run. A file is written atomically and its hash is verified before use.

A file is named `E00003-S0000012-HASH.safetensors`: the current epoch, the steps done in it, and the SHA-256 of the file. The
format is safetensors (https://github.com/huggingface/safetensors, "Format"): the length of a header, the header in JSON, the
bytes of the arrays. The facts of the state are in `__metadata__` of the header. Nothing is unpickled.

The folder of a run keeps its last `KEPT` files. If the newest is damaged, the one before is used.
"""

import hashlib
import io
import json
import re
import struct
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from resnet.core import disk
from resnet.core.errors import UserError
from resnet.core.files import replacing
from resnet.training.state import Snapshot, TrainingState

KEPT = 2
# A machine whose runs are killed every few minutes would otherwise not get beyond the first interval; see docs/operations.md.
FIRST_SECONDS = 30.0

_NAME = re.compile(r"E(\d{5})-S(\d{7})-([0-9a-f]{64})\.safetensors")
_TYPES = {"F32": np.float32, "F64": np.float64, "I32": np.int32, "I64": np.int64, "U32": np.uint32, "BOOL": np.bool_}
_TYPE_NAMES = {np.dtype(kind): name for name, kind in _TYPES.items()}


class DamagedError(UserError):
    """A checkpoint file does not have the content that its name says."""


@dataclass(frozen=True)
class Checkpoint:
    """A file in the folder of a run.

    Attributes:
        path: of the file.
        epoch: the current one.
        step: steps done in it.
    """

    path: Path
    epoch: int
    step: int


def list_checkpoints(folder: Path) -> list[Checkpoint]:
    """The checkpoints in the folder of a run, newest first."""
    return sort(folder.glob("*.safetensors"))


def sort(paths: Iterable[Path]) -> list[Checkpoint]:
    """The checkpoints among files, by their names, newest first."""
    found = [(path, _NAME.fullmatch(path.name)) for path in paths]
    listed = [Checkpoint(path, int(match[1]), int(match[2])) for path, match in found if match]
    return sorted(listed, key=lambda one: (one.epoch, one.step), reverse=True)


def write_checkpoint(folder: Path, snapshot: Snapshot) -> bool:
    """Writes a state, and removes all files but the last `KEPT`.

    Returns:
        Whether it was written. A state with numbers that are not finite is not, so that the last good one stays.

    Raises:
        UserError: the disk is full.
    """
    if not all(np.isfinite(array).all() for array in snapshot.arrays.values()):
        return False
    parts = encoded(snapshot)
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    path = folder / f"E{snapshot.facts['epoch']:05d}-S{snapshot.facts['step']:07d}-{digest.hexdigest()}.safetensors"
    with replacing(path, least=sum(map(len, parts))) as partial, partial.open("wb") as file:
        file.writelines(parts)
    for old in list_checkpoints(folder)[KEPT:]:
        old.path.unlink()
    return True


def read_newest(folder: Path, say: Callable[[str], None], *, remove: bool = True) -> Snapshot | None:
    """The newest undamaged state of a run, or None.

    Args:
        folder: of the run.
        say: is told of each damaged file.
        remove: remove damaged files; only for the process that has locked the run, because another one may write them again.
    """
    for checkpoint in list_checkpoints(folder):
        try:
            return read_checkpoint(checkpoint.path)
        except UserError as error:
            say(str(error))
            # What only cannot be read now, for example because too many files are open, may be whole.
            if remove and isinstance(error, DamagedError):
                checkpoint.path.unlink(missing_ok=True)
    return None


def read_checkpoint(path: Path) -> Snapshot:
    """Reads a state.

    Raises:
        DamagedError: the file is damaged.
        UserError: it cannot be read.
    """
    match = _NAME.fullmatch(path.name)
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
            if match is None or found != match[3]:
                raise DamagedError(f"the checkpoint {path} is damaged: its SHA-256 is {found[:16]}...; it is not used.")
            file.seek(0)
            return decoded(file)
    except OSError as error:
        raise UserError(f"the checkpoint {path} cannot be read ({error.strerror}); it is not used.") from error


def encoded(snapshot: Snapshot) -> list[bytes | memoryview]:
    """The content of the file of a state, in parts."""
    header: dict[str, Any] = {"__metadata__": {"facts": json.dumps(snapshot.facts)}}
    end = 0
    for name, array in snapshot.arrays.items():
        begin, end = end, end + array.nbytes
        header[name] = {"dtype": _TYPE_NAMES[array.dtype], "shape": array.shape, "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    flat = [np.ascontiguousarray(array.reshape(-1)).view(np.uint8).data for array in snapshot.arrays.values()]
    return [struct.pack("<Q", len(text)), text, *flat]


def decoded(file: io.BufferedIOBase) -> Snapshot:
    """The state in a file, from its present position on."""
    (length,) = struct.unpack("<Q", file.read(8))
    header = json.loads(file.read(length))
    facts = json.loads(header.pop("__metadata__")["facts"])
    arrays = {}
    for name, entry in header.items():  # in the order of their bytes in the file
        arrays[name] = np.empty(entry["shape"], _TYPES[entry["dtype"]])
        file.readinto(arrays[name].reshape(-1).view(np.uint8).data)
    return Snapshot(arrays, facts)


class CheckpointWriter:
    """Writes the checkpoints of a run at intervals, in a background thread. On exit it waits for the last one.

    Training waits only while the state is copied. The first interval is at most `FIRST_SECONDS`; then they double.

    Args:
        folder: of the run.
        state: of the run.
        seconds: the longest from the end of one checkpoint to the start of the next.
        then: is called in the background thread after each checkpoint.

    Attributes:
        written: number of checkpoints written.
        held_up: seconds that training waited for checkpoints.
        processor_seconds: processor time of the background thread.
    """

    def __init__(self, folder: Path, state: TrainingState, seconds: float, then: Callable[[], object] = lambda: None) -> None:
        self._folder = folder
        self._state = state
        self._seconds = seconds
        self._then = then
        self._interval = min(seconds, FIRST_SECONDS)
        self._due = disk.elapsed() + self._interval
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._pending: Future[bool] | None = None
        self.written = 0
        self.held_up = 0.0
        self.processor_seconds = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        began = time.perf_counter()
        self._thread.shutdown()
        self.held_up += time.perf_counter() - began
        if kind is None:
            self._settle()

    def tick(self) -> None:
        """Starts a checkpoint if the interval has passed.

        Raises:
            UserError: the previous one could not be written.
        """
        if self._pending is not None and self._pending.done():
            self._settle()
        if self._pending is None and disk.elapsed() >= self._due:
            self.begin()

    def begin(self) -> None:
        """Starts a checkpoint, after waiting for the previous one."""
        began = time.perf_counter()
        self._settle()
        self._pending = self._thread.submit(self._write, self._state.snapshot())
        self.held_up += time.perf_counter() - began

    def write(self) -> bool:
        """Writes a checkpoint and waits until it is on the disk. Returns what `write_checkpoint` returns."""
        self.begin()
        return self._settle()

    def _write(self, snapshot: Snapshot) -> bool:
        began = time.thread_time()
        written = write_checkpoint(self._folder, snapshot)
        self.written += written
        if written:
            self._then()
        self.processor_seconds += time.thread_time() - began
        return written

    def _settle(self) -> bool:
        pending, self._pending = self._pending, None
        if pending is not None:
            self._interval = min(self._seconds, 2 * self._interval)
        self._due = disk.elapsed() + self._interval
        return pending is None or pending.result()
