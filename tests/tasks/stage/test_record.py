"""`reports/run.json`."""

import json
import os
from pathlib import Path

import pytest

from tasks.stage.git import git
from tasks.stage.record import record


def test_the_record_keeps_the_other_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    record("ingest", 1.5, {})
    record("train", 2.0, {"epoch_seconds": [1.0]})
    (tmp_path / "reports" / ".partial-run.json").touch()
    record("ingest", 2.5, {})
    run = json.loads((tmp_path / "reports" / "run.json").read_text("utf-8"))
    assert run["stages"]["ingest"]["seconds"] == 2.5
    assert run["stages"]["train"]["epoch_seconds"] == [1.0]
    assert run["stages"]["train"]["peak_memory_mb"] > 10
    assert run["stages"]["train"]["machine"]["cores"] >= 1
    assert run["stages"]["train"]["versions"]["tensorflow"].startswith("2.")


@pytest.mark.parametrize("text", ['{"stages": ', "[]", '{"stages": 3}', ""])
def test_a_damaged_record_is_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "run.json").write_text(text)
    record("ingest", 1.0, {})
    assert set(json.loads((tmp_path / "reports" / "run.json").read_text("utf-8"))["stages"]) == {"ingest"}


@pytest.mark.parametrize("quoted", ["true", "false"])
def test_a_name_that_is_not_utf8_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quoted: str) -> None:
    monkeypatch.chdir(tmp_path)
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "config", "core.quotePath", quoted)  # false prints the bytes as they are
    (tmp_path / os.fsdecode(b"caf\xe9.txt")).touch()
    record("ingest", 1.0, {})
    text = (tmp_path / "reports" / "run.json").read_text("utf-8")
    (line,) = json.loads(text)["stages"]["ingest"]["uncommitted"]
    assert line.startswith("?? ")
    assert "caf" in line
    assert line.isprintable()
