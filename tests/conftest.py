"""Fixtures of several tests: small splits of random or separable images, and a project with a tiny network."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from absl import logging as absl_logging

from resnet.dataset.arrays import Split, SplitWriter
from tests.project import STAGES, Project

# Set before any test imports TensorFlow, whose libraries print much otherwise.
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

# Importing Prefect closes every log handler. The one of absl, which TensorFlow imports, then closes its stream too, unless that
# is the process's own: pytest's capture would lose its file.
absl_logging.get_absl_handler().python_handler.stream = sys.__stderr__


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

    def make(name: str, images: int, swapped: bool = False) -> Split:
        generator = np.random.default_rng(len(name))
        with SplitWriter(tmp_path / name, images, 32) as writer:
            for number in range(images):
                level = 60 if number % 2 else 190
                noise = generator.integers(-40, 40, (32, 32, 3))
                writer.add((level + noise).astype(np.uint8), (number + swapped) % 2)
        return Split(tmp_path / name, 2)

    return make


@pytest.fixture(scope="session")
def make_project(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Project]:
    """Makes a new project with each call."""
    return lambda: Project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def project(make_project: Callable[[], Project]) -> Project:
    """A project whose six stages have run once, with committed results."""
    made = make_project()
    assert made.repro() == STAGES
    made.run("git", "add", "--all")
    made.run("git", "commit", "--quiet", "--message", "first results")
    return made
