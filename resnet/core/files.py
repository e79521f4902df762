"""Files and folders that are there whole or not at all."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resnet.core.errors import UserError

# EFBIG is a limit on the size of a file (`ulimit -f`), EDQUOT a quota: to the user all three are a full disk.
_FULL = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}


@contextmanager
def replacing(path: Path, least: int = 0) -> Iterator[Path]:
    """Yields a path to write a file or a folder to, which takes the place of `path` when the block ends without an error.

    What is written is synced to the disk before it is renamed. After an error, or a kill, the old `path` is as it was.

    Args:
        path: of the file or folder.
        least: bytes that it will have at least, where that is known; without so much room nothing is begun.

    Raises:
        UserError: the disk is full.
    """
    partial = path.with_name(f".partial-{path.name}")
    made = [folder for folder in path.parents if not folder.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove(partial)  # what a killed run left
        if _old(path).exists() and not path.exists():
            _old(path).replace(path)  # it was killed between the two steps of _swap
        if least > shutil.disk_usage(path.parent).free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        yield partial
        _sync(partial)
        _swap(partial, path)
        for folder in (path.parent, *(new.parent for new in made)):
            _sync_entry(folder)
    except BaseException as error:
        written = _size(partial)
        remove(partial)
        if isinstance(error, OSError) and error.errno in _FULL:
            raise _full(path, error, max(least, written + 1)) from error
        raise


def _full(path: Path, error: OSError, needed: int) -> UserError:
    free = shutil.disk_usage(next(parent for parent in path.absolute().parents if parent.is_dir())).free
    return UserError(
        f"{path} could not be written because the disk is full or a limit on file sizes was reached "
        f"({os.strerror(error.errno or 0)}): it needs at least {needed:,} bytes, and {free:,} are free; "
        "nothing half-written was left: free some space and run again."
    )


def _size(path: Path) -> int:
    """Bytes of a file, or of all files of a folder."""
    if path.is_dir():
        return sum(_size(child) for child in path.iterdir())
    return path.stat().st_size if path.exists() else 0


def remove(path: Path) -> None:
    """Removes a file or a folder with all that is in it, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _swap(new: Path, path: Path) -> None:
    """A file is replaced in one step; a folder in two, since no rename puts a folder in the place of a full one."""
    if not path.is_dir():
        new.replace(path)
        return
    old = _old(path)
    remove(old)
    path.replace(old)
    try:
        new.replace(path)
    except BaseException:
        old.replace(path)
        raise
    remove(old)


def _old(path: Path) -> Path:
    return path.with_name(f".old-{path.name}")


def _sync(path: Path) -> None:
    for child in path.iterdir() if path.is_dir() else ():
        _sync(child)
    _sync_entry(path)


def _sync_entry(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
