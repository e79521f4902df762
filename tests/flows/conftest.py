"""Projects and a server for the tests of flows."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.flows.quick import QuickProject, Server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One Prefect server for all tests of a session."""
    made = Server(tmp_path_factory.mktemp("prefect"))
    yield made
    made.stop()


@pytest.fixture
def make_quick(tmp_path: Path) -> Iterator[Callable[..., QuickProject]]:
    """Makes a project whose stages take no time; the argument is the environment of a server."""
    made: list[QuickProject] = []

    def make(environment: dict[str, str] | None = None) -> QuickProject:
        folder = tmp_path / "project"
        folder.mkdir()
        made.append(QuickProject(folder, environment))
        return made[-1]

    yield make
    for project in made:
        project.close()


@pytest.fixture
def dvc_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DVC repository with one stage `s`, which runs `program.py` and has the output `out`; see `write_program`."""
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    folder = tmp_path / "repository"
    folder.mkdir()
    for command in (["git", "init", "--quiet"], ["dvc", "init", "--quiet"], ["dvc", "config", "core.analytics", "false"]):
        subprocess.run(command, cwd=folder, check=True)
    (folder / "dvc.yaml").write_text(
        "stages:\n  s:\n    cmd: exec python program.py\n    deps: [program.py]\n    outs: [out]\n"
    )
    return folder
