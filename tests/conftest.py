"""What several tests need: small splits, tiny networks, and a project of their own."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from resnet.data.arrays import Split, SplitWriter
from tests.imports import ROOT

# Before any test imports TensorFlow, whose libraries print whatever they like.
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"


@pytest.fixture
def write_split(tmp_path: Path) -> Callable[..., Path]:
    """Writes a split of random images and returns its folder."""

    def write(name: str, labels: list[int], size: int = 32, seed: int = 0, **options: int) -> Path:
        images = np.random.default_rng(seed).integers(0, 256, (len(labels), size, size, 3), dtype=np.uint8)
        with SplitWriter(tmp_path / name, len(labels), size, **options) as writer:
            for image, label in zip(images, labels, strict=True):
                writer.add(image, label)
        return tmp_path / name

    return write


@pytest.fixture
def separable(tmp_path: Path) -> Callable[[str, int], Split]:
    """A split of two classes that can be told apart: dark and bright images with some noise."""

    def make(name: str, images: int) -> Split:
        generator = np.random.default_rng(len(name))
        with SplitWriter(tmp_path / name, images, 32) as writer:
            for number in range(images):
                level = 60 if number % 2 else 190
                noise = generator.integers(-40, 40, (32, 32, 3))
                writer.add((level + noise).astype(np.uint8), number % 2)
        return Split(tmp_path / name, 2)

    return make


class Project:
    """A copy of this project in a Git repository of its own, with a network of two blocks and two short epochs."""

    def __init__(self, folder: Path) -> None:
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
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        )
        for name in filter(None, listed.stdout.split("\0")):
            if (ROOT / name).is_file() and not name.startswith("reports/") and name != "dvc.lock":
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        self.set(blocks="[1, 1]", width="8", epochs="2", warmup_epochs="0.5", samples="8", dpi="60")
        self.run("git", "init", "--quiet")
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", "tiny")

    def set(self, **values: str) -> None:
        """Changes the values of parameters in params.yaml, as a person with an editor does."""
        lines = (self.folder / "params.yaml").read_text("utf-8").splitlines()
        for name, value in values.items():
            found = [number for number, line in enumerate(lines) if line.strip().startswith(f"{name}:")]
            assert len(found) == 1, f"{name} stands in {len(found)} lines"
            lines[found[0]] = f"{lines[found[0]].partition(':')[0]}: {value}"
        (self.folder / "params.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def run(self, *command: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Runs a command in the project's folder and expects its exit code."""
        result = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False, timeout=300
        )
        assert result.returncode == code, f"{command} ended with {result.returncode}:\n{result.stdout}{result.stderr}"
        return result

    def repro(self) -> list[str]:
        """`dvc repro`; returns the stages that it ran."""
        output = self.run("dvc", "repro").stdout
        return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]

    def read(self, path: str) -> str:
        """The text of a file."""
        return (self.folder / path).read_text("utf-8")


@pytest.fixture(scope="session")
def make_project(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Project]:
    """Makes projects."""
    return lambda: Project(tmp_path_factory.mktemp("project"))
