"""Training is killed, stopped, orphaned and started too often, many times at random: rows of `docs/survival.md`."""

import atexit
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

from tests.interrupted import ENDED, EPOCHS, RESUMED, STEPS, TinyRun, child_of, is_alive, kill
from tests.soak.trials import Trial, main

_SECONDS = 4.0  # from a start to the end of an undisturbed run, about: TensorFlow is imported already
_LIMIT = 10.0  # in which a signal has to end it


@cache
def undisturbed() -> tuple[TinyRun, str]:
    """A run and what comes of it."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    run = TinyRun(folder)
    return run, run.complete()


def count(trials: int, trial: Callable[[TinyRun, str, random.Random], None]) -> int:
    """How many trials, each with dice of its own, end without an `AssertionError`."""
    run, expected = undisturbed()
    survived = 0
    for number in range(trials):
        run.forget()
        try:
            trial(run, expected, random.Random(number))
            survived += 1
        except AssertionError as error:
            print(f"{trial.__name__} {number}: {error}\n{run.log}", file=sys.stderr, flush=True)
    return survived


def sigkill(run: TinyRun, expected: str, dice: random.Random) -> None:
    """SIGKILL at 1 to 5 moments; some of them before the first step, some while the results are written."""
    for _ in range(dice.randint(1, 5)):
        process = run.start(seconds=dice.choice([0, 0.05, 0.3]))
        process.join(dice.uniform(0.2, _SECONDS))
        kill_if_alive(process.pid, signal.SIGKILL)
        run.join(process)
    assert run.complete() == expected, "it ended in something else"


def kill_if_alive(process: int | None, number: signal.Signals) -> None:
    """Sends a signal to what has perhaps ended."""
    assert process is not None
    if is_alive(process):
        os.kill(process, number)


def stop(run: TinyRun, expected: str, dice: random.Random) -> None:
    """SIGTERM or SIGINT at a random moment."""
    number = dice.choice([signal.SIGTERM, signal.SIGINT])
    process = run.start(seconds=dice.choice([0, 0.3, 60]))
    process.join(dice.uniform(0.3, _SECONDS))
    kill_if_alive(process.pid, number)
    code = run.join(process, _LIMIT)
    assert code == 128 + number or (run.folder / "models" / "resnet.keras").exists(), f"it ended with {code}"
    assert "Traceback" not in run.log
    ended = ENDED.findall(run.log)
    assert run.complete() == expected, "it ended in something else"
    assert not ended or RESUMED.findall(run.log) == ended, "steps were lost"


def orphan(run: TinyRun, expected: str, dice: random.Random) -> None:
    """SIGKILL to the parent, and another start at once: the two must not both work."""
    parent = run.start(with_parent=True, pause=0.05)
    run.wait_for((1, 1))
    time.sleep(dice.uniform(0, 0.5))
    trainer = child_of(run)
    kill(parent, signal.SIGKILL)
    second = run.start()
    began = time.monotonic()
    while is_alive(trainer):
        assert time.monotonic() - began < _LIMIT, "the orphan lives on"
        time.sleep(0.01)
    assert "train: ended by SIGTERM" in run.log, "the orphan went on to its end"
    code = run.join(second)
    refused = f"train: process {trainer} on " in run.log
    assert (code == 1) == refused, f"the second ended with {code}"
    assert run.complete() == expected, "it ended in something else"


def four_starts(run: TinyRun, expected: str, dice: random.Random) -> None:
    """Four starts at once: one works."""
    run.set(epochs="12")
    try:
        processes = []
        for _ in range(4):
            processes.append(run.start(seconds=dice.choice([0, 1])))
            time.sleep(dice.uniform(0, 0.02))
        codes = [run.join(process) for process in processes]
        worker = processes[codes.index(0)].pid if 0 in codes else None
        assert sorted(codes) == [0, 1, 1, 1], f"they ended with {codes}"
        assert re.findall(r"train: process (\d+) on", run.log) == [str(worker)] * 3, "another process was named"
        assert [line.partition(":")[0] for line in run.log.splitlines() if line.startswith("epoch")] == [
            f"epoch {epoch}/12" for epoch in range(1, 13)
        ], "more than one worked"
    finally:
        run.set(epochs=str(EPOCHS))


def restores(trials: int) -> int:
    """Restores the state after each of 60 steps, and trains to the end from there."""
    run, expected = undisturbed()
    survived = 0
    for number in range(min(trials, EPOCHS * STEPS)):
        run.forget()
        epoch, step = number // STEPS + 1, number % STEPS + 1
        assert run.join(run.start(seconds=60, stop_at=(epoch, step))) == 143, run.log
        equal = run.complete() == expected
        survived += equal and RESUMED.findall(run.log) == [(str(epoch), str(step))]
    return survived


ROWS = (
    Trial("SIGKILL at random moments of training, 1 to 5 a run", 100, "bit-identical", lambda n: count(n, sigkill)),
    Trial("restore at every step of 3 epochs of 20 steps", EPOCHS * STEPS, "equal", restores),
    Trial(
        "SIGTERM and SIGINT at random moments of training",
        50,
        "resumes, 0 steps lost, exit within 10 s",
        lambda n: count(n, stop),
    ),
    Trial("parent killed", 20, "never two writers", lambda n: count(n, orphan)),
    Trial("four starts at once", 20, "one works, three refuse and name it", lambda n: count(n, four_starts)),
)

if __name__ == "__main__":
    sys.exit(main(ROWS))
