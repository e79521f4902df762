"""Projects and a server for the tests of flows."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.flows.quick import QuickProject, Server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Prefect server for all tests of a session."""
    made = Server(tmp_path_factory.mktemp("prefect"))
    yield made
    made.stop()


@pytest.fixture
def make_quick(tmp_path: Path) -> Callable[..., QuickProject]:
    """Makes projects whose stages take no time; takes the environment of a server."""

    def make(environment: dict[str, str] | None = None) -> QuickProject:
        folder = tmp_path / "project"
        folder.mkdir()
        return QuickProject(folder, environment)

    return make
