"""The clone that stays on a worker's machine: how it follows the repository, and how experiments leave it."""

import asyncio
import subprocess
from pathlib import Path
from typing import Any

import pytest
from prefect.deployments.steps.utility import run_shell_script
from ruamel.yaml import YAML

from flows.worker_home import VARIABLE, arrive, deliver, home_of, taken_names
from resnet.core.errors import UserError
from tasks.stage.git import git
from tests.imports import ROOT

IDENTITY = ("-c", "user.name=a", "-c", "user.email=a@example.org")


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """A bare repository with one commit on `main`."""
    bare, work = tmp_path / "project.git", tmp_path / "work"
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(bare)], check=True)
    subprocess.run(["git", "clone", "--quiet", str(bare), str(work)], check=True, capture_output=True)
    commit(work, "first")
    return bare


def commit(work: Path, subject: str) -> str:
    """Makes a commit and pushes it as `main`; returns its hash."""
    git(work, *IDENTITY, "commit", "--quiet", "--allow-empty", "--message", subject)
    git(work, "push", "--quiet", "origin", "HEAD:main")
    return git(work, "rev-parse", "HEAD")


def shallow(origin: Path, into: Path) -> Path:
    """What Prefect's `git_clone` makes."""
    subprocess.run(["git", "clone", "--quiet", "--depth", "1", origin.as_uri(), str(into)], check=True)
    return into


def make_experiment(home: Path, name: str, subject: str) -> str:
    """Makes a child of HEAD under `refs/exps`; returns its ref."""
    ref = f"refs/exps/ab/cd/{name}"
    git(home, "update-ref", ref, git(home, *IDENTITY, "commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", subject))
    return ref


def test_the_clone_is_the_project_itself_unless_the_variable_is_set(
    origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = shallow(origin, tmp_path / "run")
    monkeypatch.delenv(VARIABLE, raising=False)
    assert home_of(project) == project
    monkeypatch.setenv(VARIABLE, "~/kept")
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    homes = []
    for url in (
        "https://example.org/team/nets.git",
        "https://me:token@example.org/team/nets.git",
        "https://example.org/nets.git",
    ):
        git(project, "remote", "set-url", "origin", url)
        homes.append(home_of(project))
    assert homes[0] == homes[1] != homes[2]
    assert homes[0].parent == tmp_path / "user" / "kept"
    assert homes[0].name.startswith("nets-")


def test_it_has_all_branches_and_follows_them_whatever_a_killed_run_left(origin: Path, tmp_path: Path) -> None:
    work, home = tmp_path / "work", tmp_path / "kept" / "project"
    arrive(shallow(origin, tmp_path / "one"), home)
    first = git(home, "rev-parse", "HEAD")
    (home / "kept").write_text("not in Git")
    (home / ".git" / "index.lock").touch()
    second = commit(work, "second")
    git(work, "push", "--quiet", "origin", "HEAD:side", "HEAD:refs/tags/v1")
    third = commit(work, "third")
    arrive(shallow(origin, tmp_path / "two"), home)
    assert git(home, "rev-parse", "HEAD", "main", "side", "v1", "main~2") == "\n".join([third, third, second, second, first])
    assert (home / "kept").exists()
    git(work, "push", "--quiet", "--force", "origin", f"{second}:main", ":side")
    arrive(shallow(origin, tmp_path / "three"), home)
    assert git(home, "rev-parse", "HEAD", "main") == f"{second}\n{second}"
    with pytest.raises(UserError):
        git(home, "rev-parse", "--verify", "--quiet", "side")


def test_a_machine_that_cannot_reach_the_repository_says_so(origin: Path, tmp_path: Path) -> None:
    project = shallow(origin, tmp_path / "run")
    git(project, "remote", "set-url", "origin", str(tmp_path / "nowhere.git"))
    with pytest.raises(UserError, match="the worker could not get the project from Git .*nowhere.git. does not appear to be"):
        arrive(project, tmp_path / "kept" / "project")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=f"where {VARIABLE} keeps the project on the worker, cannot be written"):
        arrive(project, tmp_path / "file" / "project")


def filled(folder: Path, host: str) -> list[str]:
    """The user and the password that Git finds for a host."""
    asked = f"protocol=https\nhost={host}\n\n"
    found = subprocess.run(["git", "credential", "fill"], cwd=folder, input=asked, capture_output=True, text=True, check=False)
    return [line for line in found.stdout.splitlines() if line.startswith(("username", "password"))]


@pytest.mark.parametrize(
    ("before_host", "expected"),
    [
        ("oauth2:s%C3%A9cret", ["username=oauth2", "password=sécret"]),
        ("sécret", ["username=sécret", "password="]),  # as Prefect writes GitHub's tokens
    ],
)
def test_a_token_is_in_no_file_and_git_finds_it(
    before_host: str, expected: list[str], origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ORIGIN_USERNAME", "ORIGIN_PASSWORD"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_TERMINAL_PROMPT", "0")
    project, home = shallow(origin, tmp_path / "run"), tmp_path / "kept" / "project"
    arrive(project, home)
    git(home, "config", "remote.origin.url", f"https://{before_host}@127.0.0.1:1/nets.git")  # as earlier versions left it
    git(project, "remote", "set-url", "origin", f"https://{before_host}@127.0.0.1:1/nets.git")
    for _ in range(2):  # the second time the address has no token any more
        with pytest.raises(UserError, match="try `git ls-remote https://127.0.0.1:1/nets.git` there") as found:
            arrive(project, home)
        assert "cret" not in str(found.value)
        for clone in (project, home):
            assert git(clone, "remote", "get-url", "origin") == "https://127.0.0.1:1/nets.git"
            assert not [path for path in (clone / ".git").rglob("*") if path.is_file() and b"cret" in path.read_bytes()]
        assert filled(home, "127.0.0.1:1") == expected
    assert filled(home, "example.org") == []
    monkeypatch.delenv("ORIGIN_USERNAME")
    assert filled(home, "127.0.0.1:1") == []
    with pytest.raises(UserError, match="git ls-remote"):
        arrive(project, home)
    assert "credential" not in (home / ".git" / "config").read_text("utf-8")


@pytest.mark.parametrize("name", ["prefect.yaml", "containers/deployments.yaml"])
@pytest.mark.parametrize(
    ("url", "deployed"),
    [
        ("https://me:token@example.org/team/nets.git", "https://example.org/team/nets.git"),
        ("https://token@example.org/team/nets.git", "https://example.org/team/nets.git"),
        ("https://example.org/a@b/nets.git", "https://example.org/a@b/nets.git"),
        ("ssh://git@example.org/team/nets.git", "ssh://git@example.org/team/nets.git"),
        ("git@example.org:team/nets.git", "git@example.org:team/nets.git"),
    ],
)
def test_a_deployment_has_no_token(name: str, url: str, deployed: str, origin: Path, tmp_path: Path) -> None:
    git(tmp_path / "work", "remote", "set-url", "origin", url)
    steps: Any = YAML(typ="safe").load(ROOT / name)
    (inputs,) = steps["build"][0].values()
    assert inputs.pop("id") == "origin"
    assert asyncio.run(run_shell_script(**inputs, directory=str(tmp_path / "work")))["stdout"] == deployed


def test_a_machine_that_may_not_push_says_so(origin: Path, tmp_path: Path) -> None:
    project = shallow(origin, tmp_path / "run")
    git(project, "config", "remote.origin.pushurl", str(tmp_path / "nowhere.git"))
    home = tmp_path / "kept" / "project"
    arrive(project, home)  # the setting is that of the other clone
    git(home, "config", "remote.origin.pushurl", str(tmp_path / "nowhere.git"))
    with pytest.raises(UserError, match="cannot push experiments"):
        arrive(project, home)


def test_two_machines_do_not_give_one_name_to_two_experiments(origin: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "kept" / "one", tmp_path / "kept" / "two"
    for home in (one, two):
        arrive(shallow(origin, tmp_path / f"run-{home.name}"), home)
    assert taken_names(two) == ""
    ref = make_experiment(one, "low-rate", "from one")
    make_experiment(two, "low-rate", "from two")
    assert deliver(one, ref)
    assert deliver(one, ref)  # it was killed after the push, and did it again
    assert not deliver(two, ref)
    assert git(two, "for-each-ref", "refs/exps") == ""
    assert taken_names(two).endswith("\trefs/exps/ab/cd/low-rate")
    assert git(origin, "log", "-1", "--format=%s", ref) == "from one"
    git(two, "config", "remote.origin.pushurl", str(tmp_path / "nowhere.git"))
    other = make_experiment(two, "other", "from two")
    with pytest.raises(UserError, match="nowhere.git"):
        deliver(two, other)
    assert git(two, "for-each-ref", "--format=%(refname)", "refs/exps") == other
