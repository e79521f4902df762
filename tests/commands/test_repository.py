"""What the commands find about the Git repository in the current folder."""

import subprocess
from pathlib import Path

import pytest

from commands.repository import (
    branch_before_ended_experiments,
    branch_before_experiment,
    is_shallow,
    needs_git,
    repository_fault,
)
from tests.imports import ROOT


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    return tmp_path


def git(*arguments: str) -> None:
    author = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    subprocess.run(["git", *author, *arguments], check=True, capture_output=True)


def commit(name: str, content: bytes) -> None:
    Path(name).write_bytes(content)
    git("add", "--all")
    git("commit", "--quiet", "--message", name)


def test_a_folder_without_a_commit_has_a_command_that_makes_one() -> None:
    reason, remedy = repository_fault() or ("", "")
    assert reason.endswith("fatal: not a git repository (or any of the parent directories): .git")
    assert remedy.startswith("git init && git add --all && git commit --message first")
    git("init", "--quiet")
    reason, remedy = repository_fault() or ("", "")
    assert reason.endswith(" does not have any commits yet")
    assert remedy == "git add --all && git commit --message first"
    commit("a", b"a")
    assert repository_fault() is None


def test_a_repository_of_another_user_is_not_taken_for_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git("init", "--quiet")
    commit("a", b"a")
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # of Git's own tests
    monkeypatch.setenv("LANGUAGE", "de")
    assert repository_fault() == (
        f"git log failed in {folder}: fatal: detected dubious ownership in repository at '{folder}'",
        f"git config --global --add safe.directory {folder}",
    )


def test_dvc_may_be_set_to_do_without_git(folder: Path) -> None:
    assert needs_git()
    (folder / ".dvc").mkdir()
    (folder / ".dvc" / "config").write_text("[core]\n    analytics = false\n    no_scm = True\n")
    assert not needs_git()
    (folder / ".dvc" / "config.local").write_text("[core]\n    no_scm = false\n")
    assert needs_git()


def test_a_clone_of_a_part_of_the_history_is_shallow(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git("init", "--quiet", "whole")
    monkeypatch.chdir(folder / "whole")
    for name in ("a", "b"):
        commit(name, b"content")
    assert not is_shallow()
    git("clone", "--quiet", "--depth", "1", f"file://{folder / 'whole'}", str(folder / "part"))
    monkeypatch.chdir(folder / "part")
    assert is_shallow()
    git("fetch", "--quiet", "--unshallow")
    assert not is_shallow()


def test_a_clone_with_core_autocrlf_has_the_bytes_that_dvc_recorded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "a.py": b"one\ntwo\n",
        "b.csv": b"x,y\n1,2\n",
        "noname": b"text\n",
        "c.png": b"\x89PNG\r\n\x1a\n",
        "d.npy": b"\n\r\n",
    }
    git("init", "--quiet", "whole")
    monkeypatch.chdir(folder / "whole")
    Path(".gitattributes").write_bytes((ROOT / ".gitattributes").read_bytes())
    for name, content in files.items():
        commit(name, content)
    git("clone", "--quiet", "-c", "core.autocrlf=true", "-c", "core.eol=crlf", str(folder / "whole"), str(folder / "windows"))
    assert {name: (folder / "windows" / name).read_bytes() for name in files} == files
    listed = subprocess.run(["git", "ls-files", "--eol"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert [line for line in listed.splitlines() if "eol=lf" not in line and "attr/-text" not in line] == []


def test_the_branch_that_a_killed_experiment_left_is_known() -> None:
    git("init", "--quiet", "--initial-branch", "trunk")
    commit("a", b"a")
    experiment = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    git("checkout", "--quiet", experiment)  # DVC names the commit
    assert branch_before_experiment() is None  # a person did it, or a CI system
    git("update-ref", "refs/exps/exec/EXEC_HEAD", "HEAD")
    assert branch_before_experiment() is None  # an experiment has ended
    git("update-ref", "refs/exps/exec/EXEC_BASELINE", "HEAD")
    assert branch_before_experiment() == "trunk"
    commit("b", b"b")  # on no branch
    assert branch_before_experiment() == "trunk"
    git("switch", "--quiet", "trunk")
    assert branch_before_experiment() is None
    commit("c", b"c")
    git("checkout", "--quiet", "--detach")
    assert branch_before_experiment() is None  # as a person does it: from trunk to HEAD
    git("switch", "--quiet", "trunk")
    later = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    git("checkout", "--quiet", later)
    assert branch_before_experiment() is None  # not the commit of the experiment
    git("switch", "--quiet", "trunk")
    git("checkout", "--quiet", experiment)
    git("branch", "--move", "trunk", "main")
    assert branch_before_experiment() is None


@pytest.fixture
def killed(folder: Path) -> str:
    """An experiment on the branch `trunk` was killed; returns its commit."""
    git("init", "--quiet", "--initial-branch", "trunk")
    commit("a", b"a")
    experiment = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    git("checkout", "--quiet", experiment)
    git("update-ref", "refs/exps/exec/EXEC_HEAD", "HEAD")
    git("update-ref", "refs/exps/exec/EXEC_BASELINE", "HEAD")
    return experiment


def end_experiment(on: str) -> None:
    """Leaves what DVC 3.67 does at the end of an experiment that began on no branch."""
    commit("result", b"")
    git("update-ref", "-m", f"dvc: Restore HEAD to '{on}'", "HEAD", on)
    git("reset", "--quiet")
    git("update-ref", "-d", "refs/exps/exec/EXEC_BASELINE")


def test_after_another_experiment_the_reflog_has_the_branch(killed: str) -> None:
    assert (branch_before_experiment(), branch_before_ended_experiments()) == ("trunk", None)
    end_experiment(killed)
    assert (branch_before_experiment(), branch_before_ended_experiments()) == (None, "trunk")
    Path("result").unlink()
    git("switch", "--quiet", "trunk")
    assert branch_before_ended_experiments() is None


def test_the_other_experiment_may_have_begun_at_a_later_commit(killed: str) -> None:
    commit("b", b"b")  # on no branch
    later = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    git("update-ref", "refs/exps/exec/EXEC_HEAD", later)
    end_experiment(later)
    assert (branch_before_experiment(), branch_before_ended_experiments()) == (None, "trunk")


def test_after_an_experiment_that_failed_the_reflog_has_the_branch_too(killed: str) -> None:
    git("update-ref", "-d", "refs/exps/exec/EXEC_BASELINE")
    assert (branch_before_experiment(), branch_before_ended_experiments()) == (None, "trunk")


def test_a_second_experiment_that_was_killed_does_not_hide_the_branch(killed: str) -> None:
    commit("b", b"b")
    git("checkout", "--quiet", killed)  # in the reflog from one commit to another
    assert branch_before_experiment() == "trunk"


@pytest.mark.parametrize("how", [["v1"], ["--detach"], ["HEAD~0"], ["--detach", "trunk"]])
def test_a_person_who_leaves_the_branch_hears_nothing_after_an_experiment(how: list[str], killed: str) -> None:
    git("switch", "--quiet", "trunk")
    git("tag", "v1")
    git("checkout", "--quiet", *how)
    end_experiment(killed)
    assert (branch_before_experiment(), branch_before_ended_experiments()) == (None, None)
