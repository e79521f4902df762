"""Reads zip and tar archives as sources of images. Nothing is extracted to disk.

The suffix of its name decides what kind an archive is, and the content must agree: otherwise the user is told to rename it.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from resnet.core.errors import UserError
from resnet.ingestion.archives.entries import Folder, Item, Member, damaged
from resnet.ingestion.archives.tar import read_tar
from resnet.ingestion.archives.zip import read_zip

if TYPE_CHECKING:
    from resnet.ingestion.archives.streams import Compression

__all__ = ["Folder", "Item", "Member", "has_archive_name", "is_archive", "read_archive"]

_SUFFIXES = {
    ".zip": "zip",
    ".tar": "tar",
    ".tar.gz": "gzip",
    ".tgz": "gzip",
    ".tar.bz2": "bzip2",
    ".tar.xz": "xz",
    ".txz": "xz",
}
_COMPRESSIONS: "dict[str, Compression]" = {"tar": "", "gzip": "gzip", "bzip2": "bzip2", "xz": "xz"}
_MAGIC = {b"PK\x03\x04": "zip", b"PK\x05\x06": "zip", b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz"}
_WORDS = {"zip": "zip archive", "tar": "tar archive", "gzip": "gzip file", "bzip2": "bzip2 file", "xz": "xz file"}


def has_archive_name(path: Path) -> bool:
    """Whether the name of a file is that of an archive."""
    return _kind_by_name(path) is not None


def is_archive(path: Path) -> bool:
    """Whether a file is an archive, by its name or by its content.

    Raises:
        UserError: the file cannot be read.
    """
    return path.is_file() and (_kind_by_name(path) or _kind_by_content(path)) is not None


def read_archive(path: Path, *, contents: bool | Callable[[str], bool] = True) -> Iterator[Item]:
    """Yields the contents of an archive in its order, one at a time. The same bytes always give the same items.

    A hash of each name is kept, and for a zip archive the entry of its directory. The contents of a file are in memory from
    when a `Member` of a tar archive is yielded, or a `Member` of a zip archive is read.

    Args:
        path: a file that `is_archive`.
        contents: whether the files will be read, or which ones by name. Others are skipped in a tar archive.

    Yields:
        A `Member` for each regular file, a `Folder` for each folder that has an entry, and a `Rejected` for everything that
        is left out: `NAME_NOT_USABLE`, `TOO_LARGE` (more than `MAX_FILE_BYTES`) or `UNREADABLE` (links, devices, sparse files,
        encrypted or damaged ones, and those compressed by a method that is not supported).

    Raises:
        UserError: the archive is not of the kind that its name says, truncated, damaged, or a decompression bomb.
    """
    by_name, by_content = _kind_by_name(path), _kind_by_content(path)
    if by_content and by_content != by_name:
        raise _misnamed(path, by_content)
    try:
        if by_name == "zip":
            yield from read_zip(path)
        elif by_name:
            yield from read_tar(path, _COMPRESSIONS[by_name], contents=contents)
        else:
            raise damaged(path, f"its name ends in none of {', '.join(_SUFFIXES)}")
    except OSError as error:
        raise _unreadable(path, error) from error


def _kind_by_name(path: Path) -> str | None:
    name = path.name.lower()
    return next((kind for suffix, kind in _SUFFIXES.items() if name.endswith(suffix)), None)


def _kind_by_content(path: Path) -> str | None:
    """None for anything else, including an archive behind other data and a tar archive older than POSIX."""
    try:
        with path.open("rb") as file:
            head = file.read(262)
    except OSError as error:
        raise _unreadable(path, error) from error
    if head[257:] == b"ustar":
        return "tar"
    return next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)


def _misnamed(path: Path, kind: str) -> UserError:
    suffixes = " or ".join(suffix for suffix, of in _SUFFIXES.items() if of == kind)
    is_tar = " if it is a compressed tar archive" if kind in {"gzip", "bzip2", "xz"} else ""
    return UserError(f"{path} is a {_WORDS[kind]} by its content, but its name does not end in {suffixes}: rename it{is_tar}.")


def _unreadable(path: Path, error: OSError) -> UserError:
    return UserError(f"{path} could not be read ({error.strerror or error}): check that it exists and that you may read it.")
