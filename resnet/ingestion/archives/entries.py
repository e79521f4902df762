"""Limits on what an archive may contain: names, sizes, and the total that it unpacks to.

Images hardly compress. An archive that unpacks to many times its size, or that has very many nearly empty entries, is a
decompression bomb and is refused as a whole, as soon as that is known.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from resnet.core.errors import UserError
from resnet.images.outcomes import BadFile, Reason, Rejected, shown

MAX_ENTRIES = 5_000_000

# JPEG, PNG and WebP hardly shrink, a blank BMP does. Deflate reaches 1,032 (zlib's technical notes); bzip2 and xz reach more.
_MAX_RATIO = 200
_ALWAYS_FINE_BYTES = 64 << 20  # any archive may unpack to this: a few flat images are not a bomb

# The smallest PNG has 67 bytes. The mean is checked from 50,000 entries on, since an archive may list its folders first.
_MIN_MEAN_BYTES = 32
_MIN_MEAN_ENTRIES = 50_000

# Limits of Linux: NAME_MAX and PATH_MAX.
_MAX_PART_BYTES = 255
_MAX_NAME_BYTES = 4096

_DRIVE = re.compile(r"[A-Za-z]:")
_SURROGATE = re.compile("[\ud800-\udfff]")  # from `surrogateescape`, for bytes that are not UTF-8


@dataclass(frozen=True)
class Member:
    """A regular file in an archive.

    Attributes:
        name: relative POSIX path in valid Unicode, without parts that are empty, `.` or `..`; unique within the archive.
        read: returns the unpacked bytes; raises `BadFile`. Call it once, in any thread, even after the end of the archive.
    """

    name: str
    read: Callable[[], bytes]


@dataclass(frozen=True)
class Folder:
    """A folder that has an entry of its own in an archive. It may be empty.

    Attributes:
        name: as in `Member`.
    """

    name: str


Item = Member | Folder | Rejected


class Names:
    """The names that an archive has used so far.

    For each name it keeps 12 bytes of a hash, which take about 90 bytes of memory. The probability that two of a million
    different names share a hash is below 1e-17.
    """

    def __init__(self) -> None:
        self._files: set[bytes] = set()
        self._folders: set[bytes] = set()

    def file(self, name: str) -> str:
        """The normalised name of a file.

        Raises:
            BadFile: the name is not usable, or another file of the archive has it.
        """
        normalised = usable_name(name)
        if not _add(self._files, normalised):
            raise BadFile(Reason.NAME_NOT_USABLE, "another file of the archive has the same name; the first one is used")
        return normalised

    def folder(self, name: str) -> Folder | None:
        """The folder if its name is new; `None` if it is known, or is the top (`./`).

        Raises:
            BadFile: its name is not usable.
        """
        if name in {".", "./"}:
            return None
        normalised = usable_name(name)
        return Folder(normalised) if _add(self._folders, normalised) else None


def _add(seen: set[bytes], name: str) -> bool:
    digest = blake2b(name.encode(), digest_size=12).digest()
    if digest in seen:
        return False
    seen.add(digest)
    return True


def usable_name(name: str) -> str:
    """The name of a member as a relative POSIX path.

    Args:
        name: the name in the archive; bytes that are not UTF-8 are surrogates (`surrogateescape`).

    Raises:
        BadFile: the name is not Unicode, leads out of the archive on POSIX or on Windows, is empty, or is longer than file
            systems allow.
    """
    parts = [part for part in name.split("/") if part not in {"", "."}]
    found = _not_usable(name, parts)
    if found:
        raise BadFile(Reason.NAME_NOT_USABLE, found)
    return "/".join(parts)


def _not_usable(name: str, parts: list[str]) -> str:
    """What is wrong with a name; empty if it is usable."""
    lengths = [len(part.encode("utf-8", "surrogateescape")) for part in parts]
    top = parts[0] if parts else ""
    rules = (
        ("\0" in name, "its name contains a NUL character"),
        (_SURROGATE.search(name), "its name is not UTF-8"),
        (name.startswith("/") or top.startswith("\\") or _DRIVE.match(top), "its name is an absolute path"),
        (".." in name.replace("\\", "/").split("/"), "its name leads out of the archive by '..'"),
        (not parts, "it has no name"),
        (max(lengths, default=0) > _MAX_PART_BYTES, f"a part of its name is longer than {_MAX_PART_BYTES} bytes"),
        (sum(lengths) + len(lengths) > _MAX_NAME_BYTES, f"its name is longer than {_MAX_NAME_BYTES} bytes"),
    )
    return next((found for broken, found in rules if broken), "")


def rejected(name: str, bad: BadFile) -> Rejected:
    """A member that is left out, under its name in the archive."""
    return Rejected(shown(name), bad.reason, bad.detail)


class Allowance:
    """Stops an archive that has too many entries or unpacks to too much."""

    def __init__(self, path: Path) -> None:
        self.entries = 0
        self._path = path
        self._bytes = 0

    def take(self, size: int) -> None:
        """Counts an entry of `size` unpacked bytes.

        Raises:
            UserError: there are too many entries, or they are nearly empty.
        """
        self.entries += 1
        self._bytes += size
        if self.entries > MAX_ENTRIES:
            raise too_many(self._path, self.entries)
        if self.entries >= _MIN_MEAN_ENTRIES and self._bytes < _MIN_MEAN_BYTES * self.entries:
            mean = self._bytes / self.entries
            raise bomb(self._path, f"its first {self.entries:,} entries hold {mean:.1f} bytes on average, less than any image")

    def check_ratio(self, packed: int, unpacked: int, name: str = "") -> None:
        """Compares two sizes in bytes, of the archive or of one of its files.

        Raises:
            UserError: the sizes are those of a decompression bomb.
        """
        if unpacked > _ALWAYS_FINE_BYTES and unpacked > _MAX_RATIO * packed:
            what = repr(shown(name)) if name else "it"
            found = f"{what} unpacks from {packed:,} to {unpacked:,} bytes or more, over {_MAX_RATIO} times its size"
            raise bomb(self._path, found)


def too_many(path: Path, entries: int) -> UserError:
    """The error for an archive with more than `MAX_ENTRIES`."""
    return UserError(
        f"{path} has {entries:,} entries or more, but an archive may have {MAX_ENTRIES:,} at most: divide it, or unpack it and "
        "use the folder as the source."
    )


def bomb(path: Path, found: str) -> UserError:
    """The error for an archive that unpacks to too much."""
    return UserError(
        f"{path} looks like a decompression bomb: {found}; if you trust it, unpack it and use the folder as the source."
    )


def damaged(path: Path, found: str) -> UserError:
    """The error for an archive that cannot be read to its end."""
    return UserError(f"{path} cannot be read as an archive: {found}; create it or download it again.")
