"""Data sets of TensorFlow Datasets as sources; they are built here, and nothing is downloaded."""

import importlib.util
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from resnet.core.errors import UserError
from resnet.images.outcomes import Candidate, Rejected
from resnet.ingestion.sources.tfds import tfds_source
from tests.imports import ROOT

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("tensorflow_datasets") is None, reason="needs the extra tfds"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of the package itself
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


def pixels(number: int) -> Any:
    return np.full((4, 5, 3), number, dtype=np.uint8)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of prepared data sets."""
    import tensorflow_datasets as tfds

    folder = tmp_path_factory.mktemp("tfds")
    label = {"label": tfds.features.ClassLabel(names=["cat", "dog"])}
    image = {"image": tfds.features.Image(shape=(None, None, 3))}

    def store(name: str, features: dict[str, Any], splits: dict[str, list[dict[str, Any]]]) -> None:
        keyed = {split: iter([(str(n), row) for n, row in enumerate(rows)]) for split, rows in splits.items()}
        features = tfds.features.FeaturesDict(features)
        tfds.dataset_builders.store_as_tfds_dataset(
            name=name, version="1.0.0", data_dir=str(folder), features=features, split_datasets=keyed, disable_shuffling=True
        )

    rows = [{"image": pixels(n), "label": n % 2} for n in range(5)]
    store("animals", image | label, {"train": rows[:3], "test": rows[3:], "unlabelled": rows[:1]})
    secret = [{"image": pixels(n), "label": -1} for n in range(2)]
    store("contest", image | label, {"train": rows, "test": secret})
    store("numbers", {"x": tfds.features.Scalar(np.int64)} | label, {"train": [{"x": 1, "label": 0}]})
    store("pictures", image, {"train": [{"image": pixels(1)}]})
    return folder


@pytest.fixture(autouse=True)
def _where(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tensorflow_datasets.core.constants.DATA_DIR", str(data_dir))
    monkeypatch.setenv("TFDS_DATA_DIR", str(data_dir))


def test_images_come_encoded_with_their_label_and_split() -> None:
    source = tfds_source("animals:1.0.0")
    assert source.classes == ["cat", "dog"]
    assert source.notes == ("the splits unlabelled of animals:1.0.0 were left out",)
    found = [file for file in source.files() if isinstance(file, Candidate)]
    assert [(file.label, file.split) for file in found] == [
        ("cat", "training"),
        ("dog", "training"),
        ("cat", "training"),
        ("dog", "test"),
        ("cat", "test"),
    ]
    assert len({file.path for file in found}) == 5
    for number, file in enumerate(found):
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(file.read()))), pixels(number))


def test_a_label_that_is_secret_is_none() -> None:
    found = list(tfds_source("contest").files())
    assert [(file.reason, file.detail) for file in found if isinstance(file, Rejected)] == [
        ("unlabelled", "its label is -1")
    ] * 2
    assert len(found) == 7


def test_what_is_no_data_set_for_classification_is_refused() -> None:
    with pytest.raises(UserError, match=r"tfds:numbers has no images; its features are .*x \(Scalar\)"):
        tfds_source("numbers")
    with pytest.raises(UserError, match=r"tfds:pictures has no class labels; its features are image \(Image\)"):
        tfds_source("pictures")


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(UserError, match="TensorFlow Datasets knows no data set no_such_data_set"):
        tfds_source("no_such_data_set")


class DownloadError(Exception):
    """Has the name of an error of the package."""


@pytest.mark.parametrize(
    ("error", "tries"), [(ConnectionResetError(), 4), (DownloadError(), 4), (PermissionError(), 1), (AssertionError(), 1)]
)
def test_the_network_is_tried_again_and_nothing_else(monkeypatch: pytest.MonkeyPatch, error: Exception, tries: int) -> None:
    tried: list[str] = []

    def builder(name: str) -> None:
        tried.append(name)
        raise error

    monkeypatch.setattr("tensorflow_datasets.builder", builder)
    monkeypatch.setattr("resnet.ingestion.sources.tfds._RETRY_DELAYS", (0.0, 0.0, 0.0))
    with pytest.raises(UserError, match=f"tfds:animals could not be fetched \\({type(error).__name__}"):
        tfds_source("animals")
    assert len(tried) == tries


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(UserError, match=r"needs the package tensorflow-datasets.*\[tfds\]"):
        tfds_source("animals")


@pytest.mark.slow
def test_fetch_writes_the_file_that_dvc_watches(data_dir: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "commands", "fetch", "tfds:animals"]
    environment = {"PATH": "/usr/bin:/bin", "TFDS_DATA_DIR": str(data_dir), "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert "wrote tfds:animals" in result.stdout
    assert '"data_set": "animals/1.0.0"' in (tmp_path / "tfds:animals").read_text("utf-8")
