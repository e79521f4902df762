"""What files need beyond `pathlib`. What the rest of the program does with it is tried in `tests/simulated/`."""

import errno
import os
import threading
import time
from pathlib import Path

import pytest
from filelock import Timeout

from resnet.core import disk


def test_a_file_and_a_folder_are_synced_and_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda number: synced.append(str(Path(f"/proc/self/fd/{number}").readlink())))
    (tmp_path / "file").touch()
    before = len(list(Path("/proc/self/fd").iterdir()))
    disk.sync(tmp_path / "file")
    disk.sync(tmp_path)
    assert synced == [str(tmp_path / "file"), str(tmp_path)]
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_sync_that_fails_is_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output error"):
        disk.sync(tmp_path)


def test_a_lock_excludes_others_until_it_is_released(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock = disk.lock(path, timeout=0)
    lock.acquire()
    assert disk.is_locked(path)
    with pytest.raises(Timeout):
        disk.lock(path, timeout=0, is_singleton=False).acquire()
    lock.release()
    assert not disk.is_locked(path)
    with pytest.raises(FileNotFoundError):
        disk.is_locked(tmp_path / "none")


def test_processes_have_numbers() -> None:
    assert disk.process() == os.getpid()
    assert disk.is_running(os.getpid())
    assert not disk.is_running(4_194_305)  # more than proc(5) allows


def test_neither_a_thread_nor_a_zombie_is_a_running_process() -> None:
    numbers: list[int] = []
    ask, end = threading.Event(), threading.Event()

    def work() -> None:
        numbers.append(threading.get_native_id())
        ask.set()
        end.wait()

    thread = threading.Thread(target=work)
    thread.start()
    ask.wait()
    assert not disk.is_running(numbers[0])
    end.set()
    thread.join()
    child = os.posix_spawn("/bin/true", ["true"], {})
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)  # it has ended, and is a zombie until it is waited for
    assert not disk.is_running(child)
    os.waitpid(child, 0)


def test_the_clocks_are_those_of_the_system(tmp_path: Path) -> None:
    assert abs(disk.now() - time.time()) < 10
    began = disk.elapsed()
    disk.sleep(0.001)
    assert disk.elapsed() >= began + 0.001
    assert disk.free(tmp_path) > 0


def test_a_tree_is_removed(tmp_path: Path) -> None:
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    (tmp_path / "folder" / "inner" / "file").touch()
    disk.remove_tree(tmp_path / "folder")
    assert list(tmp_path.iterdir()) == []
    disk.remove_tree(tmp_path / "folder", ignore_errors=True)


def test_a_thread_does_not_wait_for_itself(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with (
        disk.alone(tmp_path),
        disk.alone(tmp_path / "other"),
        pytest.raises(RuntimeError, match="locked by this thread already"),
    ):
        disk.alone(tmp_path).__enter__()
    with disk.alone(tmp_path):  # it was released
        pass
