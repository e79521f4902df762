"""Folders of class folders as sources. The source is never changed."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from resnet.images.outcomes import MAX_FILE_BYTES, BadFile, Outcome, Reason, Rejected, check_size, is_text, shown
from resnet.ingestion.sources.layout import Layout, find_layout
from resnet.ingestion.sources.source import Source

_KINDS = {stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


@dataclass(frozen=True)
class Entry:
    """A regular file or a folder, with its path relative to the source, separated by `/`."""

    path: str
    is_folder: bool


def folder_source(folder: Path, *, class_level: int | None = None) -> Source:
    """The images of a folder, with classes and splits as in `resnet.ingestion.sources.layout`.

    Links to files, and to folders outside the source, are followed. A link to a folder of the source itself is rejected,
    because its files are already counted in that folder.

    Args:
        folder: the source.
        class_level: the level of the folders that name the classes, from 1; None to find it.

    Raises:
        UserError: it is not plain which folders are the classes.
    """
    layout = find_layout(((entry.path, entry.is_folder) for entry in walk(folder) if isinstance(entry, Entry)), class_level)
    return Source(layout.classes, partial(_files, folder, layout), layout.notes, layout.splits)


def _files(folder: Path, layout: Layout) -> Iterator[Outcome]:
    for entry in walk(folder):
        if isinstance(entry, Rejected):
            yield entry
        elif not entry.is_folder:
            yield layout.outcome(entry.path, partial(read_file, folder / entry.path))


def walk(root: Path) -> Iterator[Entry | Rejected]:
    """All files and folders below a folder, each folder sorted by the bytes of the names. Loops of links are not followed.

    Yields:
        An `Entry` for each file and folder, or a `Rejected` for what cannot be used, with paths relative to `root`.
    """
    waiting = [""]
    source = os.path.realpath(root)
    linked: set[tuple[int, int]] = set()
    while waiting:
        path = waiting.pop()
        try:
            with os.scandir(root / path) as found:
                children = sorted(found, key=lambda child: os.fsencode(child.name))
        except OSError as error:
            yield Rejected(shown(path), Reason.UNREADABLE, f"a folder that cannot be read ({error.strerror})")
            continue
        folders = []
        for child in children:
            entry = _examine(f"{path}/{child.name}" if path else child.name, child, source, linked)
            if isinstance(entry, Entry) and entry.is_folder:
                folders.append(entry.path)
                if not is_text(entry.path):
                    continue  # its files are rejected one by one
            yield entry
        waiting.extend(reversed(folders))


def _examine(path: str, child: os.DirEntry[str], source: str, linked: set[tuple[int, int]]) -> Entry | Rejected:
    try:
        status = child.stat()
    except OSError as error:
        what = f"a link to {shown(os.readlink(child.path))}, which" if child.is_symlink() else "it"  # noqa: PTH115
        return Rejected(shown(path), Reason.UNREADABLE, f"{what} cannot be reached ({error.strerror})")
    kind = stat.S_IFMT(status.st_mode)
    if kind not in (stat.S_IFREG, stat.S_IFDIR):
        return Rejected(shown(path), Reason.UNREADABLE, f"{_KINDS.get(kind, 'a special file')}, not a regular file")
    if kind == stat.S_IFDIR and child.is_symlink():
        reason = _reason_not_to_follow(os.path.realpath(child.path), status, source, linked)
        if reason:
            return Rejected(shown(path), Reason.UNREADABLE, reason)
    if kind == stat.S_IFREG and not is_text(path):
        return Rejected(shown(path), Reason.NAME_NOT_USABLE, "a name that is not UTF-8")
    return Entry(path, is_folder=kind == stat.S_IFDIR)


def _reason_not_to_follow(target: str, status: os.stat_result, source: str, linked: set[tuple[int, int]]) -> str | None:
    """Why a link to a folder is not followed: it is part of a loop, or its files would count twice."""
    if os.path.commonpath([source, target]) in (source, target):
        return "a link to a folder of the source itself or to a parent of it"
    if (status.st_dev, status.st_ino) in linked:
        return f"a link to {shown(target)}, which another link also points to"
    linked.add((status.st_dev, status.st_ino))
    return None


def read_file(path: Path) -> bytes:
    """The bytes of a regular file.

    Raises:
        BadFile: it cannot be read, is not a regular file, or is larger than `MAX_FILE_BYTES`.
    """
    try:
        # Without O_NONBLOCK, opening a FIFO blocks until a process writes to it.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise BadFile(Reason.UNREADABLE, "not a regular file")
            check_size(status.st_size)
            content = file.read(MAX_FILE_BYTES + 1)
        check_size(len(content))  # the file may have grown since fstat
        return content
    except OSError as error:
        raise BadFile(Reason.UNREADABLE, f"it cannot be read ({error.strerror})") from error
