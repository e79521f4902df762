"""Finds image files on the command line: files, folders with everything below them, archives, and patterns.

A pattern is a name such as `photos/**/*.jpg`. The name `-` is one image on standard input.
"""

import glob
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from resnet.core.errors import UserError
from resnet.images.outcomes import MAX_FILE_BYTES, BadFile, Reason, Rejected, check_size, shown
from resnet.ingestion.archives.reading import Member, is_archive, read_archive
from resnet.ingestion.sources.file_names import is_ignored
from resnet.ingestion.sources.folder import Entry, read_file, walk

STANDARD_INPUT = "-"
T = TypeVar("T")

_NOTHING = "{} has no files that can be images"


@dataclass(frozen=True)
class ImageFile:
    """A file that may be an image.

    Attributes:
        path: of the file; within an archive, the path of the archive and the name in it.
        read: returns the bytes of the file; raises `BadFile`. Call it once, in any thread.
    """

    path: str
    read: Callable[[], bytes]


@dataclass(frozen=True)
class Archive:
    """A zip or tar archive. `open_archives` reads it, because its files do not fit into memory together."""

    path: Path


def find_images(names: Iterable[str]) -> Iterator[ImageFile | Archive | Rejected]:
    """The files for some names, each once, in the order of the names. Files of a folder are sorted by name.

    Files in folders and matches of patterns are left out if they are not meant to be images (`.DS_Store`, a README).
    Files that are named directly are always included. An archive in a folder is not opened, as in `ingest`.

    Yields:
        Each file and each archive, or a `Rejected` for a name that matches nothing or cannot be read.
    """
    seen: set[Path | str] = set()
    for name in names:
        for found in _find(name):
            if isinstance(found, Rejected):
                yield found
            elif found not in seen:
                seen.add(found)
                yield _opened(found, in_folder=Path(name).is_dir())


def _opened(found: Path | str, *, in_folder: bool) -> ImageFile | Archive:
    if isinstance(found, str):
        return ImageFile(found, _read_standard_input)
    if not in_folder and _is_archive(found):
        return Archive(found)
    return ImageFile(str(found), partial(read_file, found))


def _is_archive(path: Path) -> bool:
    try:
        return is_archive(path)
    except UserError:
        return False  # who reads the file says why it cannot be read


def _find(name: str) -> Iterator[Path | str | Rejected]:
    path = Path(name)
    try:
        is_folder, is_there = path.is_dir(), path.exists() or path.is_symlink()
    except OSError as error:  # such as a name that is too long, or a folder without permission
        yield Rejected(shown(name), Reason.UNREADABLE, (error.strerror or str(error)).lower())
        return
    if not name:  # Path("") is the current folder
        yield Rejected("''", Reason.UNREADABLE, "the path is empty, as that of a variable that is not set")
    elif name == STANDARD_INPUT:
        yield name
    elif is_folder:
        yield from _or_rejected(_below(path), shown(name), _NOTHING.format("the folder"))
    elif is_there:
        yield path
    elif glob.has_magic(name):
        yield from _or_rejected(_matching(name), shown(name), "no file that can be an image matches it")
    else:
        yield Rejected(shown(name), Reason.UNREADABLE, "there is no such file or folder")


def _or_rejected(found: Iterator[T], name: str, otherwise: str) -> Iterator[T | Rejected]:
    """What was found, or a `Rejected` for the name if that is nothing."""
    empty = True
    for one in found:
        empty = False
        yield one
    if empty:
        yield Rejected(name, Reason.EMPTY, otherwise)


def _below(folder: Path) -> Iterator[Path | Rejected]:
    for entry in walk(folder):
        if isinstance(entry, Rejected):
            yield Rejected(shown(str(folder / entry.path)), entry.reason, entry.detail)
        elif isinstance(entry, Entry) and not entry.is_folder and not is_ignored(entry.path):
            yield folder / entry.path


def _matching(pattern: str) -> Iterator[Path]:
    for match in sorted(glob.glob(pattern, recursive=True)):  # noqa: PTH207 (relative and absolute ones)
        path = Path(match)
        if path.is_file() and not is_ignored(path.name):
            yield path


def _read_standard_input() -> bytes:
    if sys.stdin is None or sys.stdin.isatty():
        raise BadFile(Reason.UNREADABLE, "no file is redirected to standard input")
    content = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
    check_size(len(content))
    return content


def open_archives(found: Iterable[ImageFile | Archive | Rejected]) -> Iterator[ImageFile | Rejected]:
    """The found files, with the files of an archive in its place.

    Yields:
        What was given, and for each archive its files. A `Rejected` stands for what cannot be used in it, or for an archive
        that is damaged, is a decompression bomb or has no files.
    """
    for one in found:
        if isinstance(one, Archive):
            yield from _or_rejected(_members(one.path), shown(str(one.path)), _NOTHING.format("the archive"))
        else:
            yield one


def _members(path: Path) -> Iterator[ImageFile | Rejected]:
    try:
        for entry in read_archive(path):
            if isinstance(entry, Member) and not is_ignored(entry.name):
                yield ImageFile(f"{path}/{entry.name}", entry.read)
            elif isinstance(entry, Rejected):
                yield Rejected(shown(f"{path}/{entry.path}"), entry.reason, entry.detail)
    except UserError as error:
        yield Rejected(shown(str(path)), Reason.UNREADABLE, str(error).rstrip("."))
