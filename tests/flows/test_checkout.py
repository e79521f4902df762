"""Revisions, snapshots and names in a small Git repository."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.checkout import (
    changed_files,
    clone,
    commit_experiment,
    experiment_name,
    private_folder,
    resolve,
    snapshot,
)
from resnet.core.errors import UserError
from tasks.stage.git import git
from tests.flows.quick import QuickProject


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "Test")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "test@example.org")
    folder = tmp_path / "a folder"
    (folder / ".dvc").mkdir(parents=True)
    (folder / ".dvc" / "config").write_text("")
    (folder / ".gitignore").write_text("/.dvc/tmp\nignored\n")
    (folder / "file").write_text("one")
    (folder / "other").write_text("other")
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "one")
    return folder


def test_a_revision_is_a_commit_by_any_of_its_names(repository: Path) -> None:
    git(repository, "tag", "--annotate", "v1", "--message", "first")
    head = git(repository, "rev-parse", "HEAD")
    assert resolve(repository, "HEAD") == resolve(repository, "v1") == resolve(repository, head[:10]) == head


@pytest.mark.parametrize("rev", ["nowhere", "--upload-pack=touch x", "", "HEAD:file"])
def test_a_revision_that_does_not_exist_is_a_sentence(repository: Path, rev: str) -> None:
    with pytest.raises(UserError, match="^there is no revision .*; `git log --oneline --all` lists them.$"):
        resolve(repository, rev)


def test_no_repository_and_no_commit_are_sentences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(UserError, match="is not a Git repository"):
        resolve(tmp_path, "HEAD")
    git(tmp_path, "init", "--quiet")
    with pytest.raises(UserError, match="has no commit yet; commit what is there first.$"):
        resolve(tmp_path, "HEAD")
    (tmp_path / "inner").mkdir()
    with pytest.raises(UserError, match="is a folder within the Git repository"):
        resolve(tmp_path / "inner", "HEAD")


def test_a_snapshot_holds_the_work_tree_and_leaves_no_trace(repository: Path, tmp_path: Path) -> None:
    (repository / "file").write_text("two")
    (repository / "new").write_text("new")
    (repository / "ignored").write_text("ignored")
    (repository / "other").unlink()
    (repository / "staged").write_text("staged")
    git(repository, "add", "staged")
    before = git(repository, "status", "--porcelain"), (repository / ".git" / "index").read_bytes()
    assert changed_files(repository) == ["file", "new", "other", "staged"]
    into = tmp_path / "into"
    clone(repository, into, resolve(repository, "HEAD"), snapshot(repository))
    assert (git(repository, "status", "--porcelain"), (repository / ".git" / "index").read_bytes()) == before
    found = {path.name: path.read_text() for path in into.iterdir() if path.is_file()}
    assert found == {".gitignore": "/.dvc/tmp\nignored\n", "file": "two", "new": "new", "staged": "staged"}
    assert git(into, "rev-parse", "HEAD") == git(repository, "rev-parse", "HEAD")


def test_a_clone_is_of_the_commit_and_has_no_branch(repository: Path, tmp_path: Path) -> None:
    first = resolve(repository, "HEAD")
    (repository / "file").write_text("two")
    git(repository, "commit", "--quiet", "--all", "--message", "two")
    clone(repository, tmp_path / "into", first)
    assert (tmp_path / "into" / "file").read_text() == "one"
    assert git(tmp_path / "into", "branch", "--show-current") == ""


def test_a_folder_goes_even_after_an_error_and_stays_if_it_is_to(repository: Path) -> None:
    kept: list[Path] = []
    with pytest.raises(ZeroDivisionError), private_folder(repository, "run", keep=False, on_kept=kept.append) as gone:
        (gone / "file").write_text("x")
        raise ZeroDivisionError
    assert not gone.exists()
    with private_folder(repository, "run", keep=True, on_kept=kept.append) as stays:
        pass
    with private_folder(repository, "run", keep=False, on_kept=kept.append):
        assert stays.is_dir()
    assert kept == [stays]


def test_folders_of_runs_that_are_under_way_are_left_alone(repository: Path) -> None:
    nobody = lambda path: None  # noqa: E731
    with private_folder(repository, "one", keep=False, on_kept=nobody) as one:
        with private_folder(repository, "two", keep=False, on_kept=nobody) as two:
            assert one.is_dir()
            assert two.is_dir()
        assert one.is_dir()
    abandoned = one.with_name("killed-x")
    abandoned.mkdir()
    abandoned.with_name("killed-x.lock").touch()
    with private_folder(repository, "three", keep=False, on_kept=nobody):
        assert not abandoned.exists()


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("amber-falcon", "amber-falcon"),
        ("wild; rm -rf $HOME 'x'", "wild-rm-rf-HOME-x"),
        ("a/b\\c d", "a-b-c-d"),
        ("-x..y.lock", "x-y"),
        ("größe @{0}", "gr-e-0"),
        ("../..", "run"),
        ("", "run"),
        ("x" * 300, "x" * 100),
        ("learning_rate=0.01", "learning_rate-0.01"),
    ],
)
def test_names_become_names_that_git_takes(wanted: str, name: str) -> None:
    assert experiment_name(wanted, "") == name
    assert subprocess.run(["git", "check-ref-format", f"refs/exps/ab/cd/{name}"], check=False).returncode == 0


def test_a_name_that_is_taken_gets_a_number() -> None:
    taken = "refs/exps/ab/cd/one\nrefs/exps/ab/ce/one-2\nrefs/exps/ab/cd/two\n"
    assert [experiment_name(name, taken) for name in ("one", "two", "three")] == ["one-3", "two-2", "three"]


def test_the_user_s_index_and_files_stay_whatever_they_are(make_quick: Callable[..., QuickProject]) -> None:
    project = make_quick()
    folder = project.folder
    (folder / "README.md").write_text("staged")
    project.run("git", "add", "README.md")
    (folder / "README.md").write_text("and changed again")
    (folder / "new").write_text("staged and gone")
    project.run("git", "add", "new")
    (folder / "new").unlink()
    project.run("git", "rm", "--quiet", "--cached", "Makefile")
    before = project.run("git", "status", "--porcelain").stdout
    assert sorted(line[:2] for line in before.splitlines()) == ["??", "AD", "D ", "MM"]
    commit = resolve(folder, "HEAD")
    tree = snapshot(folder, commit, ["params.yaml", "missing"])
    made, ref = commit_experiment(folder, commit, tree, "mine")
    assert project.run("git", "status", "--porcelain").stdout == before
    assert project.run("git", "show", f"{made}:README.md").stdout == "and changed again"
    assert ref == f"refs/exps/{commit[:2]}/{commit[2:]}/mine"


def test_a_hook_s_environment_means_another_repository(
    make_quick: Callable[..., QuickProject], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    project = make_quick()
    monkeypatch.setenv("GIT_DIR", str(project.folder / ".git"))
    (tmp_path / "clone").mkdir()
    clone(project.folder, tmp_path / "clone", resolve(project.folder, "HEAD"))
    monkeypatch.delenv("GIT_DIR")
    assert project.run("git", "symbolic-ref", "HEAD").stdout.startswith("refs/heads/")
    assert (tmp_path / "clone" / "params.yaml").is_file()
