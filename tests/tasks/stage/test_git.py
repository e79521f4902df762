"""Git commands: names that are not UTF-8, other repositories in the environment, and reasons for failures."""

import os
from pathlib import Path

import pytest

from resnet.core.errors import UserError
from tasks.stage.git import _in_one_line, git, git_bytes, git_or_none


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "config", "user.name", "Test")
    git(tmp_path, "config", "user.email", "test@example.org")
    return tmp_path


def test_a_name_that_is_not_utf8_comes_back_as_a_path(repository: Path) -> None:
    path = repository / os.fsdecode(b"caf\xe9.txt")
    path.write_bytes(b"\xe9\n")
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "one")
    name = git(repository, "ls-files", "-z").rstrip("\0")
    assert (repository / name).read_bytes() == b"\xe9\n"
    assert git_bytes(repository, "show", f"HEAD:{name}") == b"\xe9\n"


def test_a_hook_of_another_repository_does_not_redirect_it(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = git(repository, "rev-parse", "--absolute-git-dir")
    monkeypatch.setenv("GIT_DIR", str(repository / "elsewhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(repository / "elsewhere"))
    assert git(repository, "rev-parse", "--absolute-git-dir") == expected
    assert git(repository, "rev-parse", "--git-path", "index", environment={"GIT_INDEX_FILE": "mine"}) == "mine"


def test_a_failure_gives_gits_reason(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=f"^git checkout failed in {repository}: error: pathspec 'none' did not match"):
        git(repository, "checkout", "none")
    assert git_or_none(repository, "rev-parse", "--verify", "--quiet", "HEAD") is None
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match=r"^git status could not be run in .*: No such file or directory; is Git installed\?"):
        git(repository, "status")
    assert git_or_none(repository, "status") is None


def test_a_failure_gives_all_of_gits_advice_in_english(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # of Git's own tests
    monkeypatch.setenv("LANGUAGE", "de")
    with pytest.raises(UserError) as caught:
        git(repository, "status")
    assert str(caught.value) == (
        f"git status failed in {repository}: fatal: detected dubious ownership in repository at '{repository}'; To add an "
        f"exception for this directory, call: git config --global --add safe.directory {repository}"
    )


def test_a_long_message_of_git_is_cut(repository: Path) -> None:
    with pytest.raises(UserError) as caught:
        git(repository, "add", "--all", "--", *("none" for _ in range(3)), "--no-such-option")
    assert "\n" not in str(caught.value)
    assert _in_one_line("hint: one\n\n  two:\n" + "three.\n" * 20) == "one; two: " + "three. " * 6 + "..."
