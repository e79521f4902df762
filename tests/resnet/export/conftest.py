"""A fixture of several tests of exports: the exports of a module's `model`, each of which is written once."""

from collections.abc import Callable
from pathlib import Path

import pytest

from resnet.export.formats import FORMATS
from resnet.network.model import ResNet


@pytest.fixture(scope="module")
def write() -> Callable[[str, ResNet, Path], object]:
    """Writes the export of a format; a module can have its own."""
    return lambda name, model, path: FORMATS[name].write(model, path)


@pytest.fixture(scope="module")
def written(
    model: ResNet, write: Callable[[str, ResNet, Path], object], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """Gives the export of a format; the first call writes it."""
    folder = tmp_path_factory.mktemp("exports")

    def path_of(name: str) -> Path:
        path = folder / f"model{FORMATS[name].suffix}"
        if not path.exists():
            write(name, model, path)
        return path

    return path_of
