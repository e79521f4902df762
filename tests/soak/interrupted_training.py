"""Training is killed, stopped, orphaned, and started several times at once: rows of `docs/survival.md`."""

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

_SECONDS = 4.0  # the approximate duration of an undisturbed run; TensorFlow is already imported
_LIMIT = 10.0  # seconds within which a signal must end training


@cache
def undisturbed() -> tuple[TinyRun, str]:
    """Makes a run, completes it once, and returns it with the hash of its outcome."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    run = TinyRun(folder)
    return run, run.complete()


def count(trials: int, trial: Callable[[TinyRun, str, random.Random], None]) -> int:
    """Runs trials, each with its own random numbers; returns the number that raise no `AssertionError`."""
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


def sigkill(run: TinyRun, expected: str, rng: random.Random) -> None:
    """Sends SIGKILL at 1 to 5 moments; some are before the first step, some while the results are written."""
    for _ in range(rng.randint(1, 5)):
        process = run.start(seconds=rng.choice([0, 0.05, 0.3]))
        process.join(rng.uniform(0.2, _SECONDS))
        kill_if_alive(process.pid, signal.SIGKILL)
        run.join(process)
    assert run.complete() == expected, "the outcome differs"


def kill_if_alive(process: int | None, number: signal.Signals) -> None:
    """Sends a signal to a process unless it has ended."""
    assert process is not None
    if is_alive(process):
        os.kill(process, number)


def stop(run: TinyRun, expected: str, rng: random.Random) -> None:
    """Sends SIGTERM or SIGINT at a random moment."""
    number = rng.choice([signal.SIGTERM, signal.SIGINT])
    process = run.start(seconds=rng.choice([0, 0.3, 60]))
    process.join(rng.uniform(0.3, _SECONDS))
    kill_if_alive(process.pid, number)
    code = run.join(process, _LIMIT)
    assert code == 128 + number or (run.folder / "models" / "resnet.keras").exists(), f"the exit code is {code}"
    assert "Traceback" not in run.log
    ended = ENDED.findall(run.log)
    assert run.complete() == expected, "the outcome differs"
    assert not ended or RESUMED.findall(run.log) == ended, "steps were lost"


def orphan(run: TinyRun, expected: str, rng: random.Random) -> None:
    """Sends SIGKILL to the parent and starts training again at once: the two must not both train."""
    parent = run.start(with_parent=True, pause=0.05)
    run.wait_for((1, 1))
    time.sleep(rng.uniform(0, 0.5))
    trainer = child_of(run)
    kill(parent, signal.SIGKILL)
    second = run.start()
    began = time.monotonic()
    while is_alive(trainer):
        assert time.monotonic() - began < _LIMIT, "the orphan did not end"
        time.sleep(0.01)
    assert ENDED.search(run.log), "the orphan trained to the end"
    code = run.join(second)
    refused = f"train: process {trainer} on " in run.log
    assert (code == 1) == refused, f"the exit code of the second is {code}"
    assert run.complete() == expected, "the outcome differs"


def four_starts(run: TinyRun, expected: str, rng: random.Random) -> None:
    """Starts training four times at once: one must train, three must refuse."""
    run.set(epochs="12")
    try:
        processes = []
        for _ in range(4):
            processes.append(run.start(seconds=rng.choice([0, 1])))
            time.sleep(rng.uniform(0, 0.02))
        codes = [run.join(process) for process in processes]
        worker = processes[codes.index(0)].pid if 0 in codes else None
        assert sorted(codes) == [0, 1, 1, 1], f"the exit codes are {codes}"
        assert re.findall(r"train: process (\d+) on", run.log) == [str(worker)] * 3, "another process was named"
        assert [line.partition(":")[0] for line in run.log.splitlines() if line.startswith("epoch")] == [
            f"epoch {epoch}/12" for epoch in range(1, 13)
        ], "more than one trained"
    finally:
        run.set(epochs=str(EPOCHS))


def restores(trials: int) -> int:
    """Stops training after each of the 60 steps in turn, and resumes it to the end."""
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
    Trial("SIGKILL at random moments of training, 1 to 5 per run", 100, "bit-identical", lambda n: count(n, sigkill)),
    Trial("resume after every step of 3 epochs of 20 steps", EPOCHS * STEPS, "equal", restores),
    Trial(
        "SIGTERM or SIGINT at a random moment of training",
        50,
        "exit within 10 s, resumes without a lost step",
        lambda n: count(n, stop),
    ),
    Trial("SIGKILL to the parent process of training", 20, "never two writers", lambda n: count(n, orphan)),
    Trial(
        "four concurrent starts of training",
        20,
        "one trains, three refuse and name its process",
        lambda n: count(n, four_starts),
    ),
)

if __name__ == "__main__":
    sys.exit(main(ROWS))
