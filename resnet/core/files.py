"""Atomic writes of files and folders: after an error or a kill they are either complete or unchanged."""

import errno
import glob
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path

from resnet.core import disk
from resnet.core.errors import UserError
from resnet.core.words import counted

# EFBIG is a limit on the size of a file (`ulimit -f`), EDQUOT a quota. They are reported like a full disk.
_FULL = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}
_LONGEST_SHOWN = 200  # characters of a path
_SECONDS_OF_A_LEFTOVER = 86_400  # earlier versions named it without a process; nothing is written so long without a change


@contextmanager
def replacing(path: Path, least: int = 0) -> Iterator[Path]:
    """Yields a temporary path for a file or a folder, which replaces `path` when the block ends without an error.

    The new content is synced to the disk before it is renamed. After an error or a kill, the old `path` is unchanged.

    Args:
        path: of the file or folder.
        least: the least number of bytes that it will have, if known. Without this much free space nothing is written.

    Raises:
        UserError: nothing can be written there, the disk is full, a file would replace a folder, or the path is a device or the
            like.
    """
    # Its own name: two processes may write one path, and each must rename what it has written itself.
    partial = path.with_name(f".partial-{disk.process()}-{path.name}")
    made = _prepare(path, partial, least)
    try:
        yield partial
        _sync(partial)
        _swap(partial, path)
        for folder in (path.parent, *(new.parent for new in made)):
            disk.sync(folder)
    except BaseException as error:
        written = _size(partial)
        remove(partial)
        if isinstance(error, OSError) and error.errno in _FULL:
            raise _full(path, error, max(least, written + 1)) from error
        raise


def _prepare(path: Path, partial: Path, least: int) -> list[Path]:
    """Makes the folder of a path that is to be written, and returns the folders that it made.

    Raises:
        UserError: nothing can be written there, the disk is full, or the path is a device or the like.
    """
    try:
        if not _replaceable(path):
            raise UserError(f"{path} is no regular file, and writing there would replace it: name another path.")
        made = list(takewhile(lambda folder: not folder.is_dir(), path.parents))
        for folder in made:
            if folder.exists():
                raise UserError(f"{folder} is no folder, but {path} is to be written there: name another path.")
        path.parent.mkdir(parents=True, exist_ok=True)
        _tidy(path, partial)
        partial.touch()  # fails here if nothing can be written, not after an hour of work
        partial.unlink()
        if least > disk.free(path.parent):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        if error.errno in _FULL:
            raise _full(path, error, max(least, 1)) from error
        raise UserError(
            f"{_shortened(path)} cannot be written ({error.strerror or error}); expected a path in a folder that exists or can "
            "be made, and that you may write to: name another path."
        ) from error
    return made


def _replaceable(path: Path) -> bool:
    """Whether a path is a regular file, a folder or nothing."""
    try:
        mode = path.stat().st_mode  # one question: between two, another process may replace it
    except (FileNotFoundError, NotADirectoryError):
        return True
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)


def _tidy(path: Path, partial: Path) -> None:
    """Removes what killed processes left of a path, or this one, and undoes half a `_swap`."""
    if not (_leftovers(path, partial) or _half_swapped(path)):
        return
    with disk.alone(path.parent):  # otherwise the process that swaps may be alive, or two may remove one folder
        for left in _leftovers(path, partial):
            remove(left)
        if _half_swapped(path):
            _old(path).replace(path)


def _leftovers(path: Path, partial: Path) -> list[Path]:
    found = [*path.parent.glob(f".partial-*-{glob.escape(path.name)}"), path.with_name(f".partial-{path.name}")]
    return [left for left in found if left == partial or _is_left(left)]


def _is_left(partial: Path) -> bool:
    """Whether nobody writes a temporary path any more."""
    number = partial.name.split("-", 2)[1]
    try:
        changed = partial.stat().st_mtime
    except FileNotFoundError:
        return False
    if partial.name.count("-") > 1 and number.isdecimal():
        return not disk.is_running(int(number))
    return disk.now() - changed > _SECONDS_OF_A_LEFTOVER


def _half_swapped(path: Path) -> bool:
    """Whether a process is, or was killed, between the two steps of `_swap`."""
    return _old(path).exists() and not path.exists()


def _shortened(path: Path) -> str:
    name = str(path)
    return name if len(name) <= _LONGEST_SHOWN else f"{name[:_LONGEST_SHOWN]}..."


def _full(path: Path, error: OSError, needed: int) -> UserError:
    free = disk.free(next(parent for parent in path.absolute().parents if parent.is_dir()))
    return UserError(
        f"{path} could not be written because the disk is full or a limit on file sizes was reached "
        f"({os.strerror(error.errno or 0)}): it needs at least {counted(needed, 'byte')}, and {free:,} are free; "
        "no partial file was left: free some space and run again."
    )


def _size(path: Path) -> int:
    """Bytes of a file, or of all files of a folder."""
    if path.is_dir():
        return sum(_size(child) for child in path.iterdir())
    return path.stat().st_size if path.exists() else 0


def remove(path: Path) -> None:
    """Removes a file, or a folder with its content, if it exists."""
    if path.is_dir() and not path.is_symlink():
        disk.remove_tree(path)
    else:
        path.unlink(missing_ok=True)


def _swap(new: Path, path: Path) -> None:
    """Replaces a file in one step, and a folder in two: rename(2) cannot replace a folder that is not empty.

    Raises:
        UserError: a file would replace a folder, which would delete everything in it.
    """
    if new.is_dir():
        with disk.alone(path.parent):  # between the two steps there is no folder, and another process would miss it
            _swap_folder(new, path)
    elif path.is_dir():
        raise UserError(f"{path} is a folder, but a file is to be written there: name another path.")
    else:
        new.replace(path)


def _swap_folder(new: Path, path: Path) -> None:
    old = _old(path)
    if not path.is_dir():
        new.replace(path)
        return
    remove(old)
    path.replace(old)
    try:
        new.replace(path)
    except BaseException:
        old.replace(path)
        raise
    disk.sync(path.parent)  # otherwise a power cut could undo the renames, but not all of the removal
    remove(old)


def _old(path: Path) -> Path:
    return path.with_name(f".old-{path.name}")


def _sync(path: Path) -> None:
    for child in path.iterdir() if path.is_dir() else ():
        _sync(child)
    disk.sync(path)
