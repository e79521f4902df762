"""Training is ended under one door and goes on under another: a row of `docs/survival.md`.

python -m tests.soak.doors [--trials N]
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import permutations
from pathlib import Path

from resnet.training.checkpoints import list_checkpoints
from tasks.training.resume import SECONDS_VARIABLE
from tests.soak.small_project import SmallProject
from tests.soak.trials import Trial, main

EPOCHS = 300
_OVERRIDE = f"train.epochs={EPOCHS}"
_EXPERIMENT = ["dvc", "exp", "run", "-S", _OVERRIDE]
_FLOW = [sys.executable, "-m", "flows.train_resnet"]
# The first two train in the work tree by its params.yaml.
DOORS = {
    "dvc repro": ["dvc", "repro", "train"],
    "flow": _FLOW,
    "dvc exp run": [*_EXPERIMENT, "train"],
    "dvc exp run --temp": [*_EXPERIMENT, "--temp", "train"],
    "dvc exp run --queue": [*_EXPERIMENT, "--queue", "train"],
    "flow in a checkout": [*_FLOW, "--set", _OVERRIDE],
}
_IN_PLACE = ("dvc repro", "flow", "dvc exp run")
PAIRS = len(DOORS) * (len(DOORS) - 1)


class House(SmallProject):
    """A project whose training can be started by every door."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.environment |= {
            "HOUSE": str(folder),
            "PREFECT_HOME": str(folder.parent / "prefect"),
            "DO_NOT_TRACK": "1",
        }
        self._mark = f"HOUSE={folder}".encode()
        self.finish()

    def open(self, door: str, name: str, seconds: float) -> "subprocess.Popen[str]":
        """Starts training in a door's way, as an experiment of a name, with so many seconds between two checkpoints."""
        self.environment[SECONDS_VARIABLE] = str(seconds)
        if door in ("dvc repro", "flow"):
            self.set(epochs=str(EPOCHS))
        named = {"dvc exp": ["--name", name], "flow in": ["--experiment", name]}.get(door[:7], [])
        process = self._start([*DOORS[door], *named])
        if door.endswith("--queue"):
            assert process.wait(60) == 0
            process = self._start(["dvc", "queue", "start"])
        return process

    def _start(self, command: list[str]) -> "subprocess.Popen[str]":
        with (self.folder.parent / "log").open("a") as log:
            return subprocess.Popen(
                command, cwd=self.folder, env=self.environment, stdout=log, stderr=log, text=True, start_new_session=True
            )

    def processes(self, word: str) -> list[int]:
        """Those of this house with a word in their command, wherever they run."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if word.encode() in words and self._mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
        return found

    def steps(self) -> tuple[int, int]:
        """How far the furthest checkpoint is."""
        folders = (self.folder / ".dvc" / "tmp" / "checkpoints").glob("*/")
        return max(((one.epoch, one.step) for folder in folders for one in list_checkpoints(folder)), default=(0, 0))

    def result(self, door: str, name: str) -> str | None:
        """The hash of the model that came out."""
        if door in _IN_PLACE:
            return self.hashes().get("models/resnet.keras")
        listed = self.run("git", "for-each-ref", "--format=%(refname)", "refs/exps").stdout.split()
        found = [ref for ref in listed if ref.endswith(f"/{name}")]
        if not found:
            return None
        (self.folder.parent / "dvc.lock").write_text(self.run("git", "show", f"{found[0]}:dvc.lock").stdout, encoding="utf-8")
        return self.hashes(self.folder.parent / "dvc.lock")["models/resnet.keras"]

    def leave(self) -> None:
        """Makes all as it was before the training."""
        for process in self.processes("uvicorn"):  # which Prefect does not end when the flow is ended by SIGKILL
            os.kill(process, signal.SIGTERM)
        self.run("dvc", "queue", "stop")
        self.run("dvc", "queue", "remove", "--all")
        self.run("dvc", "exp", "remove", "--all-commits")
        self.run("git", "checkout", "--quiet", ".")
        for path in (".dvc/tmp/checkpoints", ".dvc/cache/runs"):
            shutil.rmtree(self.folder / path, ignore_errors=True)
        self.run("dvc", "checkout", "--quiet", "--force")
        (self.folder.parent / "log").unlink(missing_ok=True)

    @property
    def log(self) -> str:
        """What was printed since the last `leave`."""
        return (self.folder.parent / "log").read_text("utf-8")


def wait(condition: Callable[[], bool], what: str, seconds: float = 180) -> None:
    """Waits until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} took more than {seconds:.0f} s"
        time.sleep(0.02)


def interrupt(house: House, door: str, dice: random.Random) -> None:
    """Ends training under a door: the trainer, or what stands above it, by SIGKILL or SIGTERM.

    A flow would start its trainer again, and the queue's worker outlives what started it.
    """
    process = house.open(door, "first", 0)
    wait(lambda: house.steps() > (1, 0), "the first steps")
    time.sleep(dice.uniform(0, 1))
    number = dice.choice([signal.SIGKILL, signal.SIGTERM])
    trainer = door.endswith("--queue") or (door.startswith("dvc") and dice.random() < 0.5)
    targets = house.processes("tasks.train") if trainer else [process.pid]
    for target in targets:
        with contextlib.suppress(ProcessLookupError):
            os.kill(target, number)
    wait(lambda: not house.processes("tasks.train"), "the end of the trainer", 20)
    if not door.endswith("--queue"):
        process.wait(60)


def trial(house: House, expected: str, first: str, second: str, dice: random.Random) -> None:
    """Ended under the first door, it goes on under the second to the same weights."""
    interrupt(house, first, dice)
    reached = house.steps()
    assert (0, 0) < reached < (EPOCHS, 0), f"it was at {reached}"
    house.run("git", "checkout", "--quiet", "params.yaml")
    if first.endswith("--queue"):
        house.run("dvc", "queue", "stop")
    process = house.open(second, "second", 60)
    if second.endswith("--queue"):
        wait(lambda: house.result(second, "second") is not None, "the queue")
    assert process.wait(240) == 0, "the second door ended with an error"
    assert house.result(second, "second") == expected, "it ended in other weights"
    assert second.endswith("--queue") or "train: goes on from" in house.log, "it began anew"


def through_doors(trials: int) -> int:
    """Pairs of doors, in an order of their own."""
    pairs = list(permutations(DOORS, 2))
    random.Random(0).shuffle(pairs)
    survived = 0
    with tempfile.TemporaryDirectory() as made:
        (Path(made) / "project").mkdir()
        house = House(Path(made) / "project")
        house.set(epochs=str(EPOCHS))
        house.run("dvc", "repro", "train")
        expected = house.hashes()["models/resnet.keras"]
        for number, (first, second) in enumerate(pairs[:trials]):
            house.leave()
            try:
                trial(house, expected, first, second, random.Random(number))
                survived += 1
            except AssertionError as error:
                print(f"{first}, then {second}: {error}\n{house.log}", file=sys.stderr, flush=True)
        house.leave()
    return survived


ROWS = (Trial("ended under one door, gone on with under another", PAIRS, "the same weights", through_doors),)

if __name__ == "__main__":
    sys.exit(main(ROWS))
