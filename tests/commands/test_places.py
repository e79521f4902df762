"""The places that belong to the pipeline, to Git or to DVC."""

from pathlib import Path

import pytest

from commands.places import own_place

GRAPH = """
stages:
  ingest:
    cmd: 'true'
    deps: ['${ingest.source}', tasks/ingest.py, tasks/stage]
    outs: [data/raw]
  train:
    cmd: 'true'
    deps: [data/raw]
    metrics: [{reports/training.json: {cache: false}}]
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "dvc.yaml").write_text(GRAPH)
    (folder / "params.yaml").write_text("ingest:\n  source: ../photos\n")
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("data/raw", "data/raw"),
        ("data/raw/new", "data/raw"),
        ("tasks/stage/pub", "tasks/stage"),
        ("../photos/new", "../photos"),
        ("reports/training.json", "reports/training.json"),
        (".git/x", ".git"),
        ("../other/.dvc/x", ".dvc"),
        ("data", None),
        ("data/rawer", None),
        ("../elsewhere", None),
    ],
)
@pytest.mark.usefixtures("here")
def test_what_belongs_to_the_pipeline_is_known(name: str, place: str | None) -> None:
    assert own_place(Path(name)) == (None if place is None else Path(place))


def test_a_link_does_not_hide_the_place(here: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(here / "data")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert own_place(tmp_path / "link/raw/new") == Path("data/raw")
    assert own_place(tmp_path / "loop") is None


@pytest.mark.parametrize("text", ["", "ingest: [", "- 1\n"])
def test_damaged_parameters_do_not_matter(text: str, here: Path) -> None:
    (here / "params.yaml").write_text(text)
    assert own_place(Path("data/raw")) == Path("data/raw")
