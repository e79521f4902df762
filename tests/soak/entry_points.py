"""Training is stopped under one entry point and resumed under another: a row of `docs/survival.md`.

An entry point is a way to start training: `dvc repro`, the kinds of `dvc exp run`, and the flow.

python -m tests.soak.entry_points [--trials N]
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

from resnet.training.checkpoint_files import list_checkpoints
from tasks.training.resume import SECONDS_VARIABLE
from tests.interrupted import RESUMED
from tests.soak.small_project import SmallProject
from tests.soak.trials import Trial, main

EPOCHS = 300
_OVERRIDE = f"train.epochs={EPOCHS}"
_EXPERIMENT = ["dvc", "exp", "run", "-S", _OVERRIDE]
_FLOW = [sys.executable, "-m", "flows.train_resnet"]
# The first two train in the work tree with its params.yaml.
ENTRY_POINTS = {
    "dvc repro": ["dvc", "repro", "train"],
    "flow": _FLOW,
    "dvc exp run": [*_EXPERIMENT, "train"],
    "dvc exp run --temp": [*_EXPERIMENT, "--temp", "train"],
    "dvc exp run --queue": [*_EXPERIMENT, "--queue", "train"],
    "flow in a checkout": [*_FLOW, "--set", _OVERRIDE],
}
_IN_PLACE = ("dvc repro", "flow", "dvc exp run")
PAIRS = len(ENTRY_POINTS) * (len(ENTRY_POINTS) - 1)


class TrainingProject(SmallProject):
    """A project whose training can be started by every entry point."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.environment |= {
            "TRAINING_PROJECT": str(folder),
            "PREFECT_HOME": str(folder.parent / "prefect"),
            "DO_NOT_TRACK": "1",
        }
        self._mark = f"TRAINING_PROJECT={folder}".encode()
        self.finish()

    def open(self, entry_point: str, name: str, seconds: float) -> "subprocess.Popen[str]":
        """Starts training.

        Args:
            entry_point: a key of `ENTRY_POINTS`.
            name: of the experiment.
            seconds: between two checkpoints.
        """
        self.environment[SECONDS_VARIABLE] = str(seconds)
        if entry_point in ("dvc repro", "flow"):
            self.set(epochs=str(EPOCHS))
        named = {"dvc exp": ["--name", name], "flow in": ["--experiment", name]}.get(entry_point[:7], [])
        process = self._start([*ENTRY_POINTS[entry_point], *named])
        if entry_point.endswith("--queue"):
            assert process.wait(60) == 0
            process = self._start(["dvc", "queue", "start"])
        return process

    def _start(self, command: list[str]) -> "subprocess.Popen[str]":
        with (self.folder.parent / "log").open("a") as log:
            return subprocess.Popen(
                command, cwd=self.folder, env=self.environment, stdout=log, stderr=log, text=True, start_new_session=True
            )

    def processes(self, word: str) -> list[int]:
        """The ids of this project's processes that have a word in their command, in whatever folder they run."""
        found = []
        for number in self.every_process():
            with contextlib.suppress(OSError):
                if word.encode() in Path(f"/proc/{number}/cmdline").read_bytes().split(b"\0"):
                    found.append(number)
        return found

    def every_process(self) -> list[int]:
        """The ids of all processes of this project."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if self._mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
        return found

    def steps(self) -> tuple[int, int]:
        """The epoch and step of the furthest checkpoint."""
        folders = (self.folder / ".dvc" / "tmp" / "checkpoints").glob("*/")
        return max(((one.epoch, one.step) for folder in folders for one in list_checkpoints(folder)), default=(0, 0))

    def result(self, entry_point: str, name: str) -> str | None:
        """The hash of the trained model; None if there is none."""
        if entry_point in _IN_PLACE:
            return self.hashes().get("models/resnet.keras")
        listed = self.run("git", "for-each-ref", "--format=%(refname)", "refs/exps").stdout.split()
        found = [ref for ref in listed if ref.endswith(f"/{name}")]
        if not found:
            return None
        (self.folder.parent / "dvc.lock").write_text(self.run("git", "show", f"{found[0]}:dvc.lock").stdout, encoding="utf-8")
        return self.hashes(self.folder.parent / "dvc.lock")["models/resnet.keras"]

    def reset(self) -> None:
        """Removes the traces of the training."""
        for process in self.processes("uvicorn"):  # Prefect's temporary server outlives a flow that is killed
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
        """The output since the last `reset`."""
        return (self.folder.parent / "log").read_text("utf-8")


def wait(condition: Callable[[], bool], what: str, seconds: float = 180) -> None:
    """Waits until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} took more than {seconds:.0f} s"
        time.sleep(0.02)


def interrupt(project: TrainingProject, entry_point: str, rng: random.Random) -> None:
    """Stops training: the process of the stage or the one that started it, by SIGKILL or SIGTERM.

    Under a flow it is always the flow, which would start the stage again; under the queue always the stage, because the worker
    of the queue is not a child process.
    """
    process = project.open(entry_point, "first", 0)
    wait(lambda: project.steps() > (1, 0), "the first steps")
    time.sleep(rng.uniform(0, 1))
    number = rng.choice([signal.SIGKILL, signal.SIGTERM])
    trainer = entry_point.endswith("--queue") or (entry_point.startswith("dvc") and rng.random() < 0.5)
    targets = project.processes("tasks.train") if trainer else [process.pid]
    for target in targets:
        with contextlib.suppress(ProcessLookupError):
            os.kill(target, number)
    wait(lambda: not project.processes("tasks.train"), "the end of the trainer", 20)
    if not entry_point.endswith("--queue"):
        process.wait(60)


def trial(project: TrainingProject, expected: str, first: str, second: str, rng: random.Random) -> None:
    """Stops training under the first entry point, resumes it under the second, and compares the weights."""
    interrupt(project, first, rng)
    reached = project.steps()
    assert (0, 0) < reached < (EPOCHS, 0), f"it was at {reached}"
    project.run("git", "checkout", "--quiet", "params.yaml")
    if first.endswith("--queue"):
        project.run("dvc", "queue", "stop")
    process = project.open(second, "second", 60)
    if second.endswith("--queue"):
        wait(lambda: project.result(second, "second") is not None, "the queue")
    assert process.wait(240) == 0, "the second entry point failed"
    assert project.result(second, "second") == expected, "the weights differ"
    assert second.endswith("--queue") or RESUMED.search(project.log), "training started from the beginning"


def across_entry_points(trials: int) -> int:
    """Tries pairs of entry points in a fixed random order; returns the number that passed."""
    pairs = list(permutations(ENTRY_POINTS, 2))
    random.Random(0).shuffle(pairs)
    survived = 0
    with tempfile.TemporaryDirectory() as made:
        (Path(made) / "project").mkdir()
        project = TrainingProject(Path(made) / "project")
        project.set(epochs=str(EPOCHS))
        project.run("dvc", "repro", "train")
        expected = project.hashes()["models/resnet.keras"]
        for number, (first, second) in enumerate(pairs[:trials]):
            project.reset()
            try:
                trial(project, expected, first, second, random.Random(number))
                survived += 1
            except AssertionError as error:
                print(f"{first}, then {second}: {error}\n{project.log}", file=sys.stderr, flush=True)
        project.reset()
    return survived


ROWS = (Trial("stopped under one entry point, resumed under another", PAIRS, "the same weights", across_entry_points),)

if __name__ == "__main__":
    sys.exit(main(ROWS))
