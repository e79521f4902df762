"""Sources of images through DVC: which changes it detects, and which stages then run."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.pictures import picture, two_classes
from tests.project import Project


@pytest.fixture(scope="module")
def project(make_project: Callable[[], Project]) -> Project:
    return make_project()


def repro(project: Project, source: object) -> list[str]:
    """Sets the source and runs `dvc repro preprocess`; returns the stages that ran."""
    project.set(source=str(source))
    output = project.run("dvc", "repro", "preprocess").stdout
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]


def splits(project: Project) -> dict[str, str]:
    return {row["path"]: row["split"] for row in csv.DictReader(project.read("data/prepared/index.csv").splitlines())}


def test_dvc_detects_a_changed_file_in_a_folder_outside_the_project(project: Project, tmp_path: Path) -> None:
    source = two_classes(tmp_path / "photos", each=20)
    both = ["ingest", "preprocess"]
    assert repro(project, source) == both
    first = splits(project)
    assert len(first) == 40
    assert repro(project, source) == []
    for n in range(4):
        (source / "cat" / f"new{n}.png").write_bytes(picture(500 + n))
    assert repro(project, source) == both
    second = splits(project)
    assert len(second) == 44
    assert {path: second[path] for path in first} == first
    (source / "cat" / "new0.png").write_bytes(picture(600))
    assert repro(project, source) == both
    (source / "cat" / "new1.png").unlink()
    assert repro(project, source) == both
    assert len(splits(project)) == 43


def test_a_broken_file_is_listed_and_the_others_are_used(project: Project, tmp_path: Path) -> None:
    source = two_classes(tmp_path / "photos", each=20)
    (source / "cat" / "broken.jpg").write_bytes(picture(1, kind="JPEG")[:200])
    (source / "dog" / "copy.png").write_bytes(picture(1000))
    (source / "README.md").write_text("two animals")
    project.set(source=str(source))
    output = project.run("dvc", "repro", "preprocess").stdout
    assert "ingest: 40 images of 2 classes" in output
    assert "left out of 43 files: 1 rejected (1 truncated), see data/raw/rejected.csv; 1 duplicate, see" in output
    assert "cat/broken.jpg,truncated," in project.read("data/raw/rejected.csv")
    assert "dog/copy.png" in project.read("data/raw/duplicates.csv")
    project.set(on_bad="fail")
    result = project.run("dvc", "repro", "preprocess", code=255)
    assert "ingest: 'cat/broken.jpg' is rejected as truncated" in result.stderr
    assert "Traceback" not in result.stderr
    project.set(on_bad="quarantine")


def test_an_archive_gives_the_same_images_in_the_same_splits(project: Project, tmp_path: Path) -> None:
    source = two_classes(tmp_path / "photos", each=20)
    repro(project, source)
    expected = splits(project)
    archive = shutil.make_archive(str(tmp_path / "photos"), "zip", tmp_path, "photos")
    assert repro(project, archive) == ["ingest", "preprocess"]
    assert {path.removeprefix("photos/"): split for path, split in splits(project).items()} == expected
    assert repro(project, archive) == []


def test_a_source_tracked_by_dvc_is_available_in_an_experiment(project: Project, tmp_path: Path) -> None:
    two_classes(project.folder / "data" / "source", each=20)
    project.run("dvc", "add", "--quiet", "data/source")
    project.run("git", "add", "--all")
    project.run("git", "commit", "--quiet", "--message", "data")
    project.run("dvc", "exp", "run", "--temp", "-S", "ingest.source=data/source", "preprocess")
    assert repro(project, "data/source") == []  # the experiment's results, from the cache
    assert len(splits(project)) == 40
    assert json.loads(project.read("data/raw/classes.json")) == ["cat", "dog"]


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "has no files: put images into it, in one folder for each class, or name another source"),
        ({"cat/1.png": 1, "cat/2.png": 2}, "the source has 1 class ('cat'), but a classifier needs 2"),
        (
            {"cat/1.png": 1, "cat/2.png": 2, "cat/3.png": 3, "dog/readme": 0},
            "one class folder with images, 'cat', and folders without an",
        ),
        (
            {"cat/1.png": 1, "cat/2.png": 2, "dog/3.png": 3, "dog/4.png": 4, "dog/5.png": 5},
            "class 'cat' has 2 images that can be in different splits, but at least 3",
        ),
    ],
)
def test_an_unsuitable_source_is_refused_in_one_sentence(
    project: Project, tmp_path: Path, files: dict[str, int], sentence: str
) -> None:
    (tmp_path / "photos").mkdir()
    for path, number in files.items():
        (tmp_path / "photos" / path).parent.mkdir(exist_ok=True)
        (tmp_path / "photos" / path).write_bytes(picture(number))
    project.set(source=str(tmp_path / "photos"))
    result = project.run("dvc", "repro", "preprocess", code=255)
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr
