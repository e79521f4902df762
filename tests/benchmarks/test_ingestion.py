"""The project in which the growth of the stages is measured, and its exponents."""

from pathlib import Path

from benchmarks.ingestion import Project, exponents
from tasks.stage.graph import read_graph
from tests.imports import ROOT


def test_the_project_has_every_file_that_its_stages_read(tmp_path: Path) -> None:
    project = Project(tmp_path / "project", tmp_path / "photos", "ignore")
    graph = read_graph(ROOT / "dvc.yaml")
    made = {
        next(iter(out)) if isinstance(out, dict) else out
        for name in ("ingest", "preprocess", "build")
        for out in graph[name]["outs"]
    }
    read = {dep for name in ("ingest", "preprocess", "build", "train") for dep in graph[name]["deps"]}
    others = {dep for dep in read if not dep.startswith("${") and not any(f"{dep}/".startswith(f"{out}/") for out in made)}
    assert [dep for dep in sorted(others) if not (project.folder / dep).exists()] == []


def test_the_exponent_is_that_of_the_number_of_images() -> None:
    few = {"images": 100, "archive": {"ingest": {"seconds": 2.0}}, "dvc_status_seconds": [1.0, 9.0, 1.0]}
    many = {"images": 400, "archive": {"ingest": {"seconds": 8.0}}, "dvc_status_seconds": [1.0, 1.0, 0.1]}
    assert exponents(few, many) == {"archive": {"ingest": {"seconds": 1.0}}, "dvc_status_seconds": 0.0}
