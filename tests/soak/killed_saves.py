"""Saving a checkpoint is killed at each of its system calls and after each part of its bytes: rows of `docs/survival.md`."""

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

# Writes three checkpoints. The call of getppid marks the end of Python's own start in the trace.
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
    """Whether the newest complete checkpoint loads without a complaint, and three more checkpoints can be saved."""
    from resnet.training.checkpoint_files import list_checkpoints, read_newest

    steps = [one.step for one in list_checkpoints(folder)]
    said: list[str] = []
    found = read_newest(folder, said.append)
    whole = not said and (found is None if not steps else found is not None and found.facts["step"] == max(steps))
    again = subprocess.run([sys.executable, "-c", SAVES, str(folder)], cwd=ROOT, check=False)
    return whole and again.returncode == 0 and [one.step for one in list_checkpoints(folder)] == [3, 2]


def count(trials: int, disturbed: Callable[[int, Path], bool]) -> int:
    """Runs the trials, each in a new folder; returns the number that were survived."""
    survived = 0
    for number in range(1, trials + 1):
        folder = Path(tempfile.mkdtemp())
        survived += disturbed(number, folder) and survives(folder)
        shutil.rmtree(folder)
    return survived


def at_call(number: int, folder: Path) -> bool:
    """Kills a process at the n-th system call of its saves; returns whether it was killed."""
    name, when = calls()[number - 1]
    trace = ["strace", "-f", "-o", os.devnull, "-e", f"trace={name}", "-e", f"inject={name}:signal=KILL:when={when}"]
    return subprocess.run([*trace, sys.executable, "-c", SAVES, str(folder)], cwd=ROOT, check=False).returncode != 0


@cache
def calls() -> list[tuple[str, int]]:
    """Lists the system calls of the saves: the name of each, and its number among the process's calls of that name."""
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
    """Kills a process when a file reaches n/30 of the size of a checkpoint; returns whether it was killed."""
    size = number * _BYTES // 30

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    # Python ignores SIGXFSZ; the default action, which kills, is restored here.
    program = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_DFL)\n" + SAVES
    ended = subprocess.run([sys.executable, "-c", program, str(folder)], cwd=ROOT, preexec_fn=limit, check=False)
    return ended.returncode == -signal.SIGXFSZ


def has_strace() -> bool:
    """Whether strace is installed and allowed to trace."""
    return (
        shutil.which("strace") is not None
        and not subprocess.run(["strace", "-o", os.devnull, "true"], check=False, capture_output=True).returncode
    )


_EXPECTED = "the newest complete checkpoint loads"
ROWS = (
    Trial(
        "SIGKILL at the n-th system call of saving a checkpoint",
        len(calls()) if has_strace() else 0,
        _EXPECTED,
        lambda n: count(n, at_call),
    ),
    Trial("SIGKILL after a part of a checkpoint's bytes", 30, _EXPECTED, lambda n: count(n, at_byte)),
)

if __name__ == "__main__":
    sys.exit(main(ROWS))
