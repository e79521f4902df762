"""Why a stage would run, in a project of two small stages."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

# DVC 3.67, about its own trie.
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value will soon raise:DeprecationWarning")

DVC_YAML = """stages:
  first:
    cmd: cp tasks/first.py one.txt
    deps: [tasks/first.py, tasks/shared]
    params: [size]
    outs: [one.txt]
  second:
    cmd: cp one.txt two.txt
    deps: [one.txt]
    params: [train]
    outs: [two.txt]
"""
PARAMS = "size: 3\ntrain:\n  rate: 0.1\n  epochs: 2\n  baseline: null\n"


def run(folder: Path, *command: str) -> None:
    author = {f"GIT_{who}_{what}": "a@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {**os.environ, **author, "DVC_SITE_CACHE_DIR": str(folder.parent / "site"), "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose stages ran, committed."""
    folder = tmp_path_factory.mktemp("why") / "project"
    (folder / "tasks" / "shared" / "deep").mkdir(parents=True)
    for name in ("a.py", "b.py", "deep/c.py"):
        (folder / "tasks" / "shared" / name).write_text(name)
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


Why = Callable[..., list[str]]


@pytest.fixture
def why(train_resnet: Callable[..., Result]) -> Why:
    """The lines that the command prints."""

    def lines(*stages: str) -> list[str]:
        result = train_resnet("why", *stages)
        assert (result.exit_code, result.stderr) == (0, "")
        return [line.strip() for line in result.stdout.splitlines()]

    return lines


def test_a_stage_that_is_up_to_date_is_printed_with_its_cost(project: Path, why: Why) -> None:
    assert why() == [
        *("first is up to date", "its cost is unknown: it has not run in this work tree"),
        *("second is up to date", "its cost is unknown: it has not run in this work tree"),
    ]
    (project / "reports").mkdir()
    run_json = {"stages": {"first": {"seconds": 112.4, "finished": "2026-11-20T10:00:00+00:00", "peak_memory_mb": 1500}}}
    (project / "reports" / "run.json").write_text(json.dumps(run_json))
    assert why("first")[1] == "its last run here took 112 s, with 1,500 MB of memory, and ended at 2026-11-20T10:00:00+00:00"


def test_a_parameter_is_named_with_both_values(project: Path, why: Why) -> None:
    (project / "params.yaml").write_text("size: 3\ntrain:\n  rate: 0.2\n  flip: true\n  baseline: main\n")
    assert why("second")[:6] == [
        "second would run:",
        "parameter train.baseline is 'main' and was None",
        "parameter train.epochs was removed: it was 2",
        "parameter train.flip is new: True",
        "parameter train.rate is 0.2 and was 0.1",
        "DVC's cache does not have what it would write",
    ]
    assert why("first")[0] == "first is up to date"


def test_a_changed_file_is_named_with_its_commits(project: Path, why: Why) -> None:
    run(project, "git", "checkout", "--quiet", "-B", "other")
    (project / "tasks" / "first.py").write_text("2\n")
    commit(project, "two instead of one")
    (project / "tasks" / "first.py").write_text("3\n")
    lines = why("first", "second")
    assert lines[1] == "code in tasks/first.py changed (not committed)"
    assert lines[2].endswith(" two instead of one")
    assert "all of it" not in " ".join(lines)
    assert "second is up to date, but first would run before it; if that changes its inputs, second runs too" in lines


def test_a_changed_folder_is_named_with_its_files_and_commits(project: Path, why: Why) -> None:
    run(project, "git", "checkout", "--quiet", "-B", "folder")
    shared = project / "tasks" / "shared"
    (shared / "a.py").write_text("other")
    commit(project, "the first file")
    (shared / "deep" / "c.py").unlink()
    commit(project, "one file less")
    (project / "params.yaml").write_text(f"{PARAMS}# nothing\n")
    commit(project, "nothing that concerns the folder")
    lines = why("first")
    assert lines[1] == "code in tasks/shared changed: a.py, deep/c.py"
    assert [line.split(" ", 2)[2] for line in lines[2:4]] == ["one file less", "the first file"]
    assert lines[4] == "DVC's cache does not have what it would write"
    (shared / "b.py").write_text("other")
    (shared / "new.py").write_text("new")
    (shared / "__pycache__").mkdir()
    assert why("first")[1] == ("code in tasks/shared changed: a.py, b.py (not committed), deep/c.py, new.py (not committed)")


def test_a_result_in_the_cache_is_restored(project: Path, why: Why) -> None:
    (project / "two.txt").unlink()
    assert why("second")[:3] == [
        "second would run:",
        "two.txt, which it writes, is missing",
        "DVC's cache has what it would write: `dvc repro` restores it without running it",
    ]


def test_while_a_stage_runs_the_answer_is_one_sentence(project: Path, train_resnet: Callable[..., Result]) -> None:
    # An entry as DVC writes it while a process, here that of the test, runs a stage.
    entry = {"pid": os.getpid(), "cmd": "dvc repro"}
    locks = project / ".dvc" / "tmp" / "rwlock"
    locks.write_text(json.dumps({"write": {str(project / name): entry for name in ("one.txt", "two.txt")}, "read": {}}))
    try:
        result = train_resnet("why", "second")
    finally:
        locks.unlink()
    expected = f"why: a run is going on in this project (PID {os.getpid()}); ask again when it has ended.\n"
    assert (result.exit_code, result.stderr) == (1, expected)


def test_a_stage_without_a_record_has_not_run(project: Path, why: Why) -> None:
    (project / "dvc.lock").unlink()
    assert why("first")[1] == "it has not run yet: it is not in dvc.lock"


def test_an_unknown_stage_is_a_sentence(project: Path, train_resnet: Callable[..., Result]) -> None:
    for stage, sentence in (("frist", "did you mean first?"), ("x", "stages are first, second.")):
        result = train_resnet("why", stage)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == f"why: there is no stage {stage}; {sentence}\n"
