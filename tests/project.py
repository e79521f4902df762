"""A copy of this project with a tiny network, for tests that run the pipeline."""

import atexit
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from ruamel.yaml import YAML

from tests.forks import Forks
from tests.imports import ROOT

METRICS = [  # in their order in the file
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "macro_f1",
    "calibration_error",
    "calibration_error_by_chance",
    "loss",
    "calibration_error_before",
    "loss_before",
    "refused",
    "refused_low",
    "refused_high",
]
STAGES = ["ingest", "preprocess", "build", "train", "evaluate", "render"]


# What most commands of DVC import late.
_OF_DVC = (
    *("dvc.cli.parser", "dvc._debug", "dvc.dirs", "dvc.cachemgr", "dvc.data_cloud", "dvc.utils.strictyaml"),
    *("dvc.repo.artifacts", "dvc.repo.index", "dvc.repo.graph", "dvc.repo.plots", "dvc.repo.stage", "dvc.repo.datasets"),
    *("dvc.repo.experiments.show", "dvc.repo.experiments.queue.celery", "dvc_data.hashfile.db.local", "networkx", "dvc_render"),
)


@cache
def _dvc() -> Forks:
    made = Forks("dvc.cli:main", *_OF_DVC)
    atexit.register(made.close)
    return made


class Project:
    """A copy of this project in a new Git repository, with a network of two blocks and two epochs."""

    def __init__(self, folder: Path, copy_of: Path | None = None) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "DVC_SITE_CACHE_DIR": str(folder.parent / f"{folder.name}-site"),
            "GIT_AUTHOR_NAME": "Test",
            "GIT_AUTHOR_EMAIL": "test@example.org",
            "GIT_COMMITTER_NAME": "Test",
            "GIT_COMMITTER_EMAIL": "test@example.org",
        }
        if copy_of is None:
            self._make()
        else:  # a finished one, with DVC's cache
            shutil.copytree(copy_of, folder, symlinks=True, dirs_exist_ok=True)

    def _make(self) -> None:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        )
        for name in filter(None, listed.stdout.split("\0")):
            if (ROOT / name).is_file() and not name.startswith("reports/") and name != "dvc.lock":
                self._copy(name)
        self.set(blocks="[1, 1]", width="8", epochs="2", warmup_epochs="0.5", samples="8", dpi="60")
        self.run("git", "init", "--quiet")
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", "tiny")

    def _copy(self, name: str) -> None:
        """Copies a file, and a module's bytecode, which is valid for a copy of the same time."""
        folder, _, file = name.rpartition("/")
        bytecode = f"{folder}/__pycache__/{file.removesuffix('.py')}.{sys.implementation.cache_tag}.pyc"
        for one in (name, bytecode):
            if (ROOT / one).exists():
                (self.folder / one).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / one, self.folder / one)

    def set(self, **values: str) -> None:
        """Changes parameter values in params.yaml by replacing their lines, as a user with an editor does."""
        lines = (self.folder / "params.yaml").read_text("utf-8").splitlines()
        for name, value in values.items():
            found = [number for number, line in enumerate(lines) if line.strip().startswith(f"{name}:")]
            assert len(found) == 1, f"{name} is in {len(found)} lines"
            lines[found[0]] = f"{lines[found[0]].partition(':')[0]}: {value}"
        (self.folder / "params.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def run(self, *command: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Runs a command in the project's folder and checks its exit code."""
        result = self.call(*command)
        assert result.returncode == code, f"the exit code of {command} is {result.returncode}:\n{result.stdout}{result.stderr}"
        return result

    def call(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Runs a command in the project's folder; DVC in a fork of a process that has imported it."""
        if command[0] == "dvc":
            return _dvc().run(command, self.folder, self.environment)
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=300,
        )

    def repro(self) -> list[str]:
        """Runs `dvc repro`; returns the stages that it ran."""
        output = self.run("dvc", "repro").stdout
        return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]

    def read(self, path: str) -> str:
        """Returns the text of a file."""
        return (self.folder / path).read_text("utf-8")

    def hashes(self, lock_file: Path | None = None) -> dict[str, str]:
        """Returns the MD5 of every output by path, read from `dvc.lock` or another lock file."""
        lock = YAML(typ="safe").load(lock_file or self.folder / "dvc.lock")
        return {out["path"]: out["md5"] for stage in lock["stages"].values() for out in stage["outs"]}
