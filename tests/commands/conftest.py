"""The program as a person types it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from commands.cli import NAME, application
from tests.commands.revisions import write_repository


@pytest.fixture
def train_resnet() -> Callable[..., Result]:
    """Runs `train-resnet` with these arguments in this process; the result has `exit_code`, `stdout` and `stderr`."""
    app = application()
    return lambda *arguments: CliRunner().invoke(app, arguments, prog_name=NAME, catch_exceptions=False)


@pytest.fixture(scope="package")
def revisions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository of `tests/commands/revisions.py`."""
    folder = tmp_path_factory.mktemp("revisions")
    write_repository(folder)
    return folder


@pytest.fixture
def in_revisions(revisions: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes that repository the current folder."""
    monkeypatch.chdir(revisions)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(revisions / ".dvc" / "site"))
