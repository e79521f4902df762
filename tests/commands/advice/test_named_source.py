"""The source in `params.yaml`: its one line, and how it is taken back."""

import json
import os
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from commands.advice.named_source import named, with_source
from resnet.core.errors import UserError
from tests.imports import ROOT

TEXT = (ROOT / "params.yaml").read_text("utf-8")
LINE = "  source: builtin/digits       # "


def running(pid: int) -> None:
    """Writes DVC's file of locks as it is while a stage runs."""
    folder = Path(".dvc/tmp")
    folder.mkdir(parents=True, exist_ok=True)
    entry = {"pid": pid, "cmd": "dvc repro"}
    (folder / "rwlock").write_text(json.dumps({"write": {"/project/models": entry}, "read": {"/project/data": [entry]}}))


@pytest.fixture(autouse=True)
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = Path("params.yaml")
    path.write_text(TEXT, "utf-8")
    return path


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("photos", "  source: photos               # "),
        ("/data/my photos (2)", '  source: "/data/my photos (2)" # '),
        ("true", '  source: "true"               # '),
        ("12", '  source: "12"                 # '),
        ("a: #b", '  source: "a: #b"              # '),
        ('Fotos "für" \\ dich', '  source: "Fotos \\"für\\" \\\\ dich" # '),
        ("tfds:mnist", '  source: "tfds:mnist"         # '),
    ],
)
def test_only_the_line_of_the_source_changes(source: str, line: str) -> None:
    assert TEXT.count(LINE) == 1
    assert with_source(TEXT, source) == TEXT.replace(LINE, line)
    assert YAML(typ="safe").load(with_source(TEXT, source))["ingest"]["source"] == source


@pytest.mark.parametrize("text", ["ingest: {}\n", "ingest: {source: [a]}\n", "ingest: [\n", "seed: 0\n"])
def test_a_form_that_cannot_be_changed_is_named(text: str) -> None:
    with pytest.raises(UserError, match=r"^ingest.source in params.yaml has a form that advise cannot change"):
        with_source(text, "photos")


def test_after_success_the_source_stays_and_a_line_says_so(params: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with named("photos"):
        pass
    assert params.read_text("utf-8") == with_source(TEXT, "photos")
    assert capsys.readouterr() == ("", "advise: params.yaml now has ingest.source: photos (it was builtin/digits)\n")


@pytest.mark.parametrize("error", [UserError("too few images"), KeyboardInterrupt()])
def test_after_a_failure_the_file_is_as_before(params: Path, error: BaseException, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(type(error)), named("photos"):
        raise error
    assert params.read_text("utf-8") == TEXT
    assert capsys.readouterr().err == ""


def test_an_edit_during_the_run_stays(params: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edited = with_source(TEXT, "photos").replace("seed: 0", "seed: 7")
    with pytest.raises(UserError, match="too few"), named("photos"):
        params.write_text(edited, "utf-8")
        raise UserError("too few images")
    assert params.read_text("utf-8") == edited
    assert "params.yaml was changed meanwhile" in capsys.readouterr().err


@pytest.mark.parametrize("source", [None, "builtin/digits"])
def test_the_present_source_needs_no_change(params: Path, source: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    running(os.getpid())
    with named(source):
        assert params.read_text("utf-8") == TEXT
    assert capsys.readouterr().err == ""


def test_under_a_run_the_source_is_not_changed(params: Path) -> None:
    running(os.getpid())
    with pytest.raises(UserError, match=rf"^a run is going on in this project \(PID {os.getpid()}\)"), named("photos"):
        pytest.fail("it went on")
    assert params.read_text("utf-8") == TEXT


def test_entries_of_dead_processes_do_not_count(params: Path) -> None:
    running(2**22 + 1)  # above the largest process ID
    with named("photos"):
        assert params.read_text("utf-8") != TEXT
