"""The line that a run ends with."""

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.report.last_run import describe_last_run


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reports").mkdir()
    return tmp_path


def entry(seconds: float, **other: Any) -> dict[str, Any]:
    machine = {"cores": 2, "processor": "Abacus 3"}
    finished = "2026-11-26T12:00:00+00:00"
    return {
        "finished": finished,
        "seconds": seconds,
        "revision": "0123456789abcdef",
        "uncommitted": [],
        "machine": machine,
        **other,
    }


def test_it_says_seconds_revision_and_machine(folder: Path) -> None:
    late = {"finished": "2026-11-26T13:00:00+00:00", "uncommitted": [" M params.yaml"]}
    stages = {"render": entry(9.0, revision="an earlier run"), "train": entry(99.0, **late), "ingest": entry(1.25)}
    (folder / "reports/run.json").write_text(json.dumps({"stages": stages}))
    assert (
        describe_last_run() == "train 99.0 s, ingest 1.2 s; revision 0123456 with changes in params.yaml; 2 cores of Abacus 3"
    )


@pytest.mark.parametrize(
    ("uncommitted", "words"),
    [
        ([" M dvc.lock", " M reports/metrics.json", " M docs/model.png", "?? pages/"], ""),
        ([" M dvc.lock", "R  a.py -> b.py", '?? "caf\\303\\251.txt"'], r" with changes in b.py, caf\303\251.txt"),
        ([f" M {name}.py" for name in "abcde"], " with changes in a.py, b.py, c.py and 2 more"),
        (["?? docs.txt", "?? docs/notes.txt"], " with changes in docs.txt, docs/notes.txt"),
    ],
)
def test_what_the_run_writes_itself_is_no_change(folder: Path, uncommitted: list[str], words: str) -> None:
    (folder / "dvc.yaml").write_text(
        "stages:\n  train:\n    outs: [models, pages/index.html]\n    metrics: [reports/metrics.json: {cache: false}]\n"
        "    plots: [docs/model.png]\n"
    )
    (folder / "reports/run.json").write_text(json.dumps({"stages": {"train": entry(1.0, uncommitted=uncommitted)}}))
    assert describe_last_run() == f"train 1.0 s; revision 0123456{words}; 2 cores of Abacus 3"


def test_without_git_there_is_no_revision(folder: Path) -> None:
    (folder / "reports/run.json").write_text(json.dumps({"stages": {"train": entry(1.0, revision=None, uncommitted=[])}}))
    assert describe_last_run() == "train 1.0 s; no revision of Git; 2 cores of Abacus 3"


@pytest.mark.parametrize("text", [None, "", "[]", '{"stages": {}}', '{"stages": {"train": 3}}', '{"stages": {"train": {}}}'])
def test_nothing_depends_on_the_record(folder: Path, text: str | None) -> None:
    if text is not None:
        (folder / "reports/run.json").write_text(text)
    assert describe_last_run() == ""
