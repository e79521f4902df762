"""Fixtures of several tests: small splits of random or separable images, and a project with a tiny network."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import numpy as np
import pytest
from absl import logging as absl_logging
from filelock import FileLock

from resnet.dataset.arrays import Split, SplitWriter
from tests.imports import ROOT
from tests.project import STAGES, Project

if TYPE_CHECKING:
    from tests.browser import Tab
    from tests.s3_store import Store

# Set before any test imports TensorFlow, whose libraries print much otherwise.
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
# Otherwise the first of several workers would take all memory of a GPU.
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")

# Importing Prefect closes every log handler. The one of absl, which TensorFlow imports, then closes its stream too, unless that
# is the process's own: pytest's capture would lose its file.
absl_logging.get_absl_handler().python_handler.stream = sys.__stderr__

# Files of tests that start processes or take seconds, the longest first: `make test-fast` leaves them out, and `make test`
# starts with them, so that the workers end at about the same time.
SLOW = (
    "flows/test_train_resnet.py",
    "flows/test_deployments.py",
    "flows/test_lost_runs.py",
    "test_entry_points.py",
    "test_pipeline.py",
    "test_survival.py",
    "test_sharing.py",
    "benchmarks/",
    "test_rooms.py",
    "test_multi_label.py",
    "test_interrupted_training.py",
    "test_calls.py",
    "test_sources.py",
    "test_bucket_source.py",
    "test_devices.py",
    "test_gpu.py",
    "test_moved_run.py",
    "test_hosts.py",
    "resnet/training/test_loop.py",
    "flows/test_dvc_process.py",
    "resnet/network/test_model.py",
    "resnet/training/test_precision.py",
    "resnet/training/test_parts.py",
    "resnet/training/test_calls.py",
    "resnet/training/test_kept.py",
    "resnet/training/test_gpu_kernels.py",
    "flows/",
    "resnet/export/",
    "resnet/images/test_bad_images.py",
    "resnet/native/",
    "resnet/openvino/",
    "resnet/network/",
    "resnet/test_pretrained.py",
    "resnet/ingestion/archives/test_reading.py",
    "resnet/ingestion/test_stored.py",
    "commands/",
    "resnet/training/test_recipe.py",
    "resnet/core/test_files.py",
    "tasks/stage/",
    "tasks/training/",
    "simulated/",
    "tasks/test_degenerate_",
    "test_hostile_texts.py",
    "test_silent_faults.py",
    "test_page_looks.py",
    "resnet/training/test_state.py",
    "resnet/evaluation/",
    "resnet/prediction/",
    "resnet/pictures/test_report.py",
    "test_artifacts.py",
    "test_layering.py",
    "test_results.py",
    "test_workflows.py",
)


def _rank(item: pytest.Item) -> int:
    name = item.path.relative_to(ROOT / "tests").as_posix()
    return next((rank for rank, prefix in enumerate(SLOW) if name.startswith(prefix)), len(SLOW))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks slow tests and puts them first."""
    for item in items:
        if _rank(item) < len(SLOW):
            item.add_marker(pytest.mark.slow)
    items.sort(key=_rank)


@pytest.fixture(autouse=True)
def _no_processes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fast test starts no process."""
    if request.node.get_closest_marker("slow") is None:
        monkeypatch.setattr(subprocess, "Popen", _refuse)


class _refuse:  # noqa: N801 - a class, because others inherit from Popen
    def __init__(self, command: object, *_: object, **__: object) -> None:
        raise AssertionError(f"a fast test starts {command}: mark it slow, or add its file to SLOW in tests/conftest.py")


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
def separable(tmp_path: Path) -> Callable[..., Split]:
    """Makes a split of two separable classes: dark and bright images with some noise."""

    def make(name: str, images: int, swapped: bool = False, size: int = 32, aspect: float | None = None) -> Split:
        generator = np.random.default_rng(len(name))
        with SplitWriter(tmp_path / name, images, size) as writer:
            for number in range(images):
                level = 60 if number % 2 else 190
                noise = generator.integers(-40, 40, (size, size, 3))
                writer.add((level + noise).astype(np.uint8), (number + swapped) % 2, aspect)
        return Split(tmp_path / name, 2)

    return make


@pytest.fixture(scope="session")
def make_project(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Project]:
    """Makes a new project with each call."""
    return lambda: Project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="session")
def finished_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a project whose six stages have run once, with committed results; the workers of a test run share it."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, done = shared / "finished", shared / "finished.done"
    with FileLock(shared / "finished.lock"):
        if not done.exists():
            folder.mkdir()
            made = Project(folder)
            assert made.repro() == STAGES
            made.run("git", "add", "--all")
            made.run("git", "commit", "--quiet", "--message", "first results")
            done.touch()
    return folder


@pytest.fixture(scope="module")
def project(finished_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy of the finished project."""
    return Project(tmp_path_factory.mktemp("project"), copy_of=finished_project)


@pytest.fixture(scope="session")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Tab"]:
    """A tab of a Chromium that all tests of a worker share; only for tests that are skipped where there is none."""
    from tests.browser import browsing

    with browsing(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def store() -> Iterator["Store"]:
    """An S3 server on loopback with an empty bucket; the environment has its credentials."""
    from tests.s3_store import ENVIRONMENT, Store

    with patch.dict(os.environ, ENVIRONMENT), Store() as store:
        yield store
