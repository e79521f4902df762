"""A file for each run, which is locked while the process of the run lives: `.dvc/tmp/flows/runs/`.

The kernel releases the lock when the process ends, even by SIGKILL or in a power cut. So a file that is not locked belongs to a
run that has ended, and this is known at once and without the server. The file stays until the server knows how the run ended;
see `flows/lost_runs.py`.
"""

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from prefect.client.schemas.objects import TERMINAL_STATES

FOLDER = Path(".dvc", "tmp", "flows", "runs")


class Record:
    """What is known about a run in this folder, apart from the server.

    Attributes:
        run: the id of the flow run.
        facts: JSON values; see `flows/lost_runs.py`.
    """

    def __init__(self, path: Path, file: IO[str]) -> None:
        """Takes a locked file; it stays locked until this object is closed, or its process ends."""
        self._path = path
        self._file = file
        self.run = path.name.partition(".")[0]
        self.facts = _facts(file)

    def note(self, **facts: Any) -> None:
        """Adds facts, and writes all of them. The file is not replaced, because the lock belongs to the file."""
        self.facts |= facts
        self._file.seek(0)
        self._file.truncate()
        json.dump(self.facts, self._file)
        self._file.flush()

    def remove(self) -> None:
        """Removes the file."""
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Releases the lock."""
        self._file.close()


def _facts(file: IO[str]) -> dict[str, Any]:
    """The facts in a file, without those that no run has written."""
    try:
        found = json.load(file)
    except (ValueError, RecursionError):  # the power cut came while it was written
        return {}
    if not isinstance(found, dict):
        return {}
    return {name: value for name, value in found.items() if name != "final" or _is_final(value)}


def _is_final(value: Any) -> bool:
    """Whether a value is the type of a final state and its message."""
    return isinstance(value, list) and len(value) == 2 and value[0] in {kind.value for kind in TERMINAL_STATES}


def create(home: Path, run: str, **facts: Any) -> Record:
    """Creates the record of a run of this process.

    Args:
        home: the project.
        run: the id of the flow run.
        facts: the first facts.
    """
    folder = home / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    # It gets its name when it is locked: `ended` must not find it before.
    number, name = tempfile.mkstemp(dir=folder, prefix=f"{run}.", suffix=".new")
    file = os.fdopen(number, "r+", encoding="utf-8")
    fcntl.flock(file, fcntl.LOCK_EX)
    path = Path(name).with_suffix(".json")
    Path(name).rename(path)
    record = Record(path, file)
    record.note(**facts)
    return record


def ended(home: Path) -> Iterator[Record]:
    """The records of the runs whose processes have ended. Each is locked until the next one is drawn.

    Args:
        home: the project.
    """
    for path in sorted((home / FOLDER).glob("*.json")):
        with _locked(path) as file:
            if file is not None:
                yield Record(path, file)


@contextmanager
def _locked(path: Path) -> Iterator[IO[str] | None]:
    try:
        file = path.open("r+", encoding="utf-8")
    except OSError:  # another process has just settled it, or it is no record
        yield None
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        # Another process may have settled and removed it between the opening and the lock.
        yield file if path.exists() else None


def process_mark(number: int) -> str | None:
    """Identifies a process on this machine, also after its id was given to another one; None if it does not exist."""
    try:
        # proc_pid_stat(5): field 22 is the start time in ticks since the boot; the first two fields are cut off.
        fields = Path(f"/proc/{number}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return None
    return None if fields[0] == "Z" else f"{number} {fields[19]} {boot}"


def is_alive(mark: str) -> bool:
    """Whether the process that `process_mark` identified still runs."""
    number, _, _ = mark.partition(" ")
    return number.isdecimal() and process_mark(int(number)) == mark
