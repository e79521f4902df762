"""The page with the results of a run in Prefect's UI."""

import base64
from pathlib import Path

import pytest

from flows.artifacts import summary
from flows.results import Result

DVC_YAML = "stages:\n  draw:\n    cmd: draw\n    outs: [model]\n    plots: [loss.png]\n"
DVC_LOCK = "schema: '2.0'\nstages:\n  draw:\n    cmd: draw\n    outs:\n    - {path: model, md5: 0a1b}\n"


@pytest.fixture
def page(tmp_path: Path) -> str:
    (tmp_path / "dvc.yaml").write_text(DVC_YAML)
    (tmp_path / "dvc.lock").write_text(DVC_LOCK)
    (tmp_path / "params.yaml").write_text("ingest:\n  source: '````'\n")
    (tmp_path / "loss.png").write_bytes(b"\x89PNG curve")
    return summary(tmp_path, Result("low-rate", {"accuracy": 0.991279, "loss": 0.1}, val_loss=0.2), "0123456789abcdef")


def test_it_has_figures_hashes_and_the_command_that_gets_the_files(page: str) -> None:
    lines = page.splitlines()
    for line in ("# Experiment low-rate", "    dvc exp apply low-rate", "| accuracy | 0.991279 |", "| `model` | `0a1b` |"):
        assert line in lines
    assert "On commit `0123456789`." in page


def test_pictures_are_in_the_page(page: str) -> None:
    content = base64.b64encode(b"\x89PNG curve").decode()
    assert f"![loss](data:image/png;base64,{content})" in page


def test_a_value_with_backticks_does_not_end_the_block_of_parameters(page: str) -> None:
    lines = page.splitlines()
    start, end = lines.index("`````yaml"), lines.index("`````")
    assert lines[start + 1 : end] == ["ingest:", "  source: '````'"]
