"""What DVC reports, as sentences. `test_why.py` asks while a process holds DVC's lock."""

import os
from pathlib import Path

import pytest
from dvc.exceptions import DvcException
from dvc.lock import FAILED_TO_LOCK_MESSAGE, LockError
from dvc.rwlock import rwlock

from commands.dvc_errors import unreadable


def test_a_run_that_goes_on_is_named_once(tmp_path: Path) -> None:
    from dvc.fs import localfs

    path, root = str(tmp_path / "history.csv"), str(tmp_path)
    with (
        rwlock(root, localfs, "dvc repro", [], [path], False),
        pytest.raises(LockError) as held,
        rwlock(root, localfs, "dvc status", [path], [], False),
    ):
        pass
    assert str(unreadable(held.value)) == f"a run is going on in this project (PID {os.getpid()}); ask again when it has ended."


def test_the_lock_of_the_whole_project_has_no_holder() -> None:
    said = str(unreadable(LockError(FAILED_TO_LOCK_MESSAGE)))
    assert said == "another command of DVC holds its lock; ask again when it has ended."


def test_other_errors_are_one_line() -> None:
    said = str(unreadable(DvcException("dvc.yaml is\n  invalid")))
    assert said == "DVC cannot read this project (dvc.yaml is invalid); `dvc status` says more."
