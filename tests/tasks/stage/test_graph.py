"""Reading `dvc.yaml`."""

from pathlib import Path

import pytest

from resnet.core.errors import UserError
from tasks.stage.graph import project_paths, read_graph, stage_code, stage_paths
from tests.imports import ROOT

ENTRY = {
    "deps": ["data/raw", "tasks/cook.py", "resnet/core"],
    "outs": ["models/m.keras"],
    "metrics": [{"reports/metrics.json": {"cache": False}}],
    "plots": [{"reports/history.csv": {"x": "epoch"}}],
}


def test_a_graph_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no .*; run stages in the project's folder"):
        read_graph(tmp_path / "dvc.yaml")
    for text in ("", "stages: [", "vars: []"):
        (tmp_path / "dvc.yaml").write_text(text)
        with pytest.raises(UserError, match="dvc.yaml cannot be read"):
            read_graph(tmp_path / "dvc.yaml")


def test_code_and_other_paths_are_told_apart() -> None:
    names = ["data/raw", "models/m.keras", "reports/metrics.json", "reports/history.csv"]
    assert list(stage_paths(ENTRY)) == [Path(name) for name in names]
    assert stage_code(ENTRY) == [Path("tasks/cook.py"), Path("resnet/core")]


def test_a_path_is_found_by_its_keyword(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    paths = project_paths()
    assert paths["resnet_keras"] == Path("models/resnet.keras")
    assert paths["raw"] == Path("data/raw")
    assert "core" not in paths
