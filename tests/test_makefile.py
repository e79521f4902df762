"""What `make repro` prints, with programs that do nothing in place of those of `.venv`."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.imports import ROOT

pytestmark = pytest.mark.slow  # starts make


def repro(folder: Path, dvc: str) -> subprocess.CompletedProcess[str]:
    """Runs it in a folder whose `.venv` is complete.

    Args:
        folder: an empty one.
        dvc: the script in place of DVC.
    """
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        (folder / name).write_bytes((ROOT / name).read_bytes())
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name, script in (("python", ""), ("train-resnet", ""), ("dvc", dvc)):
        (programs / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (programs / name).chmod(0o755)
    for name in ("packages", "ready"):
        (folder / ".venv" / name).touch()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(["make", "repro", "GPU=0"], cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_its_last_line_names_the_report_and_the_next_command(tmp_path: Path) -> None:
    done = repro(tmp_path, "echo 'Use `dvc push` to send your updates to remote storage.'")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "dvc repro",
        "Use `dvc push` to send your updates to remote storage.",
        "The report is reports/index.html. Next, for your own images: . .venv/bin/activate, then train-resnet advise FOLDER",
    ]


def test_it_names_no_report_after_a_failure(tmp_path: Path) -> None:
    done = repro(tmp_path, "exit 255")
    assert done.returncode
    assert "report" not in done.stdout
