"""DVC's own files after a kill, its private folder, and the verification of remotes."""

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from commands import repair
from commands.repair import repair_dvc_files
from resnet.core.errors import UserError

LOCK = "schema: '2.0'\nstages:\n  a:\n    cmd: 'true'\n    outs:\n    - path: b\n      md5: 0123456789abcdef\n"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    (tmp_path / ".dvc" / "tmp").mkdir(parents=True)
    (tmp_path / ".dvc" / "config").write_text("[core]\n    analytics = false\n    check_update = false\n")
    return tmp_path


def git(root: Path, *arguments: str) -> str:
    who = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    return subprocess.run(["git", *who, *arguments], cwd=root, check=True, capture_output=True, text=True).stdout


def test_the_command_prints_what_it_repaired(
    root: Path, monkeypatch: pytest.MonkeyPatch, train_resnet: Callable[..., Result]
) -> None:
    monkeypatch.chdir(root)
    (root / ".dvc/tmp/rwlock").touch()
    assert train_resnet("repair").stdout == ".dvc/tmp/rwlock was cut short by a killed process; it is removed.\n"
    result = train_resnet("repair")
    assert (result.exit_code, result.stdout) == (0, "")


def test_nothing_is_changed_if_nothing_is_wrong(root: Path) -> None:
    (root / "dvc.lock").write_text(LOCK)
    (root / ".dvc/tmp/rwlock").write_text(json.dumps({"write": {"x": {"pid": os.getpid(), "cmd": "dvc repro"}}, "read": {}}))
    before = (root / ".dvc/tmp/rwlock").read_text()
    assert repair_dvc_files(root) == []
    assert (root / ".dvc/tmp/rwlock").read_text() == before
    assert repair_dvc_files(root / ".dvc") == []  # no project


@pytest.mark.parametrize("content", [b"", bytes(200)])
def test_an_index_of_git_that_a_power_cut_emptied_is_made_again(root: Path, content: bytes) -> None:
    git(root, "init", "--quiet")
    (root / "a").write_text("1")
    git(root, "add", "a")
    git(root, "commit", "--quiet", "-m", "first")
    (root / "a").write_text("2")
    (root / ".git" / "index").write_bytes(content)
    (said,) = (sentence for sentence in repair_dvc_files(root) if "index" in sentence)
    assert said.startswith(f"{root / '.git' / 'index'} was cut short; it is made again from the last commit")
    assert git(root, "diff", "--name-only").split() == ["a"]
    assert (root / "a").read_text() == "2"
    assert [sentence for sentence in repair_dvc_files(root) if "index" in sentence] == []


@pytest.mark.parametrize("text", ["", '{"write": {"x": {"pid": 1', "[]", '{"write": [1]}', "\0\0\0\0"])
def test_a_torn_rwlock_is_removed(root: Path, text: str) -> None:
    path = root / ".dvc/tmp/rwlock"
    path.write_text(text)
    assert len(repair_dvc_files(root)) == 1
    assert not path.exists()


def test_locks_of_dead_processes_are_removed_and_others_stay(root: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    ours = {"pid": os.getpid(), "cmd": "dvc repro"}
    theirs = {"pid": gone.pid, "cmd": "dvc repro"}
    path = root / ".dvc/tmp/rwlock"
    path.write_text(json.dumps({"write": {"a": ours, "b": theirs}, "read": {"c": [theirs], "d": [ours]}}))
    assert len(repair_dvc_files(root)) == 1
    assert json.loads(path.read_text()) == {"write": {"a": ours}, "read": {"d": [ours]}}


def test_a_process_that_started_after_the_lock_was_written_cannot_hold_it(root: Path) -> None:
    path = root / ".dvc/tmp/rwlock"
    path.write_text(json.dumps({"write": {"a": {"pid": os.getpid(), "cmd": "dvc repro"}}, "read": {}}))
    os.utime(path, (0, 0))  # before this test's process; process IDs are used again after a reboot
    assert len(repair_dvc_files(root)) == 1
    assert json.loads(path.read_text())["write"] == {}


def test_a_process_of_dvc_holds_its_lock_also_if_the_clock_was_set_forward(root: Path) -> None:
    program = "import sys, time; print(flush=True); time.sleep(60)"
    holder = subprocess.Popen([sys.executable, "-c", program, "dvc", "repro", "train"], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        path = root / ".dvc/tmp/rwlock"
        path.write_text(json.dumps({"write": {"a": {"pid": holder.pid, "cmd": "/bin/dvc repro train"}}, "read": {}}))
        os.utime(path, (0, 0))  # so it seems to be written before the process started
        assert repair_dvc_files(root) == []
    finally:
        holder.kill()
        holder.communicate()


@pytest.mark.parametrize(("torn", "lock"), [(".dvc/tmp/rwlock", "rwlock.lock"), ("dvc.lock", "lock")])
def test_it_waits_for_a_process_that_is_writing(root: Path, monkeypatch: pytest.MonkeyPatch, torn: str, lock: str) -> None:
    monkeypatch.setattr(repair, "_SECONDS", 0.3)
    (root / torn).write_text("")
    with (root / ".dvc/tmp" / lock).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another process of DVC"):
            repair_dvc_files(root)
    assert len(repair_dvc_files(root)) == 1


@pytest.mark.parametrize(
    "text",
    ["", LOCK[:20], LOCK[:40] + "\n  - [", "stages: 1", LOCK + "  b:\n", "\0" * 40, LOCK[:-3], LOCK[:-28], LOCK[:-40]],
)
@pytest.mark.parametrize("committed", [True, False])
def test_a_torn_dvc_lock_is_replaced_by_the_committed_one(root: Path, text: str, committed: bool) -> None:
    path = root / "dvc.lock"
    git(root, "init", "--quiet")
    if committed:
        path.write_text(LOCK)
        git(root, "add", "dvc.lock")
        git(root, "commit", "--quiet", "--message", "results")
    path.write_text(text)
    assert len(repair_dvc_files(root)) == 1
    assert (path.read_text() == LOCK) if committed else not path.exists()


STAGES = """\
stages:
  a:
    cmd: python a.py
    deps: [a.py, data]
    outs:
    - b
    metrics:
    - c:
        cache: false
  d:
    cmd: python d.py
    params: [seed]
    plots: [e, f]
  later:
    cmd: python later.py
"""
WHOLE = """\
schema: '2.0'
stages:
  a:
    cmd: python a.py
    deps:
    - path: a.py
      md5: 0123456789abcdef
    - path: data
      md5: 0123456789abcdef
    outs:
    - path: b
      md5: 0123456789abcdef
    - path: c
      md5: 0123456789abcdef
  d:
    cmd: python d.py
    params:
      params.yaml:
        seed: 0
    outs:
    - path: e
      md5: 0123456789abcdef
    - path: f
      md5: 0123456789abcdef
"""


def test_a_dvc_lock_that_was_cut_anywhere_is_found(root: Path) -> None:
    path = root / "dvc.lock"
    (root / "dvc.yaml").write_text(STAGES)
    git(root, "init", "--quiet")
    path.write_text(WHOLE)
    git(root, "add", "dvc.lock")
    git(root, "commit", "--quiet", "--message", "results")
    assert repair_dvc_files(root) == []
    lines = WHOLE.splitlines(keepends=True)
    for number in range(len(lines)):
        for text in ("".join(lines[:number]), "".join(lines[: number + 1])[:-1]):
            path.write_text(text.replace("0123", "4567"))
            assert len(repair_dvc_files(root)) == 1, text
            assert path.read_text() == WHOLE


@pytest.mark.parametrize(
    ("gone_from_stages", "gone_from_lock"),
    [
        ("    params: [seed]\n", "    params:\n      params.yaml:\n        seed: 0\n"),
        (STAGES[STAGES.index("  d:") : STAGES.index("  later:")], WHOLE[WHOLE.index("  d:") :]),
        (", f", WHOLE[WHOLE.index("    - path: f") :]),
    ],
)
def test_a_dvc_lock_that_lacks_what_dvc_yaml_lacks_too_stays(root: Path, gone_from_stages: str, gone_from_lock: str) -> None:
    (root / "dvc.yaml").write_text(STAGES.replace(gone_from_stages, ""))
    _commit_whole(root)
    (root / "dvc.lock").write_text(WHOLE.replace(gone_from_lock, ""))
    assert repair_dvc_files(root) == []
    (root / "dvc.yaml").write_text("stages: [")
    assert repair_dvc_files(root) == []


@pytest.mark.parametrize(
    "gone", ["    - path: a.py\n      md5: 0123456789abcdef\n", "    params:\n      params.yaml:\n        seed: 0\n"]
)
def test_a_dvc_lock_that_lacks_something_before_its_end_was_not_cut(root: Path, gone: str) -> None:
    (root / "dvc.yaml").write_text(STAGES)
    _commit_whole(root)
    (root / "dvc.lock").write_text(WHOLE.replace(gone, ""))
    assert repair_dvc_files(root) == []


def test_a_dvc_lock_that_git_knows_was_not_cut(root: Path) -> None:
    (root / "dvc.yaml").write_text(STAGES)
    _commit_whole(root)
    theirs = WHOLE[: WHOLE.index("  d:")].replace("0123", "4567")
    (root / "dvc.lock").write_text(theirs)  # as after `git checkout --theirs dvc.lock`, and `git add` of it
    git(root, "add", "dvc.lock")
    assert repair_dvc_files(root) == []
    assert (root / "dvc.lock").read_text() == theirs


def _commit_whole(root: Path) -> None:
    git(root, "init", "--quiet")
    (root / "dvc.lock").write_text(WHOLE)
    git(root, "add", "dvc.lock")
    git(root, "commit", "--quiet", "--message", "results")


@pytest.mark.parametrize("name", ["dvc.lock", "params.yaml", "dvc.yaml"])
def test_a_conflict_of_a_merge_is_refused_and_left_as_it_is(
    root: Path, monkeypatch: pytest.MonkeyPatch, train_resnet: Callable[..., Result], name: str
) -> None:
    path = root / name
    (root / "dvc.yaml").write_text("stages: {}\n")
    git(root, "init", "--quiet", "--initial-branch", "main")
    for branch, digest in (("main", "0"), ("theirs", "1"), ("main", "2")):
        git(root, "checkout", "--quiet", *([] if branch == "main" and digest == "2" else ["-B"]), branch)
        path.write_text(LOCK.replace("0123", f"{digest}123"))
        git(root, "add", name)
        git(root, "commit", "--quiet", "--message", digest)
    with pytest.raises(subprocess.CalledProcessError):
        git(root, "merge", "theirs")
    conflict = path.read_text()
    assert ">>>>>>> theirs" in conflict
    assert repair_dvc_files(root) == []  # a run in a checkout goes on: it does not read this file
    monkeypatch.chdir(root)
    for command in ("repair", "check"):
        result = train_resnet(command)
        assert result.exit_code == 1
        assert f"{name} has the marks of a merge conflict" in result.stderr
        assert f"`git add {name}` and `git merge --continue`" in result.stderr
    assert path.read_text() == conflict
    assert git(root, "status", "--porcelain", name) == f"UU {name}\n"
    git(root, "checkout", "--theirs", name)  # as the message says
    git(root, "add", name)
    repair.refuse_conflicts(root)


def test_the_site_cache_is_a_private_folder(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DVC_SITE_CACHE_DIR")
    git(root, "init", "--quiet")
    folder = root / ".dvc/tmp/site-cache"
    assert repair_dvc_files(root) == [
        f"DVC now keeps its site cache in {folder}, where no other user can write; there is nothing for you to do."
    ]
    assert folder.stat().st_mode & 0o777 == 0o700
    shown = subprocess.run(
        [sys.executable, "-m", "dvc", "config", "core.site_cache_dir"], cwd=root, capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == str(folder)
    assert repair_dvc_files(root) == []


def test_a_project_whose_path_is_not_ascii_has_its_site_cache_at_home(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DVC_SITE_CACHE_DIR")
    monkeypatch.setenv("HOME", str(root / "home"))
    project = root / "prüf ung"
    (project / ".dvc" / "tmp").mkdir(parents=True)
    (project / ".dvc" / "config").touch()
    git(project, "init", "--quiet")
    assert len(repair_dvc_files(project)) == 1
    assert (root / "home/.cache/train-resnet/site-cache").stat().st_mode & 0o777 == 0o700
    assert repair_dvc_files(project) == []


def test_remotes_are_verified_unless_the_user_chose_otherwise(root: Path) -> None:
    git(root, "init", "--quiet")
    dvc = [sys.executable, "-m", "dvc", "remote"]
    for arguments in (["add", "storage", "/nowhere"], ["add", "trusted", "/no"], ["modify", "trusted", "verify", "false"]):
        subprocess.run([*dvc, *arguments], cwd=root, check=True, capture_output=True)
    subprocess.run([*dvc, "add", "--local", "own", "/nowhere"], cwd=root, check=True, capture_output=True)
    assert len(repair_dvc_files(root)) == 2
    assert (root / ".dvc/config").read_text().count("verify = true") == 1
    assert (root / ".dvc/config.local").read_text().count("verify = true") == 1
    assert repair_dvc_files(root) == []
    for name in (["storage"], ["--local", "own"]):  # no setting is left behind that would break DVC
        subprocess.run([*dvc, "remove", *name], cwd=root, check=True, capture_output=True)
    assert subprocess.run([*dvc, "list"], cwd=root, check=True, capture_output=True, text=True).stdout.count("nowhere") == 0
