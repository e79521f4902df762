"""A search that prunes is killed and started again: a row of `docs/survival.md`.

python -m tests.soak.killed_search [--trials N]
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tasks.training.points import read_points
from tests.project import Project
from tests.soak.small_project import SmallProject
from tests.soak.trials import Trial, main

SEARCH = [sys.executable, "-m", "flows.search", "--prune", "--trials", "4", "--between-log", "train.learning_rate=0.0005,0.05"]
KILLS = 20
_MOST = 3.0  # seconds from the sign that is waited for to the kill


class SearchProject(SmallProject):
    """A project in which a search of four trials of nine epochs takes about two minutes."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.environment |= {"SEARCH_PROJECT": str(folder), "PREFECT_HOME": str(folder.parent / "prefect"), "DO_NOT_TRACK": "1"}
        self.set(epochs="9", warmup_epochs="0")
        self.run("git", "commit", "--quiet", "--all", "--message", "nine epochs")

    def open(self) -> "subprocess.Popen[str]":
        """Starts the search."""
        with (self.folder.parent / "log").open("a") as log:
            return subprocess.Popen(
                SEARCH, cwd=self.folder, env=self.environment, stdout=log, stderr=log, text=True, start_new_session=True
            )

    def wait(self, process: "subprocess.Popen[str]", condition: Callable[[], bool]) -> None:
        """Waits until a condition holds or the search ends."""
        deadline = time.monotonic() + 600
        while process.poll() is None and not condition():
            assert time.monotonic() < deadline, "the search did not go on"
            time.sleep(0.05)

    def kill_all(self) -> None:
        """Kills all processes of the project at once, as a power cut would."""
        mark = f"SEARCH_PROJECT={self.folder}".encode()
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    os.kill(int(entry.name), signal.SIGKILL)

    def finished(self) -> dict[str, int]:
        """The number of finished epochs of each training run."""
        return {
            path.parent.name: max((one["epoch"] for one in read_points(path).epochs), default=0) for path in self._records()
        }

    def begun(self) -> dict[str, tuple[float, int]]:
        """When each run was last started, in seconds since 1970, and from which epoch."""
        starts = {path.parent.name: read_points(path).start for path in self._records()}
        return {name: (start["time"], start["epoch"]) for name, start in starts.items() if start}

    def has_begun(self, since: float) -> bool:
        """Whether a run was started after a moment."""
        return any(moment > since for moment, _ in self.begun().values())

    def has_finished(self, epochs: int) -> bool:
        """Whether the runs have finished so many epochs together."""
        return sum(self.finished().values()) >= epochs

    def _records(self) -> list[Path]:
        return sorted((self.folder / "live").glob("*/record.jsonl"))

    def winner(self) -> tuple[float, dict[str, str]]:
        """The learning rate of the trial that was trained to the end, and the hashes of its outputs."""
        (record,) = (self.folder / ".dvc" / "tmp" / "searches").glob("*.json")
        (best,) = [one for one in json.loads(record.read_text("utf-8"))["trials"] if one["result"]]
        refs = self.run("git", "for-each-ref", "--format=%(refname)", "refs/exps").stdout.split()
        (ref,) = [one for one in refs if one.endswith(f"/{best['result']['experiment']}")]
        (self.folder.parent / "dvc.lock").write_text(self.run("git", "show", f"{ref}:dvc.lock").stdout, encoding="utf-8")
        return best["values"]["train.learning_rate"], self.hashes(self.folder.parent / "dvc.lock")


def undisturbed(folder: Path, of: SearchProject, rate: float) -> dict[str, str]:
    """The hashes of a plain `dvc repro` with a learning rate, in a copy without checkpoints and cache."""
    of.run("git", "clone", "--quiet", ".", str(folder.parent / "cloned"))
    project = Project(folder, copy_of=folder.parent / "cloned")
    text = (folder / "params.yaml").read_text("utf-8")
    old = next(line for line in text.splitlines() if line.strip().startswith("learning_rate:"))
    (folder / "params.yaml").write_text(text.replace(old, f"  learning_rate: {rate!r}"), encoding="utf-8")
    project.run("dvc", "repro", "evaluate")
    return project.hashes()


def lost(project: SearchProject, finished: dict[str, int], since: float) -> list[str]:
    """The runs that were started again before an epoch that they had finished."""
    return [
        f"{name} began again at epoch {epoch}, but had finished {finished[name]}"
        for name, (moment, epoch) in project.begun().items()
        if moment > since and name in finished and epoch <= finished[name]
    ]


def killed(kills: int) -> int:
    """Kills one search so many times at random moments, then lets it end; the number of kills that lost no epoch.

    It is 0 if the weights of the best trial are not those of a plain run with its parameters.
    """
    dice, survived = random.Random(0), 0
    with tempfile.TemporaryDirectory() as made:
        (Path(made) / "project").mkdir()
        project = SearchProject(Path(made) / "project")
        try:
            finished: dict[str, int] = {}
            since = time.time()
            for number in range(kills + 1):
                process = project.open()
                if number < kills:
                    if number % 4 == 3:  # while the network is compiled, before a step
                        project.wait(process, partial(project.has_begun, since))
                    else:  # while an epoch is reported, the next one trains, a part ends, or another begins
                        project.wait(process, partial(project.has_finished, sum(finished.values()) + 1))
                    time.sleep(dice.uniform(0, _MOST))
                    project.kill_all()
                process.wait(1200)
                wrong = lost(project, finished, since)
                survived += bool(number and not wrong)
                for line in wrong:
                    print(f"kill {number}: {line}", file=sys.stderr, flush=True)
                finished, since = project.finished(), time.time()
            assert process.returncode == 0, (project.folder.parent / "log").read_text("utf-8")[-3000:]
            rate, found = project.winner()
            (Path(made) / "plain").mkdir()
            expected = undisturbed(Path(made) / "plain", project, rate)
            names = ("models/resnet.keras", "reports/history.csv", "reports/metrics.json")
            assert [found[name] for name in names] == [expected[name] for name in names], "the results of the winner differ"
        except AssertionError as error:
            print(error, file=sys.stderr, flush=True)
            return 0
        finally:
            project.kill_all()
    return survived


ROWS = (Trial("SIGKILL to all processes of a search that prunes", KILLS, "no finished epoch lost, the same bytes", killed),)

if __name__ == "__main__":
    sys.exit(main(ROWS))
