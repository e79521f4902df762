"""The power is cut during `dvc repro`, on a real file system that loses what was not synced: a row of `docs/survival.md`.

python -m tests.soak.power_cut [--trials N]
"""

import contextlib
import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resnet.training.checkpoint_files import list_checkpoints
from tasks.training.resume import SECONDS_VARIABLE
from tests.project import STAGES
from tests.soak.cut_disk import SETTINGS, CutDisk, can_cut
from tests.soak.small_project import OUTPUTS, SmallProject
from tests.soak.trials import Trial, main

_MEGABYTES = 500  # the project with its cache, its history and what a trial adds takes less than 100
_EPOCHS = 20
_REMOVAL = re.compile(r"run `rm -r?f '?([^`']+)'?`")


class Machine:
    """A project on a disk of its own. Each trial has a copy of the disk, mounted at the same path.

    Args:
        folder: for the disks.
    """

    def __init__(self, folder: Path) -> None:
        self._whole, self._copy, self._mounted_at = folder / "whole", folder / "copy", folder / "disk"
        with self._inserted(self._whole, SETTINGS[0]) as disk:
            (disk.folder / "project").mkdir()
            self.project = SmallProject(disk.folder / "project")
            self.project.environment[SECONDS_VARIABLE] = "0"
            self.project.set(epochs=str(_EPOCHS))
            self.project.finish()
            self.expected = contents(self.project)

    @contextmanager
    def _inserted(self, image: Path, settings: str) -> Iterator[CutDisk]:
        disk = CutDisk(image, self._mounted_at, _MEGABYTES)
        try:
            disk.mount(settings)
            yield disk
            disk.unmount()
        finally:
            disk.close()

    def cut_in(self, stage: str, share: float, settings: str) -> list[tuple[int, int]]:
        """Cuts the power while a stage runs on a new copy of the disk.

        Args:
            stage: its name.
            share: of the usual duration of the stage after which the power is cut.
            settings: of the file system, see `cut_disk.SETTINGS`.

        Returns:
            Epoch and step of the checkpoints that a process could see just before, the latest first.
        """
        subprocess.run(["cp", "--sparse=always", str(self._whole), str(self._copy)], check=True)
        with self._inserted(self._copy, settings) as disk:
            for path in (".dvc/tmp/checkpoints", "live"):
                shutil.rmtree(self.project.folder / path)
            self.project.forget(stage)
            subprocess.run(["sync", "--file-system", str(disk.folder)], check=True)
            process = subprocess.Popen(
                ["dvc", "repro"],
                cwd=self.project.folder,
                env=self.project.environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            try:
                time.sleep(share * self.project.seconds[stage])
                seen = self.checkpoints()
                disk.cut()
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        return seen

    def checkpoints(self) -> list[tuple[int, int]]:
        """Epoch and step of the checkpoints, the latest first."""
        folders = (self.project.folder / ".dvc/tmp/checkpoints").glob("*/")
        return sorted(((one.epoch, one.step) for each in folders for one in list_checkpoints(each)), reverse=True)

    def wrong_after(self, seen: list[tuple[int, int]]) -> str:
        """Starts the machine again and does what `make repro` does; returns what is wrong then, or "".

        Args:
            seen: what `cut_in` returned.
        """
        with self._inserted(self._copy, SETTINGS[0]):
            # A checkpoint is synced before the next one begins, so that at most the newest is lost.
            if seen[1:] and self.checkpoints()[:1] < seen[1:2]:
                return f"of the checkpoints {seen} only {self.checkpoints()} are left"
            for command in (["python", "-m", "commands", "check"], ["verify"], ["dvc", "repro"]):
                wrong = self._remove_damaged() if command == ["verify"] else self._fails(command)
                if wrong:
                    return wrong
            different = self.expected.items() ^ contents(self.project).items()
            if different:
                return f"these differ: {sorted({name for name, _ in different})}"
            return self._fails(["python", "-m", "commands", "verify"])

    def _remove_damaged(self) -> str:
        """Does what `train-resnet verify --cache` says."""
        result = self._run(["python", "-m", "commands", "verify", "--cache"])
        sentences = [line for line in result.stderr.splitlines() if not line.startswith("If `dvc pull`")]
        for sentence in sentences:
            found = _REMOVAL.search(sentence)
            if found is None:
                return f"verify names no remedy: {sentence}"
            (self.project.folder / found[1]).unlink(missing_ok=True)
        return ""

    def _fails(self, command: list[str]) -> str:
        result = self._run(command)
        return f"{' '.join(command)} ended with {result.returncode}: {result.stderr[-700:]}" if result.returncode else ""

    def _run(self, command: list[str]) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            command,
            cwd=self.project.folder,
            env=self.project.environment,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )


def contents(project: SmallProject) -> dict[str, str]:
    """The SHA-256 of each file that the stages write, by path."""
    found = {}
    for name in (name for names in OUTPUTS.values() for name in names):
        path = project.folder / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                found[str(file.relative_to(project.folder))] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


def cut(trials: int) -> int:
    """Cuts the power in each stage in turn, with both settings of the file system; returns the number of good ends."""
    survived = 0
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(Path(folder))
        for number in range(trials):
            stage, settings = STAGES[number % len(STAGES)], SETTINGS[number // len(STAGES) % len(SETTINGS)]
            share = random.Random(number).uniform(0.4, 1.15)
            wrong = machine.wrong_after(machine.cut_in(stage, share, settings))
            survived += not wrong
            if wrong:
                print(f"power cut in {stage} at {share:.2f}, {settings}: {wrong}", file=sys.stderr, flush=True)
    return survived


ROWS = (
    Trial(
        "power cut in each stage, on ext4 that loses what was not synced",
        36 if can_cut() else 0,
        "the steps of `make repro` give equal bytes",
        cut,
    ),
)

if __name__ == "__main__":
    sys.exit(main(ROWS))
