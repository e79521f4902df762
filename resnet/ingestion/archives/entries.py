"""What an archive may hold: which names are usable, how large a file may be, and how much an archive may unpack to.

Images are hardly compressible, so an archive that unpacks to many times its size, or has a great many entries with next to
nothing in them, was made to overwhelm whoever unpacks it. It is refused as a whole, as soon as that shows.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from resnet.core.errors import UserError
from resnet.images.outcomes import BadFile, Reason, Rejected, shown

MAX_ENTRIES = 5_000_000

# JPEG, PNG and WebP hardly shrink, a blank BMP does. Deflate reaches 1,032 (zlib's technical notes), bzip2 and xz more.
_MAX_RATIO = 200
_ALWAYS_FINE_BYTES = 64 << 20  # what any archive may unpack to: a few flat images are no bomb

# The smallest PNG has 67 bytes. Below this number an archive that lists its folders first would look as empty.
_MIN_MEAN_BYTES = 32
_MIN_MEAN_ENTRIES = 50_000

# What Linux takes: NAME_MAX and PATH_MAX.
_MAX_PART_BYTES = 255
_MAX_NAME_BYTES = 4096

_DRIVE = re.compile(r"[A-Za-z]:")
_SURROGATE = re.compile("[\ud800-\udfff]")  # what `surrogateescape` makes of bytes that are not UTF-8


@dataclass(frozen=True)
class Member:
    """A regular file in an archive.

    Attributes:
        name: relative POSIX path in valid Unicode, without parts that are empty, `.` or `..`; unique within the archive.
        read: returns the unpacked bytes; raises `BadFile`. May be called once, in any thread, also when the archive has been
            read to its end.
    """

    name: str
    read: Callable[[], bytes]


@dataclass(frozen=True)
class Folder:
    """A folder that an archive lists by itself: it may be empty.

    Attributes:
        name: as that of a `Member`.
    """

    name: str


Item = Member | Folder | Rejected


class Names:
    """The names that an archive has used so far.

    It keeps 12 bytes of a hash for each, whatever its length: about 90 bytes of memory. Two of a million different names
    share a hash with a probability under 1e-17.
    """

    def __init__(self) -> None:
        self._files: set[bytes] = set()
        self._folders: set[bytes] = set()

    def file(self, name: str) -> str:
        """The normalised name of a file.

        Raises:
            BadFile: it is not usable, or another file of the archive has it.
        """
        normalised = usable_name(name)
        if not _add(self._files, normalised):
            raise BadFile(Reason.NAME_NOT_USABLE, "another file of the archive has the same name, the first one is taken")
        return normalised

    def folder(self, name: str) -> Folder | None:
        """A folder when it is named for the first time; `None` for one that was there before, and for the top (`./`).

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
        name: as the archive has it; bytes that are not UTF-8 as surrogates (`surrogateescape`).

    Raises:
        BadFile: it is not Unicode, leads out of the archive on POSIX or on Windows, is empty, or is longer than a file system
            takes.
    """
    parts = [part for part in name.split("/") if part not in {"", "."}]
    found = _not_usable(name, parts)
    if found:
        raise BadFile(Reason.NAME_NOT_USABLE, found)
    return "/".join(parts)


def _not_usable(name: str, parts: list[str]) -> str:
    """What is wrong with a name; nothing if it is usable."""
    lengths = [len(part.encode("utf-8", "surrogateescape")) for part in parts]
    top = parts[0] if parts else ""
    rules = (
        ("\0" in name, "its name has a NUL character in it"),
        (_SURROGATE.search(name), "its name is not UTF-8"),
        (name.startswith("/") or top.startswith("\\") or _DRIVE.match(top), "its name is an absolute path"),
        (".." in name.replace("\\", "/").split("/"), "its name leads out of the archive by '..'"),
        (not parts, "it has no name"),
        (max(lengths, default=0) > _MAX_PART_BYTES, f"a part of its name is longer than {_MAX_PART_BYTES} bytes"),
        (sum(lengths) + len(lengths) > _MAX_NAME_BYTES, f"its name is longer than {_MAX_NAME_BYTES} bytes"),
    )
    return next((found for broken, found in rules if broken), "")


def rejected(name: str, bad: BadFile) -> Rejected:
    """A member that is left out, under the name that the archive has for it."""
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
            UserError: there are too many, or next to nothing is in them.
        """
        self.entries += 1
        self._bytes += size
        if self.entries > MAX_ENTRIES:
            raise too_many(self._path, self.entries)
        if self.entries >= _MIN_MEAN_ENTRIES and self._bytes < _MIN_MEAN_BYTES * self.entries:
            mean = self._bytes / self.entries
            raise bomb(self._path, f"its first {self.entries:,} entries hold {mean:.1f} bytes on average, which no image does")

    def check_ratio(self, packed: int, unpacked: int, name: str = "") -> None:
        """Compares two sizes in bytes, of the archive or of one of its files.

        Raises:
            UserError: `unpacked` is that of a bomb.
        """
        if unpacked > _ALWAYS_FINE_BYTES and unpacked > _MAX_RATIO * packed:
            what = repr(shown(name)) if name else "it"
            found = f"{what} unpacks from {packed:,} to {unpacked:,} bytes or more, over {_MAX_RATIO} times its size"
            raise bomb(self._path, found)


def too_many(path: Path, entries: int) -> UserError:
    """What to say of an archive with more than `MAX_ENTRIES`."""
    return bomb(path, f"it has {entries:,} entries or more, and {MAX_ENTRIES:,} are the limit")


def bomb(path: Path, found: str) -> UserError:
    """What to say of an archive that unpacks to too much."""
    return UserError(
        f"{path} looks like a decompression bomb: {found}; if you trust it, unpack it and give the folder instead."
    )


def damaged(path: Path, found: str) -> UserError:
    """What to say of an archive that cannot be read on."""
    return UserError(f"{path} cannot be read as an archive: {found}; make or download it anew.")
