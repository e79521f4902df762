"""Why a stage would run, in a project of two small stages."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from commands.why import main

# DVC 3.67, of its own trie.
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value will soon raise:DeprecationWarning")

DVC_YAML = """stages:
  first:
    cmd: cp tasks/first.py one.txt
    deps: [tasks/first.py]
    params: [size]
    outs: [one.txt]
  second:
    cmd: cp one.txt two.txt
    deps: [one.txt]
    params: [train]
    outs: [two.txt]
"""
PARAMS = "size: 3\ntrain:\n  rate: 0.1\n  epochs: 2\n"


def run(folder: Path, *command: str) -> None:
    author = {f"GIT_{who}_{what}": "a@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {**os.environ, **author, "DVC_SITE_CACHE_DIR": str(folder.parent / "site"), "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose stages ran, committed."""
    folder = tmp_path_factory.mktemp("why") / "project"
    (folder / "tasks").mkdir(parents=True)
    (folder / "tasks" / "first.py").write_text("1\n")
    (folder / "dvc.yaml").write_text(DVC_YAML)
    (folder / "params.yaml").write_text(PARAMS)
    for command in ("git init --quiet", f"{sys.executable} -m dvc init --quiet", f"{sys.executable} -m dvc repro --quiet"):
        run(folder, *command.split())
    commit(folder, "all of it")
    return folder


def commit(folder: Path, message: str) -> None:
    run(folder, "git", "add", "--all")
    run(folder, "git", "commit", "--quiet", "--message", message)


@pytest.fixture
def project(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(made.parent / "site"))
    monkeypatch.chdir(made)
    run(made, "git", "checkout", "--quiet", "--force", "master" if (made / ".git/refs/heads/master").exists() else "main")
    run(made, "git", "clean", "--quiet", "--force", "-d")
    run(made, sys.executable, "-m", "dvc", "checkout", "--quiet", "--force")
    return made


def said(capsys: pytest.CaptureFixture[str], *stages: str) -> list[str]:
    assert main(list(stages)) == 0
    return [line.strip() for line in capsys.readouterr().out.splitlines()]


def test_what_is_up_to_date_says_so_and_what_it_cost(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys) == [
        *("first is up to date", "what it costs is not known: no run in this work tree"),
        *("second is up to date", "what it costs is not known: no run in this work tree"),
    ]
    (project / "reports").mkdir()
    run_json = {"stages": {"first": {"seconds": 112.4, "finished": "2026-11-20T10:00:00+00:00", "peak_memory_mb": 1500}}}
    (project / "reports" / "run.json").write_text(json.dumps(run_json))
    assert (
        said(capsys, "first")[1] == "its last run here took 112 s, with 1,500 MB of memory, and ended 2026-11-20T10:00:00+00:00"
    )


def test_a_parameter_is_named_with_both_values(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "params.yaml").write_text("size: 3\ntrain:\n  rate: 0.2\n  flip: true\n")
    assert said(capsys, "second")[:5] == [
        "second would run:",
        "parameter train.epochs is gone: it was 2",
        "parameter train.flip is new to it: True",
        "parameter train.rate is 0.2 and was 0.1",
        "DVC's cache does not have what it would write",
    ]
    assert said(capsys, "first")[0] == "first is up to date"


def test_a_module_is_named_with_the_commits_since(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(project, "git", "checkout", "--quiet", "-B", "other")
    (project / "tasks" / "first.py").write_text("2\n")
    commit(project, "two instead of one")
    (project / "tasks" / "first.py").write_text("3\n")
    lines = said(capsys, "first", "second")
    assert lines[1] == "module tasks.first (tasks/first.py) changed and is not committed, in"
    assert lines[2].endswith(" two instead of one")
    assert "all of it" not in " ".join(lines)
    assert "second is up to date, but first would run before it; if that writes something else, second runs too" in lines


def test_what_the_cache_has_is_said(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "two.txt").unlink()
    assert said(capsys, "second")[:3] == [
        "second would run:",
        "two.txt, which it writes, is missing",
        "DVC's cache has what it would write: `dvc repro` restores it in a moment",
    ]


def test_without_a_record_it_has_not_run(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "dvc.lock").unlink()
    assert said(capsys, "first")[1] == "it has not run yet: dvc.lock does not know it"


def test_an_unknown_stage_is_a_sentence(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["frist"]) == 1
    assert capsys.readouterr().err == "why: there is no stage frist; did you mean first?\n"
    assert main(["x"]) == 1
    assert capsys.readouterr().err == "why: there is no stage x; stages are first, second.\n"
