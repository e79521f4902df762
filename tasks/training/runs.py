"""The training runs on this machine. Each has a folder of checkpoints, which one process at a time can use.

The folders are in `.dvc/tmp/checkpoints/` of the project, also for runs in work trees of DVC and Prefect, so that a run can be
resumed from any of them. The last three finished runs are kept, and unfinished runs for two weeks after their last use. A run
that is held, see `hold`, is kept in any case.
"""

import fcntl
import json
import math
import os
import platform
import shlex
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import Timeout

from resnet.core import disk
from resnet.core.errors import UserError
from resnet.core.files import remove, replacing
from resnet.training.checkpoint_files import Checkpoint, list_checkpoints
from tasks.training.fingerprint import Facts, fingerprint
from tasks.training.seen import DAYS_KEPT, remove_folders, remove_old_folders

FINISHED_KEPT = 3

_FACTS_JSON = "facts.json"
_LOCK = "lock"
_HOLD = "hold-"


def home(project: Path | None = None) -> Path:
    """The folder of all runs.

    Args:
        project: its folder; by default that which DVC names in DVC_ROOT, or else the current one.
    """
    return (project or Path(os.environ.get("DVC_ROOT", "."))) / ".dvc" / "tmp" / "checkpoints"


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
        return is_complete(self.facts, self.newest)

    @property
    def used(self) -> float:
        """Time of its last use, in seconds since 1970."""
        times = {name: status.st_mtime for name, status in self._statuses()}
        # A process that only wanted to remove the run has changed the lock too.
        return max((times[name] for name in times if name != _LOCK), default=times.get(_LOCK, 0.0))

    @property
    def size(self) -> int:
        """Size of all its files in bytes."""
        return sum(status.st_size for status in self._files())

    def state(self) -> dict[str, float]:
        """The names and times of its files, apart from locks: it changes with each checkpoint."""
        return {name: status.st_mtime for name, status in self._statuses() if name != _LOCK and not name.startswith(_HOLD)}

    def _files(self) -> list[os.stat_result]:
        return [status for _, status in self._statuses()]

    def _statuses(self) -> Iterator[tuple[str, os.stat_result]]:
        for path in self.folder.glob("*"):
            with suppress(FileNotFoundError):  # another process may remove files here
                yield path.name, path.stat()


def is_complete(facts: Facts, newest: Checkpoint | None) -> bool:
    """Whether a run with these facts and this newest checkpoint has trained all its epochs."""
    return newest is not None and newest.epoch > facts.get("train.epochs", math.inf)


def list_runs(folder: Path) -> list[Run]:
    """All runs, the last used one first."""
    runs = [Run(path, _read_facts(path / _FACTS_JSON)) for path in folder.glob("*/")]
    return sorted(runs, key=lambda run: run.used, reverse=True)


def _read_facts(path: Path) -> Facts:
    try:
        facts = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    # A flipped bit would make another run of it, for example one that has finished and may be removed.
    return facts if isinstance(facts, dict) and fingerprint(facts) == path.parent.name else {}


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
            # The lock has made the folder, and perhaps those above it: a power cut must not lose one of them.
            for above in (folder, *folder.parents[:3]):
                disk.sync(above)
            with replacing(run.folder / _FACTS_JSON) as partial:
                partial.write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        else:
            with suppress(OSError):
                (run.folder / _FACTS_JSON).touch()  # the last use, see `Run.used`
        yield run


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Locks a run's folder for this process. The kernel releases the lock when the process ends, even by SIGKILL.

    Raises:
        UserError: another process holds the lock, or the folder cannot be written.
    """
    path = folder / _LOCK
    # It waits a moment, because `who` may hold its shared lock just now.
    lock = disk.lock(path, timeout=0.2, poll_interval=0.02, mode=0o600)
    try:
        lock.acquire()
        _write_holder(path)
    except Timeout as error:
        raise UserError(
            f"{_read_holder(path)} is training this very run; wait until it has finished, or end it with SIGTERM, "
            "which saves its work."
        ) from error
    except FileNotFoundError as error:
        raise UserError(
            f"the checkpoints in {folder} have just been removed by another process; run the command again."
        ) from error
    except OSError as error:
        raise UserError(
            f"{folder} must be a folder for checkpoints, but it cannot be written ({error.strerror}): free some space or "
            "change its permissions."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _write_holder(path: Path) -> None:
    with suppress(OSError):  # on a full disk the file stays empty, and `who` names nobody
        who = f"process {os.getpid()} on {platform.node()} in {Path.cwd()} ({shlex.join(sys.orig_argv)})"
        path.write_text(who, encoding="utf-8")


def _read_holder(path: Path) -> str:
    """The process that holds a lock, by the content of its file."""
    for _ in range(20):  # the holder writes its name just after it has taken the lock
        try:
            holder = path.read_bytes()[:500].decode(errors="replace")
        except FileNotFoundError:  # it has just removed the run
            break
        if holder:
            return holder
        disk.sleep(0.05)
    return "another process"


def remove_run(run: Run) -> None:
    """Removes a run with its checkpoints and with what is seen of it.

    Raises:
        UserError: a process is using or holding it.
    """
    remove_checkpoints(run)
    remove_folders(run.folder.name)


def remove_checkpoints(run: Run) -> None:
    """Removes a run with its checkpoints; its curves stay.

    Raises:
        UserError: a process is using or holding it.
    """
    with claimed(run.folder):
        if holder := held_by(run):
            raise UserError(
                f"{holder} holds the run {run.folder.name}, because it will go on with it; wait until that process has ended, "
                "or end it."
            )
        _remove_content(run.folder)


def _remove_content(folder: Path) -> None:
    """Removes the folder of a run that this process has claimed."""
    with suppress(OSError):
        for path in folder.iterdir():
            if path.name != _LOCK:
                remove(path)
        # The lock goes last: without it another process could take the run, and its files would be removed too.
        (folder / _LOCK).unlink()
        folder.rmdir()


@contextmanager
def hold(run: Run) -> Iterator[None]:
    """Keeps the checkpoints of a paused run in the block: neither `prune` nor a person can remove them.

    The kernel releases the hold when this process ends, even by SIGKILL; from then on the run is kept as long as every other
    one. Training needs another lock, so a run that is held can go on, and several processes can hold a run.

    Raises:
        FileNotFoundError: the run has been removed.
    """
    with tempfile.NamedTemporaryFile(dir=run.folder, prefix=_HOLD) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        _write_holder(Path(file.name))
        yield


def held_by(run: Run) -> str | None:
    """A process that holds a run, or None."""
    return next((holder for path in sorted(run.folder.glob(f"{_HOLD}*")) if (holder := _holder(path))), None)


def prune(folder: Path, ours: Path | None = None) -> None:
    """Removes the runs that are no longer kept, see above, except those in use or held; the curves stay longer.

    Args:
        folder: of all runs.
        ours: the folder of the run that has just finished. It stays, even if the clock was set back and it seems to be old.
    """
    states = {path: Run(path, {}).state() for path in folder.glob("*/")}
    # Those that are held are left out first, because the attempt to remove one would count as its last use.
    runs = [run for run in list_runs(folder) if not held_by(run)]
    finished = sorted((run for run in runs if run.finished), key=lambda run: run.folder != ours)
    old = [run for run in runs if not run.finished and run.used < disk.now() - DAYS_KEPT * 86400]
    for run in (*finished[FINISHED_KEPT:], *old):
        with suppress(UserError), claimed(run.folder):
            unchanged = run.state() in ({}, states.get(run.folder))  # no other process has used it meanwhile
            if run.folder != ours and unchanged and not held_by(run):
                _remove_content(run.folder)
    remove_old_folders()


def who(run: Run) -> str | None:
    """The process that works on a run, or None."""
    return _holder(run.folder / _LOCK)


def _holder(path: Path) -> str | None:
    try:
        return _read_holder(path) if disk.is_locked(path) else None
    except FileNotFoundError:
        return None
