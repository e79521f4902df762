"""Saving a checkpoint is killed at every one of its system calls and at every part of its bytes: rows of `docs/survival.md`."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path

from tests.imports import ROOT
from tests.soak.trials import Trial, main

CALLS = "write,writev,fsync,rename,renameat,renameat2,unlink,unlinkat,mkdir,openat,close,ftruncate"

# Writes three checkpoints in turn; the call of getppid tells where that begins among those of a starting Python.
SAVES = """
import os, sys
from pathlib import Path
import numpy as np
from resnet.training.checkpoint_files import write_checkpoint
from resnet.training.state import Snapshot
folder = Path(sys.argv[1])
os.getppid()
for step in (1, 2, 3):
    arrays = {f"model/{n:05d}": np.full(20_000, step + n, np.float32) for n in range(8)}
    write_checkpoint(folder, Snapshot(arrays, {"epoch": 1, "step": step}))
"""
_BYTES = 8 * 20_000 * 4


def survives(folder: Path) -> bool:
    """Whether the newest whole checkpoint loads, is no older than the one before the last that was begun, and saving works."""
    from resnet.training.checkpoint_files import list_checkpoints, read_newest

    steps = [one.step for one in list_checkpoints(folder)]
    said: list[str] = []
    found = read_newest(folder, said.append)
    whole = not said and (found is None if not steps else found is not None and found.facts["step"] == max(steps))
    again = subprocess.run([sys.executable, "-c", SAVES, str(folder)], cwd=ROOT, check=False)
    return whole and again.returncode == 0 and [one.step for one in list_checkpoints(folder)] == [3, 2]


def count(trials: int, disturbed: Callable[[int, Path], bool]) -> int:
    """How many of the trials are survived; all that there are are tried if there are fewer."""
    survived = 0
    for number in range(1, trials + 1):
        folder = Path(tempfile.mkdtemp())
        survived += disturbed(number, folder) and survives(folder)
        shutil.rmtree(folder)
    return survived


def at_call(number: int, folder: Path) -> bool:
    """Kills a process at the n-th of the system calls that its saves make."""
    name, when = calls()[number - 1]
    trace = ["strace", "-f", "-o", os.devnull, "-e", f"trace={name}", "-e", f"inject={name}:signal=KILL:when={when}"]
    return subprocess.run([*trace, sys.executable, "-c", SAVES, str(folder)], cwd=ROOT, check=False).returncode != 0


@cache
def calls() -> list[tuple[str, int]]:
    """The system calls of the saves: the name of each, and how many of that name the process has made by then."""
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "trace"
        (Path(scratch) / "saves").mkdir()
        command = ["strace", "-o", str(log), "-e", f"trace={CALLS},getppid", sys.executable, "-c", SAVES, f"{scratch}/saves"]
        subprocess.run(command, cwd=ROOT, check=True)
        names = [line.partition("(")[0] for line in log.read_text().splitlines() if "(" in line]
    seen: Counter[str] = Counter()
    marked, found = False, []
    for name in names:
        seen[name] += 1
        marked = marked or name == "getppid"
        if marked and name != "getppid":
            found.append((name, seen[name]))
    return found


def at_byte(number: int, folder: Path) -> bool:
    """Kills a process when a file has grown to n thirtieths of a checkpoint."""
    size = number * _BYTES // 30

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    # Python ignores SIGXFSZ from its start; it is made to kill here.
    program = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_DFL)\n" + SAVES
    ended = subprocess.run([sys.executable, "-c", program, str(folder)], cwd=ROOT, preexec_fn=limit, check=False)
    return ended.returncode == -signal.SIGXFSZ


def has_strace() -> bool:
    """Whether processes can be traced here."""
    return (
        shutil.which("strace") is not None
        and not subprocess.run(["strace", "-o", os.devnull, "true"], check=False, capture_output=True).returncode
    )


def rows() -> tuple[Trial, ...]:
    """The rows that can be tried here."""
    must = "newest complete checkpoint loads"
    by_bytes = Trial("kill at a part of a save's bytes", 30, must, lambda n: count(n, at_byte))
    if not has_strace():
        return (by_bytes,)
    by_calls = Trial("kill at the n-th write, rename or sync of a save", len(calls()), must, lambda n: count(n, at_call))
    return by_calls, by_bytes


ROWS = rows()

if __name__ == "__main__":
    sys.exit(main(ROWS))
