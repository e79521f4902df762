"""The folders of training runs: their locks, how long they are kept, and the command that lists them."""

import fcntl
import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
from filelock import Timeout

from resnet.core import disk
from resnet.core.errors import UserError
from resnet.training.checkpoint_files import write_checkpoint
from resnet.training.state import Snapshot
from tasks.training import runs
from tasks.training.runs import Run, begun, claimed, held_by, hold, list_runs, prune, remove_run, who
from tests.imports import ROOT

HOLDS = """
import sys, time
from collections.abc import Callable
from pathlib import Path
from tasks.training.runs import begun
with begun(Path(sys.argv[1]), {"train.epochs": 3}) as run:
    print(run.folder.name, flush=True)
    time.sleep(60)
"""


def make(folder: Path, *, epochs: int, at: int, number: int = 0, days: float = 0) -> Run:
    """A run with a checkpoint in an epoch, last used some days ago."""
    with begun(folder, {"train.epochs": epochs, "number": number}) as run:
        write_checkpoint(run.folder, Snapshot({"a": np.zeros(1, np.float32)}, {"epoch": at, "step": 0}))
    then = time.time() - days * 86400
    for path in run.folder.iterdir():
        os.utime(path, (then, then))
    return run


def test_one_process_at_a_time_can_use_a_run_and_its_death_releases_the_lock(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDS, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    name = holder.stdout.readline().strip()
    run = Run(tmp_path / name, {})
    folder = re.escape(str(ROOT))
    expected = rf"^process {holder.pid} on \S+ in {folder} \(.*python.* -c .* is training this very run; wait until it"
    with pytest.raises(UserError, match=re.compile(expected, re.DOTALL)), begun(tmp_path, {"train.epochs": 3}):
        raise AssertionError("not reached")
    assert str(who(run)).startswith(f"process {holder.pid} on ")
    with begun(tmp_path, {"train.epochs": 4}):
        pass
    holder.kill()
    holder.communicate()
    with begun(tmp_path, {"train.epochs": 3}) as again:
        assert again.folder == run.folder
    assert who(run) is None


def test_processes_that_ask_who_holds_a_run_do_not_take_each_other_for_the_holder(tmp_path: Path) -> None:
    run = make(tmp_path, epochs=3, at=2)
    with (run.folder / "lock").open("rb") as another:
        fcntl.flock(another, fcntl.LOCK_SH)
        assert who(run) is None
    assert who(Run(tmp_path / "gone", {})) is None
    assert not (tmp_path / "gone").exists()


def test_a_folder_that_cannot_hold_checkpoints_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UserError, match=r"must be a folder for checkpoints, but it cannot be written \("),
        claimed(tmp_path / "file"),
    ):
        raise AssertionError("not reached")


def test_a_folder_that_is_removed_while_its_lock_is_taken_is_a_user_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, real = make(tmp_path, epochs=3, at=2), fcntl.flock

    def remove_first(descriptor: int, operation: int) -> None:
        shutil.rmtree(run.folder, ignore_errors=True)
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", remove_first)
    with pytest.raises(UserError, match="have just been removed by another process; run"), claimed(run.folder):
        raise AssertionError("not reached")


def test_incomplete_files_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    run = make(tmp_path, epochs=3, at=2)
    (run.folder / ".partial-E00002").write_bytes(b"half")
    with begun(tmp_path, run.facts):
        assert not list(run.folder.glob(".*"))
        assert run.newest is not None


def test_three_finished_runs_are_kept_and_the_unfinished_for_two_weeks(tmp_path: Path) -> None:
    finished = [make(tmp_path, epochs=3, at=4, number=number, days=number) for number in range(5)]
    recent = make(tmp_path, epochs=3, at=3, number=5, days=13)
    forgotten = make(tmp_path, epochs=3, at=3, number=6, days=15)
    assert [run.finished for run in (*finished, recent, forgotten)] == [True] * 5 + [False] * 2
    prune(tmp_path)
    assert {run.folder for run in list_runs(tmp_path)} == {run.folder for run in (*finished[:3], recent)}


def test_the_folder_of_a_new_run_is_on_the_disk_before_its_facts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / ".dvc" / "tmp" / "checkpoints"
    synced: list[str] = []
    sync = disk.sync

    def note(path: Path) -> None:
        synced.append(path.name)
        sync(path)

    monkeypatch.setattr(disk, "sync", note)
    with begun(home, {"train.epochs": 3}) as run:
        assert synced[:4] == ["checkpoints", "tmp", ".dvc", tmp_path.name]
        assert synced[4:] == [f".partial-{os.getpid()}-facts.json", run.folder.name]
    with begun(home, {"train.epochs": 3}):
        assert len(synced) == 6  # nothing is new


def test_the_lock_of_a_run_is_removed_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make(tmp_path, epochs=3, at=2)
    left: list[list[str]] = []
    unlink = Path.unlink

    def note(path: Path, missing_ok: bool = False) -> None:
        left.append(sorted(other.name[:4] for other in run.folder.iterdir() if other != path))
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", note)
    remove_run(run)
    assert [names for names in left if "lock" not in names] == [[]]
    assert not run.folder.exists()


def test_facts_that_do_not_belong_to_the_folder_are_not_believed(tmp_path: Path) -> None:
    run = make(tmp_path, epochs=3, at=3)
    facts = run.folder / "facts.json"
    facts.write_text(facts.read_text().replace(": 3", ": 2"))  # a flipped bit: '3' is 0x33 and '2' is 0x32
    assert [(one.facts, one.finished) for one in list_runs(tmp_path)] == [({}, False)]


def test_the_run_that_has_just_finished_stays_if_the_clock_was_set_back(tmp_path: Path) -> None:
    for number in range(4):
        make(tmp_path, epochs=3, at=4, number=number)
    ours = make(tmp_path, epochs=3, at=4, number=4, days=400)
    prune(tmp_path, ours.folder)
    assert ours.newest is not None
    assert len(list_runs(tmp_path)) == 3
    prune(tmp_path)
    assert len(list_runs(tmp_path)) == 3


def test_a_run_that_was_used_since_it_was_listed_is_not_pruned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make(tmp_path, epochs=3, at=2, days=15)
    claim = runs.claimed

    def use_first(folder: Path) -> AbstractContextManager[None]:
        with claim(folder):
            write_checkpoint(folder, Snapshot({"a": np.zeros(1, np.float32)}, {"epoch": 2, "step": 1}))
        return claim(folder)

    monkeypatch.setattr(runs, "claimed", use_first)
    prune(tmp_path)
    assert run.newest is not None
    assert run.newest.step == 1


def test_a_run_that_is_removed_while_its_holder_is_read_is_a_user_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make(tmp_path, epochs=3, at=2)
    monkeypatch.setattr(disk, "lock", lambda path, **_: _Held(run.folder))
    with pytest.raises(UserError, match="^another process is training this very run"), claimed(run.folder):
        raise AssertionError("not reached")


class _Held:
    """A lock that another process holds, which then removes the run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def acquire(self) -> None:
        shutil.rmtree(self._folder)
        raise Timeout(str(self._folder))


def test_a_run_in_use_is_not_pruned(tmp_path: Path) -> None:
    forgotten = make(tmp_path, epochs=3, at=3, days=15)
    with begun(tmp_path, forgotten.facts):
        then = time.time() - 15 * 86400
        for path in forgotten.folder.iterdir():
            os.utime(path, (then, then))
        prune(tmp_path)
        assert forgotten.newest is not None


def test_a_hold_keeps_a_run_until_it_ends(tmp_path: Path) -> None:
    forgotten, finished = make(tmp_path, epochs=3, at=3, days=15), make(tmp_path, epochs=3, at=4, number=9, days=4)
    for number in (1, 2, 3):
        make(tmp_path, epochs=3, at=4, number=number, days=number - 1)
    with hold(finished):
        with hold(forgotten):
            with hold(forgotten):  # two searches may need the same run
                pass
            age(forgotten, 15)
            age(finished, 4)
            prune(tmp_path)
            assert len(list_runs(tmp_path)) == 5
            assert forgotten.newest is not None
            assert str(held_by(forgotten)).startswith(f"process {os.getpid()} on ")
            with pytest.raises(
                UserError, match=rf"^process {os.getpid()} on .* holds the run {forgotten.folder.name}, because"
            ):
                remove_run(forgotten)
            with begun(tmp_path, forgotten.facts):  # it can go on
                pass
        age(forgotten, 15)
        assert held_by(forgotten) is None
        prune(tmp_path)
        assert not forgotten.folder.exists()
        assert finished.newest is not None
    age(finished, 4)
    prune(tmp_path)
    assert not finished.folder.exists()


def age(run: Run, days: float) -> None:
    then = time.time() - days * 86400
    for path in run.folder.iterdir():
        os.utime(path, (then, then))


def test_a_hold_ends_with_the_process_that_took_it(tmp_path: Path) -> None:
    run = make(tmp_path, epochs=3, at=3)
    (run.folder / "hold-of-a-killed-process").write_text("process 1 on x (search)")
    assert held_by(run) is None
    remove_run(run)
    assert not run.folder.exists()
    with pytest.raises(FileNotFoundError), hold(run):
        raise AssertionError("not reached")


@pytest.mark.parametrize("facts", [None, "", "[]", "{"])
def test_a_run_whose_facts_cannot_be_read_is_not_finished_and_is_pruned_in_the_end(tmp_path: Path, facts: str | None) -> None:
    for days in (13, 15):
        folder = make(tmp_path, epochs=3, at=4, number=days).folder
        (folder / "facts.json").unlink()
        if facts is not None:
            (folder / "facts.json").write_text(facts)
        then = time.time() - days * 86400
        for path in folder.iterdir():
            os.utime(path, (then, then))
    assert [(run.facts, run.finished) for run in list_runs(tmp_path)] == [({}, False)] * 2
    prune(tmp_path)
    assert len(list_runs(tmp_path)) == 1


def test_a_housekeeping_that_was_killed_is_no_use_of_a_run(tmp_path: Path) -> None:
    with begun(tmp_path, {"number": 1}) as run:
        pass
    for path in run.folder.iterdir():
        os.utime(path, (1000, 1000))
    with claimed(run.folder):  # as `prune` does before it removes the run
        pass
    assert run.used == 1000
    with begun(tmp_path, {"number": 1}):
        assert run.used > 1e9
