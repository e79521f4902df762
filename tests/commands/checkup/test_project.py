"""What the doctor finds about Git, DVC, the disk and Prefect."""

import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from collections import namedtuple
from pathlib import Path

import pytest

from commands.checkup import project
from commands.checkup.findings import Finding
from commands.checkup.project import check_cache, check_dvc, check_environment, check_git, check_parameters, check_prefect

Usage = namedtuple("Usage", "total used free")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    return tmp_path


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout


@pytest.fixture
def repository(folder: Path) -> Path:
    """A commit of params.yaml, whose index is younger than the file, so that Git compares no contents."""
    git("init", "--quiet")
    for setting in (("user.name", "A"), ("user.email", "a@example.org"), ("core.trustctime", "false")):
        git("config", *setting)
    (folder / "params.yaml").write_text("seed: 1\n", "utf-8")
    os.utime(folder / "params.yaml", (1_000_000_000, 1_000_000_000))
    git("add", "params.yaml")
    git("commit", "--quiet", "--message", "first")
    return folder


def remedies(findings: list[Finding]) -> list[str]:
    return [finding.remedy for finding in findings if finding.wrong]


def test_what_is_missing_has_a_command_that_makes_it() -> None:
    (remedy,) = remedies(list(check_git()))
    assert remedy.startswith("git init && git add --all && git commit")
    assert remedies(list(check_dvc())) == ["dvc init"]
    (parameters,) = check_parameters()
    assert parameters.found.startswith("there is no dvc.yaml in ")
    assert parameters.wrong


def test_git_needs_an_author_because_experiments_are_commits(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    author = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    subprocess.run(["git", "init", "--quiet"], check=True)
    (folder / "a").write_text("a")
    subprocess.run(["git", "add", "a"], check=True)
    subprocess.run(["git", *author, "commit", "--quiet", "--message", "first"], check=True)
    subprocess.run(["git", "config", "user.useConfigOnly", "true"], check=True)
    for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL", "EMAIL"):
        monkeypatch.delenv(name, raising=False)
    state, identity = check_git()
    assert state.found.endswith(" first; nothing to commit")
    assert identity.remedy == "git config user.name NAME && git config user.email ADDRESS"
    subprocess.run(["git", "config", "user.name", "A"], check=True)
    subprocess.run(["git", "config", "user.email", "a@example.org"], check=True)
    (folder / "b").write_text("b")
    (state,) = check_git()
    assert state.found.endswith(" first; 1 file is not committed")


def test_what_a_killed_experiment_left_is_named_when_none_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project, "repository_fault", lambda: None)
    monkeypatch.setattr(project, "latest_commit", lambda: "abc first")
    monkeypatch.setattr(project, "branch_before_experiment", lambda: "a branch")
    expected = "git branch NAME if you have committed since, then git switch 'a branch' && git diff HEAD params.yaml"
    waiting = [sys.executable, "-c", "print(flush=True); input()", "dvc", "exp", "run"]
    for place, named in ((folder, False), (folder.parent, True)):
        with subprocess.Popen(waiting, cwd=place, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            assert (expected in remedies(list(check_git()))) == named
            process.communicate(b"\n")
    assert expected in remedies(list(check_git()))


@pytest.mark.usefixtures("repository")
def test_what_a_failed_experiment_left_for_the_next_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not any("experiment" in finding.found for finding in check_git())
    for name in ("tidy-rift", "wary-gaff"):
        message = f"dvc-exp:{'a' * 40}:{'a' * 40}:{name}"
        change = git("commit-tree", "-m", name, "HEAD^{tree}").strip()
        git("update-ref", "--create-reflog", "-m", f"commit: {message}", "refs/exps/stash", change)
    monkeypatch.setattr(project, "_experiment_runs", lambda: True)
    assert not any("experiment" in finding.found for finding in check_git())
    monkeypatch.setattr(project, "_experiment_runs", lambda: False)
    (found,) = (finding for finding in check_git() if "experiment" in finding.found)
    assert found.found.endswith("the next one would also run its experiments wary-gaff, tidy-rift")
    assert found.wrong
    git(*found.remedy.split()[1:])
    assert not any("experiment" in finding.found for finding in check_git())


@pytest.mark.usefixtures("repository")
def test_a_change_that_git_does_not_see_is_named() -> None:
    unseen = "Git does not see that params.yaml differs from the last commit"
    before = Path("params.yaml").stat()
    Path("params.yaml").write_text("seed: 2\n", "utf-8")
    os.utime("params.yaml", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert git("status", "--porcelain") == ""
    (found,) = (finding for finding in check_git() if unseen in finding.found)
    assert (found.wrong, found.remedy) == (True, "touch params.yaml, then git diff HEAD params.yaml")
    Path("params.yaml").touch()
    assert git("status", "--porcelain") == " M params.yaml\n"
    assert not any(unseen in finding.found for finding in check_git())


def test_the_branch_before_experiments_is_a_note(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project, "repository_fault", lambda: None)
    monkeypatch.setattr(project, "latest_commit", lambda: "abc first")
    monkeypatch.setattr(project, "branch_before_experiment", lambda: None)
    monkeypatch.setattr(project, "branch_before_ended_experiments", lambda: "a branch")
    note = next(finding for finding in check_git() if "no branch" in finding.found)
    assert note.found == "HEAD is on no branch; before the last experiments it was on a branch"
    assert (note.wrong, note.remedy) == (False, "git switch 'a branch', unless you took it off yourself")


def test_what_dvc_does_not_survive_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project, "inherited", lambda: {"SHELL": "/bin/false", "USER": "a", "HOME": "/"})
    assert remedies(list(check_environment())) == ["export SHELL=/bin/sh"]
    monkeypatch.setattr(project, "inherited", lambda: {"SHELL": "/bin/sh", "USER": "a", "HOME": "/"})
    (fine,) = check_environment()
    assert not fine.wrong


def test_a_repository_that_git_refuses_has_gits_own_remedy(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subprocess.run(["git", "init", "--quiet"], check=True)
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # of Git's own tests
    (refused,) = check_git()
    assert "detected dubious ownership" in refused.found
    assert remedies([refused]) == [f"git config --global --add safe.directory {folder}"]


def test_a_setting_that_prefect_refuses_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_LOGGING_LEVEL", "LOUD")
    (refused,) = check_prefect()
    assert (refused.wrong, refused.found) == (True, "`prefect config view` fails")


def test_a_lock_file_that_a_kill_left_empty_is_named(folder: Path) -> None:
    (folder / ".dvc" / "tmp").mkdir(parents=True)
    (folder / ".dvc" / "tmp" / "rwlock").touch()
    assert remedies(list(check_dvc())) == ["train-resnet repair"]


def test_dvc_in_use_is_not_wrong(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / ".dvc" / "tmp").mkdir(parents=True)
    rwlock = folder / ".dvc" / "tmp" / "rwlock"
    monkeypatch.setattr(project, "_run", lambda *_: None)
    rwlock.write_text(json.dumps({"model": {"write": {"pid": os.getpid(), "cmd": "dvc repro"}}}))
    (busy,) = check_dvc()
    assert (busy.wrong, busy.found) == (False, f"in use by process {os.getpid()}, so its state is not known now")
    rwlock.write_text(json.dumps({"model": {"write": {"pid": 2**22 + 1, "cmd": "dvc repro"}}}))
    assert next(check_dvc()).wrong


def test_the_state_of_stages_and_cache(folder: Path) -> None:
    subprocess.run(["git", "init", "--quiet"], check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet"], check=True)
    (folder / "dvc.yaml").write_text("stages:\n  one:\n    cmd: echo 1 > a\n    outs: [a]\n")
    stale, cache, disk = check_dvc()
    assert stale.found == "one would run"
    assert "train-resnet why" in stale.remedy
    assert ".dvc/cache" in cache.found
    assert disk.subject == "disk"


def test_the_cache_is_measured_and_a_full_disk_is_wrong(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "cache").mkdir()
    for n in range(3):
        with (folder / "cache" / str(n)).open("wb") as file:
            file.truncate(2_000_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: Usage(10e9, 9e9, 1e9))
    cache, disk = check_cache(folder / "cache")
    assert cache.found.endswith("cache, 6.0 GB in 3 files")
    assert (disk.wrong, disk.found) == (True, f"1.0 GB are free at {folder}" if "cache" not in disk.found else disk.found)
    monkeypatch.setattr(project, "_MOST_FILES", 2)
    cache, _ = check_cache(folder / "cache")
    assert "more than 4.0 GB" in cache.found


def test_a_configured_server_must_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    class Healthy(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/api/health" else 404)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Healthy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        api = f"http://127.0.0.1:{server.server_address[1]}/api"
        monkeypatch.setenv("PREFECT_API_URL", api)
        (up,) = check_prefect()
        assert (up.wrong, up.found) == (False, f"a server answers at {api}")
        server.shutdown()
    (down,) = check_prefect()
    assert (down.wrong, down.remedy) == (True, "prefect server start, or prefect config unset PREFECT_API_URL")
    monkeypatch.delenv("PREFECT_API_URL")
    monkeypatch.setattr(project, "DEFAULT_API", api)
    monkeypatch.setattr(project, "_configured_api", lambda shown: None)
    (none,) = check_prefect()
    assert (none.wrong, none.found) == (False, "no server; flows start a temporary one")
