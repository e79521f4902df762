"""A project that is small enough to be run many times, and the faults that are injected into it."""

import contextlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

from ruamel.yaml import YAML

from tests.pictures import two_classes
from tests.project import STAGES, Project

OUTPUTS = {
    "ingest": ["data/raw"],
    "preprocess": ["data/prepared"],
    "build": ["models/initial.keras", "reports/model_summary.txt"],
    "train": ["models/resnet.keras", "reports/history.csv", "reports/training.json"],
    "evaluate": ["reports/metrics.json", "reports/predictions.csv", "reports/evaluation/samples.npz"],
    "render": [
        *("reports/index.html", "reports/data.html"),
        *(f"reports/{name}.png" for name in ("loss", "accuracy", "confusion_matrix", "samples")),
    ],
}
_KILLER = Path(__file__).with_name("killed_dvc.py")


class SmallProject(Project):
    """A project with 24 images of two classes, a network of one block, and one epoch."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.environment["PYTHONDONTWRITEBYTECODE"] = "1"
        two_classes(folder / "photos")
        self.set(blocks="[1]", width="4", epochs="1", samples="2", dpi="30", source="photos", max_rejected="0")
        text = (folder / "params.yaml").read_text("utf-8").replace("batch_size: 32", "batch_size: 4")
        (folder / "params.yaml").write_text(text, encoding="utf-8")
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", "small")
        self.reference: dict[str, str] = {}
        self.seconds: dict[str, float] = {}

    def finish(self) -> None:
        """Runs all stages and keeps the hashes of the outputs and the duration of each stage for comparison."""
        moments, output = [time.monotonic()], ""
        command = ["dvc", "repro"]
        with subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                output += line
                if line.startswith("Running stage"):
                    moments.append(time.monotonic())
        assert process.returncode == 0, output
        moments.append(time.monotonic())
        start = moments[1] - moments[0]  # DVC's own start, which a run of one stage includes too
        self.seconds = {
            stage: start + after - before for stage, (before, after) in zip(STAGES, pairwise(moments[1:]), strict=True)
        }
        self.reference = self.hashes()
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", "results")

    def forget(self, stage: str) -> None:
        """Removes a stage's outputs and DVC's records of it, so that it runs again."""
        yaml = YAML()
        lock = yaml.load(self.folder / "dvc.lock")
        lock["stages"].pop(stage, None)
        yaml.dump(lock, self.folder / "dvc.lock")
        shutil.rmtree(self.folder / ".dvc/cache/runs", ignore_errors=True)
        for path in OUTPUTS[stage]:
            self.discard(path)

    def discard(self, path: str) -> None:
        """Removes a file or a folder."""
        there = self.folder / path
        if there.is_dir():
            shutil.rmtree(there)
        else:
            there.unlink(missing_ok=True)

    def kill_in(self, stage: str, share: float, *, group: bool) -> None:
        """Runs a stage and kills it by SIGKILL.

        Args:
            stage: its name.
            share: of the usual duration after which it is killed.
            group: kills DVC too; otherwise only the stage's command.
        """
        self.forget(stage)
        process = subprocess.Popen(
            ["dvc", "repro", stage],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + share * self.seconds[stage]
            while time.monotonic() < deadline and process.poll() is None:
                time.sleep(0.01)
            with contextlib.suppress(ProcessLookupError):  # it has ended already
                for child in () if group else _children(process.pid):
                    os.kill(child, signal.SIGKILL)
            if not group:
                process.wait(600)  # where DVC had not started the command yet, it runs it to its end
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def kill_between(self, stage: str, point: str) -> bool:
        """Kills DVC by SIGKILL at a point after the stage's command, see `killed_dvc.py`; returns whether it was killed."""
        self.forget(stage)
        command = [sys.executable, str(_KILLER), point, stage]
        result = subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, check=False)
        return result.returncode == -signal.SIGKILL

    def recovers(self, *, check: bool = False) -> str:
        """Runs `dvc repro`, with `check` after `train-resnet check`; returns a description of any difference, or ""."""
        for command in [["python", "-m", "commands", "check"]] * check + [["dvc", "repro"]]:
            result = self.call(*command)
            if result.returncode:
                return f"{' '.join(command)} ended with {result.returncode}: {result.stderr[-500:]}"
        if self.hashes() != self.reference:
            return f"other hashes: {self.hashes().items() ^ self.reference.items()}"
        leftovers = [str(path) for path in self.leftovers()]
        return f"left behind: {', '.join(leftovers)}" if leftovers else ""

    def leftovers(self) -> list[Path]:
        """The temporary files that a killed run may leave."""
        return [
            path
            for folder in ("data", "models", "reports")
            for path in (self.folder / folder).rglob(".*")
            if path.name.startswith((".partial-", ".old-"))
        ]

    def contents(self, stage: str) -> dict[str, bytes]:
        """The contents of a stage's outputs by path."""
        found: dict[str, bytes] = {}
        for name in OUTPUTS[stage]:
            path = self.folder / name
            for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
                if file.is_file():
                    found[str(file.relative_to(self.folder))] = file.read_bytes()
        return found

    def run_stage(self, stage: str, most: int | None = None) -> subprocess.CompletedProcess[str]:
        """Runs a stage without DVC; `most` limits the size of the files that it writes, in bytes."""

        def limit() -> None:
            if most is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

        return subprocess.run(
            [sys.executable, "-m", f"tasks.{stage}"],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=limit,
        )


def _children(process: int) -> list[int]:
    try:
        return [int(number) for number in Path(f"/proc/{process}/task/{process}/children").read_text("ascii").split()]
    except OSError:
        return []


def moments(trials: int) -> list[float]:
    """Shares of a stage's duration after which to kill it; the same in every run."""
    return [random.Random(number).uniform(0.2, 1.05) for number in range(trials)]
