"""Files and commits since the recorded hash of an input, in a repository of Git alone."""

import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from commands.history import changes_since

CODE = Path("tasks/shared")


def git(*arguments: str) -> None:
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
    subprocess.run(["git", *identity, *arguments], check=True, capture_output=True)


def commit(message: str, **files: str) -> None:
    """Writes these files of the folder of code, and commits them."""
    for name, text in files.items():
        (CODE / f"{name}.py").write_text(text)
    git("add", "--all")
    git("commit", "--quiet", "--message", message)


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def folder_md5(**files: str) -> str:
    """The hash that DVC records for a folder: that of the JSON list of its files."""
    return md5(json.dumps([{"md5": md5(text), "relpath": f"{name}.py"} for name, text in files.items()])) + ".dir"


@pytest.fixture(autouse=True, params=["", "below"])
def project(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder: a project that is a repository, or a folder in one."""
    monkeypatch.chdir(tmp_path)
    git("init", "--quiet")
    (tmp_path / request.param).mkdir(exist_ok=True)
    monkeypatch.chdir(tmp_path / request.param)
    CODE.mkdir(parents=True)
    commit("begin", a="1", b="1")


def test_commits_are_those_since_the_recorded_content() -> None:
    commit("read", a="2")
    recorded = folder_md5(a="2", b="1")
    assert changes_since(CODE, recorded) == ""
    commit("third", b="3")
    Path("elsewhere").write_text("x")
    commit("elsewhere")
    commit("fourth", a="4")
    first, *commits = changes_since(CODE, recorded).splitlines()
    assert first == ": a.py, b.py"
    assert [line.split()[-1] for line in commits] == ["fourth", "third"]


def test_a_change_that_was_undone_is_not_named() -> None:
    recorded = folder_md5(a="1", b="1")
    for number, text in enumerate(("2", "1", "3")):
        commit(f"commit-{number}", a=text)
    first, *commits = changes_since(CODE, recorded).splitlines()
    assert first == ": a.py"
    assert [line.split()[-1] for line in commits] == ["commit-2"]


def test_what_is_not_committed_is_marked() -> None:
    recorded = folder_md5(a="1", b="1")
    commit("second", b="2")
    (CODE / "a.py").write_text("2")
    (CODE / "new.py").write_text("new")
    first, last = changes_since(CODE, recorded).splitlines()
    assert first == ": a.py (not committed), b.py, new.py (not committed)"
    assert last.endswith(" second")
    assert changes_since(CODE / "a.py", md5("1")) == " (not committed)"


def test_many_commits_are_counted() -> None:
    for number in range(6):
        commit(f"commit-{number}", a=f"number {number}")
    assert changes_since(CODE / "a.py", md5("1")).splitlines()[6].strip() == "and 1 more commit"
    commit("commit-6", a="number 6")
    lines = changes_since(CODE / "a.py", md5("1")).splitlines()
    assert [line.split()[-1] for line in lines[1:6]] == ["commit-6", "commit-5", "commit-4", "commit-3", "commit-2"]
    assert lines[6].strip() == "and 2 more commits"


def test_content_that_was_never_committed_is_followed_by_the_latest_commit() -> None:
    commit("second", b="2")
    first, last = changes_since(CODE, folder_md5(a="never", b="1")).splitlines()
    assert first == ""
    assert last.endswith(" second")


def test_nothing_is_said_of_what_git_does_not_know(tmp_path: Path) -> None:
    Path("photos").mkdir()
    Path("photos/1.png").write_text("1")
    assert changes_since(Path("photos/1.png"), md5("0")) == ""
    commit("photos")
    assert changes_since(Path("photos"), md5("0")) == ""  # a folder of data
