"""The project in which the growth of `ingest` and `preprocess` is measured."""

from pathlib import Path

from benchmarks.ingestion import Project
from tasks.stage.graph import read_graph
from tests.imports import ROOT


def test_the_project_has_every_file_that_its_stages_read(tmp_path: Path) -> None:
    project = Project(tmp_path / "project", tmp_path / "photos", "ignore")
    graph = read_graph(ROOT / "dvc.yaml")
    made = {next(iter(out)) if isinstance(out, dict) else out for out in graph["ingest"]["outs"]}
    read = {dep for name in ("ingest", "preprocess") for dep in graph[name]["deps"]} - made - {"${ingest.source}"}
    assert [dep for dep in sorted(read) if not (project.folder / dep).exists()] == []
