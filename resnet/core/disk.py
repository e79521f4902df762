"""What files need beyond `pathlib`: syncs, locks, the free space, and the clock that dates files.

Code that must survive a crash uses the disk only by the methods of a `Path` and by these functions. So the tests can replace
the disk with one in memory, which loses at a crash what was not synced; see `tests/simulated/`. Call them as `disk.sync(...)`:
a function that was imported by its name would not be replaced.
"""

import fcntl
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock

_alone = threading.local()


def sync(path: Path) -> None:
    """Writes a file to the disk, or the list of the entries of a folder, and waits until it is there: fsync(2).

    Raises:
        OSError: it could not be written. It may be lost then, and another sync need not say so again.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def free(path: Path) -> int:
    """Free bytes on the disk of an existing path."""
    return shutil.disk_usage(path).free


def remove_tree(path: Path, *, ignore_errors: bool = False) -> None:
    """Removes a folder with its content."""
    shutil.rmtree(path, ignore_errors=ignore_errors)


def lock(path: Path, **options: Any) -> FileLock:
    """A lock that the kernel releases when its process ends, even by SIGKILL; options as of `filelock.FileLock`."""
    # Without its fallback, which is a file that outlives a killed process.
    return FileLock(path, fallback_to_soft=False, **options)


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock of a file, which exists.

    Raises:
        OSError: the file cannot be read.
    """
    # By a shared lock, which filelock does not have: with exclusive ones two processes that ask at the same time would each
    # take the other for the holder.
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keeps other processes and threads that ask for it out of the block: a lock on a folder, without a file.

    The kernel releases it when its process ends. Where folders cannot be locked, as on some network disks, there is no lock.

    Raises:
        RuntimeError: this thread is in such a block already, and would wait for itself.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        status, held = os.fstat(descriptor), vars(_alone).setdefault("held", set())
        inode = (status.st_dev, status.st_ino)
        if inode in held:
            raise RuntimeError(f"{folder} is locked by this thread already")
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        held.add(inode)
        try:
            yield
        finally:
            held.remove(inode)
    finally:
        os.close(descriptor)


def process() -> int:
    """The number of this process."""
    return os.getpid()


def is_running(number: int) -> bool:
    """Whether there is a process with this number, on this machine. Threads have numbers too; they and zombies do not count."""
    try:
        status = Path("/proc", str(number), "status").read_text("utf-8", "replace")
    except OSError:
        return False
    return f"\nTgid:\t{number}\n" in status and "\nState:\tZ" not in status


def now() -> float:
    """Seconds since 1970, as in the times of files. This clock can jump."""
    return time.time()


def elapsed() -> float:
    """Seconds since some moment. This clock never jumps."""
    return time.monotonic()


def sleep(seconds: float) -> None:
    """Waits."""
    time.sleep(seconds)
