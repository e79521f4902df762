"""The file that stands for a data set of TensorFlow Datasets; see also `tests/resnet/ingestion/sources/test_tfds.py`."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import Result


def test_the_file_holds_version_and_splits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, train_resnet: Callable[..., Result]
) -> None:
    asked: list[str] = []

    def builder(name: str) -> SimpleNamespace:
        asked.append(name)
        splits = {"train": SimpleNamespace(num_examples=60), "test": SimpleNamespace(num_examples=10)}
        return SimpleNamespace(info=SimpleNamespace(full_name="animals/1.0.0", splits=splits))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("resnet.ingestion.sources.tfds.prepared_builder", builder)
    result = train_resnet("fetch", "tfds:animals")
    assert result.stdout == "wrote tfds:animals; commit it, and choose it with `dvc exp run -S ingest.source=tfds:animals`\n"
    assert asked == ["animals"]
    assert json.loads(Path("tfds:animals").read_text("utf-8")) == {
        "data_set": "animals/1.0.0",
        "splits": {"test": 10, "train": 60},
    }


def test_other_sources_need_not_be_fetched(train_resnet: Callable[..., Result]) -> None:
    result = train_resnet("fetch", "photos.zip")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert result.stderr.startswith("fetch: photos.zip need not be fetched; expected tfds:NAME.")
