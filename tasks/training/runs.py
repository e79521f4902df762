"""The training runs on this machine. Each has a folder of checkpoints, which one process at a time can use.

The folders are in `.dvc/tmp/checkpoints/` of the project, also for runs in work trees of DVC and Prefect, so that a run can be
resumed from any of them. The last three finished runs are kept, and unfinished runs for two weeks after their last use.
"""

import fcntl
import json
import math
import os
import platform
import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from resnet.core.errors import UserError
from resnet.core.files import remove, replacing
from resnet.training.checkpoint_files import Checkpoint, list_checkpoints
from tasks.training.fingerprint import Facts, fingerprint

FINISHED_KEPT = 3
DAYS_KEPT = 14

_FACTS_JSON = "facts.json"
_LOCK = "lock"


def home() -> Path:
    """The folder of all runs. DVC names the project of a stage in DVC_ROOT."""
    return Path(os.environ.get("DVC_ROOT", ".")) / ".dvc" / "tmp" / "checkpoints"


@dataclass(frozen=True)
class Run:
    """A training run with its folder.

    Attributes:
        folder: named by the fingerprint.
        facts: decide its weights; empty if they cannot be read.
    """

    folder: Path
    facts: Facts

    @property
    def newest(self) -> Checkpoint | None:
        """Its newest checkpoint."""
        return next(iter(list_checkpoints(self.folder)), None)

    @property
    def finished(self) -> bool:
        """Whether training is complete."""
        newest = self.newest
        return newest is not None and newest.epoch > self.facts.get("train.epochs", math.inf)

    @property
    def used(self) -> float:
        """Time of its last use, in seconds since 1970."""
        return max((status.st_mtime for status in self._files()), default=0.0)

    @property
    def size(self) -> int:
        """Size of all its files in bytes."""
        return sum(status.st_size for status in self._files())

    def _files(self) -> list[os.stat_result]:
        found = []
        for path in self.folder.glob("*"):
            with suppress(FileNotFoundError):  # another process may remove files here
                found.append(path.stat())
        return found


def list_runs(folder: Path) -> list[Run]:
    """All runs, the last used one first."""
    runs = [Run(path, _read_facts(path / _FACTS_JSON)) for path in folder.glob("*/")]
    return sorted(runs, key=lambda run: run.used, reverse=True)


def _read_facts(path: Path) -> Facts:
    try:
        facts = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


@contextmanager
def begun(folder: Path, facts: Facts) -> Iterator[Run]:
    """The run with these facts, reserved for this process in the block.

    Args:
        folder: of all runs.
        facts: decide the weights.

    Raises:
        UserError: another process is using this run, or the disk is full.
    """
    run = Run(folder / fingerprint(facts), facts)
    with claimed(run.folder):
        for path in run.folder.glob(".*"):  # incomplete files of a killed process
            remove(path)
        if _read_facts(run.folder / _FACTS_JSON) != facts:
            with replacing(run.folder / _FACTS_JSON) as partial:
                partial.write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        yield run


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Locks the folder of a run in the block. The kernel releases the lock when the process dies, for whatever reason.

    Raises:
        UserError: another process holds the lock.
    """
    descriptor = _open(folder)
    try:
        if not _try(descriptor):
            raise UserError(
                f"{_holder(descriptor)} is training this very run; wait until it has finished, or end it with SIGTERM, "
                "which saves its work."
            )
        if not _is_there(descriptor, folder):
            raise UserError(f"the checkpoints in {folder} have just been removed by another process; run the command again.")
        os.ftruncate(descriptor, 0)
        with suppress(OSError):  # on a full disk another process cannot be told who holds the lock
            os.pwrite(descriptor, f"process {os.getpid()} on {platform.node()} ({shlex.join(sys.orig_argv)})".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _try(descriptor: int) -> bool:
    for attempt in range(5):  # `who` may hold the lock for a moment
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.02 * attempt)
        else:
            return True
    return False


def _open(folder: Path) -> int:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UserError(
            f"{folder} must be a folder for checkpoints, but it cannot be written ({error.strerror}): free some space or "
            "change its permissions."
        ) from error


def _holder(descriptor: int) -> str:
    for _ in range(20):  # it may hold the lock and not yet have written its name
        if holder := os.pread(descriptor, 500, 0).decode(errors="replace"):
            return holder
        time.sleep(0.05)
    return "another process"


def _is_there(descriptor: int, folder: Path) -> bool:
    try:
        return (folder / _LOCK).stat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False


def remove_run(run: Run) -> None:
    """Removes a run with its checkpoints.

    Raises:
        UserError: a process is using it.
    """
    with claimed(run.folder):
        shutil.rmtree(run.folder, ignore_errors=True)


def prune(folder: Path) -> None:
    """Removes the runs that are no longer kept, see above, except those that a process is using."""
    finished = [run for run in list_runs(folder) if run.finished]
    old = [run for run in list_runs(folder) if not run.finished and run.used < time.time() - DAYS_KEPT * 86400]
    for run in (*finished[FINISHED_KEPT:], *old):
        try:
            remove_run(run)
        except UserError:
            continue


def who(run: Run) -> str | None:
    """The process that is using a run, or None."""
    descriptor = _open(run.folder)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(descriptor)
    finally:
        os.close(descriptor)
    return None
