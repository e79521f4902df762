"""Requests for a run that are refused, before anything is created."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import flows.workspace as workspace_module
from flows.dvc_process import DvcError
from flows.workspace import Request, Workspace, opened
from resnet.core.errors import UserError
from tests.flows.quick import QuickProject


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QuickProject]:
    """A project for tests that change nothing in it."""
    made = QuickProject(tmp_path_factory.mktemp("untouched"))
    yield made
    made.close()


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ({"overrides": {"train.epoch": 1}}, "there is no parameter train.epoch; did you mean train.epochs?"),
        ({"overrides": {"train.epochs": 0}}, "train.epochs should be greater than or equal to 1, but it is 0."),
        ({"rev": "nowhere"}, "there is no revision 'nowhere' in "),
        ({"in_place": True, "overrides": {"seed": 1}}, "a run in place uses the work tree as it is"),
        ({"in_place": True, "rev": "HEAD~1"}, "a run in place uses the work tree as it is"),
        ({"include_changes": True, "rev": "HEAD~1"}, "uncommitted changes belong to HEAD, not to 'HEAD~1'"),
    ],
)
def test_an_invalid_request_is_refused_and_creates_nothing(
    untouched: QuickProject, request_: dict[str, Any], sentence: str
) -> None:
    before = untouched.tree()
    with pytest.raises(UserError) as error, opened(Request(**request_), "run", print, untouched.folder):
        pass
    assert str(error.value).startswith(sentence)
    assert untouched.tree() == before
    assert untouched.checkouts() == []


def test_a_command_reports_a_mistake_before_a_run_starts(make_quick: Callable[..., QuickProject]) -> None:
    no_server = (
        "no Prefect server answers at http://127.0.0.1:9/api; start one with `prefect server start`, or try again in half a "
        "minute if you have just started it.\n"
    )
    project = make_quick({"PREFECT_API_URL": "http://127.0.0.1:9/api"})
    result = project.run("python", "-m", "flows.train_resnet", "--set", "train.epochs=0", code=1)
    assert result.stderr == "train.epochs should be greater than or equal to 1, but it is 0.\n"
    result = project.run("python", "-m", "flows.sweep", "--grid", "train.epochs=1,0", code=1)
    assert result.stderr == "train.epochs should be greater than or equal to 1, but it is 0.\n"
    for command in ("flows.train_resnet", "flows.serve"):
        result = project.run("python", "-m", command, code=1)
        assert result.stderr == no_server
    result = project.run("prefect", "deployment", "run", "train-resnet", code=1)
    assert result.stderr == no_server


def test_a_run_in_place_is_refused_before_a_server_is_started(make_quick: Callable[..., QuickProject]) -> None:
    project = make_quick()  # no server is configured: a temporary one would be started
    path = project.folder / "params.yaml"
    text = path.read_text("utf-8")
    found = {}
    for wrong in (text.replace("epochs: 2", "epochs: 0"), text.replace("  epochs: 2", "<<<<<<< HEAD\n=======\n"), "a: [", None):
        path.unlink() if wrong is None else path.write_text(wrong, encoding="utf-8")
        with pytest.raises(UserError) as error:
            Request(in_place=True).check(project.folder)
        found[str(error.value).split(";")[0]] = wrong
    path.write_text(text.replace("source: builtin/digits", "source: nowhere"), encoding="utf-8")
    result = project.run("python", "-m", "flows.train_resnet", code=1)
    assert result.stderr == f"ingest.source is nowhere, which is not in {project.folder}; correct the path.\n"
    first, second, third, fourth = found
    assert first == "params.yaml: train.epochs should be greater than or equal to 1, but it is 0."
    assert second.startswith("params.yaml has the marks of a merge conflict: edit it and keep what is right")
    assert third.startswith("params.yaml, line 1, column ")
    assert fourth == "params.yaml is missing"


@pytest.mark.parametrize("name", ["ingest.source", "build.weights"])
def test_a_source_that_is_not_in_the_checkout_is_refused(untouched: QuickProject, name: str) -> None:
    request = Request(overrides={name: "../elsewhere"})
    expected = rf"{re.escape(name)} is \.\./elsewhere, which is not in the run's checkout; track it with"
    with pytest.raises(UserError, match=expected), opened(request, "run", print, untouched.folder):
        pass
    assert untouched.checkouts() == []


def test_a_changed_file_whose_name_is_not_utf8_is_named_in_utf8(make_quick: Callable[..., QuickProject]) -> None:
    project = make_quick()
    (project.folder / os.fsdecode(b"caf\xe9.txt")).touch()
    (project.folder / "reports").mkdir(exist_ok=True)
    (project.folder / "reports" / "metrics.json").write_text("{}")  # the run writes it itself
    said: list[str] = []
    with opened(Request(), "run", said.append, project.folder):
        pass
    assert rb"Files that differ from HEAD are left out; include_changes includes them: caf\udce9.txt" in (
        line.encode() for line in said
    )


def test_a_repeated_run_with_the_same_files_is_one_experiment(make_quick: Callable[..., QuickProject]) -> None:
    project = make_quick()
    commit = project.run("git", "rev-parse", "HEAD").stdout.strip()
    unused: Any = None
    workspace = Workspace(project.folder, project.folder, commit, unused)
    assert [workspace.save("fold-01") for _ in range(2)] == ["fold-01", "fold-01"]
    assert workspace.save("fold-02") == "fold-02"
    project.set(dpi="77")
    assert [workspace.save("fold-01") for _ in range(2)] == ["fold-01-2", "fold-01-2"]
    project.commit("another baseline")
    commit = project.run("git", "rev-parse", "HEAD").stdout.strip()
    assert Workspace(project.folder, project.folder, commit, unused).save("fold-01") == "fold-01-3"


@pytest.fixture
def away(make_quick: Callable[..., QuickProject], monkeypatch: pytest.MonkeyPatch) -> QuickProject:
    """A project that stands for a worker's clone."""
    project = make_quick()
    monkeypatch.setattr(workspace_module, "HOME", project.folder)
    monkeypatch.setattr(workspace_module, "PROJECT", project.folder.with_name("code"))
    project.run("git", "clone", "--quiet", str(project.folder), "../code")
    return project


def refused(project: QuickProject, **request: Any) -> str:
    with pytest.raises(UserError) as error, opened(Request(**request), "run", print, project.folder):
        pass
    assert project.checkouts() == []
    return str(error.value)


def test_a_worker_without_a_remote_that_it_can_use_says_so(away: QuickProject) -> None:
    assert "but this commit has none: run `dvc remote add --default NAME URL`, `dvc push`, commit" in refused(away)
    nowhere = away.folder / "nowhere"
    away.run("dvc", "remote", "add", "--quiet", "--default", "far", str(nowhere))
    away.commit("a remote")
    away.run("git", "-C", "../code", "pull", "--quiet")
    assert f"cannot use the DVC remote, through which it gets data and returns results (the folder {nowhere} does" in refused(
        away
    )


def test_a_worker_runs_the_commit_of_its_code_and_has_no_work_tree_of_the_users(away: QuickProject) -> None:
    code = away.run("git", "rev-parse", "HEAD").stdout.strip()
    away.commit("another run has moved the HEAD of the clone")
    assert Request().check(away.folder) == code
    assert Request(rev="HEAD~1").check(away.folder) == code
    for request in ({"in_place": True}, {"include_changes": True}):
        assert refused(away, **request).startswith("a worker gets the project from Git, so it has no uncommitted changes")


def test_an_experiment_is_not_seen_before_its_files_are_in_the_remote(
    away: QuickProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Program:
        """Stands for the program that runs DVC."""

        def __init__(self, error: str = "") -> None:
            self.error = error
            self.asked: list[str] = []

        def request(self, do: str, **_: Any) -> dict[str, Any]:
            self.asked.append(do)
            if self.error:
                raise DvcError(self.error)
            return {}

    origin = away.folder.with_name("origin.git")
    away.run("git", "init", "--quiet", "--bare", str(origin))
    away.run("git", "remote", "add", "origin", str(origin))
    commit = away.run("git", "rev-parse", "HEAD").stdout.strip()
    checkout = away.folder.with_name("checkout")
    away.run("git", "clone", "--quiet", str(away.folder), str(checkout))

    def refs() -> list[str]:
        return [
            line.rpartition("/")[2]
            for place in (".", str(origin))
            for line in away.run("git", "ls-remote", "--quiet", place, "refs/exps/*").stdout.splitlines()
        ]

    failing: Any = Program("the store is full")
    with pytest.raises(UserError, match="the store is full"):
        Workspace(away.folder, checkout, commit, failing).save("low-rate")
    assert refs() == []
    away.run("git", "push", "--quiet", "origin", f"HEAD:refs/exps/{commit[:2]}/{commit[2:]}/low-rate")  # another machine's
    working: Any = Program()
    assert Workspace(away.folder, checkout, commit, working).save("low-rate") == "low-rate-2"
    assert working.asked == ["push"]
    assert refs() == ["low-rate-2", "low-rate", "low-rate-2"]
    assert Workspace(away.folder, checkout, commit, working).save("low-rate") == "low-rate-2"  # killed after the push
    assert refs() == ["low-rate-2", "low-rate", "low-rate-2"]


def test_a_source_in_a_bucket_is_no_path(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("ingest: {source: 's3://bucket/photos.tar'}\nbuild: {weights: ''}\n", "utf-8")
    workspace_module._check_sources(tmp_path)
