"""The program as a person types it."""

from collections.abc import Callable

import pytest
from typer.testing import CliRunner, Result

from commands.cli import NAME, application


@pytest.fixture
def train_resnet() -> Callable[..., Result]:
    """Runs `train-resnet` with these arguments in this process; the result has `exit_code`, `stdout` and `stderr`."""
    app = application()
    return lambda *arguments: CliRunner().invoke(app, arguments, prog_name=NAME, catch_exceptions=False)
