"""Reads a zip archive with `zipfile`.

`zipfile` reads the directory and the members. But it trusts the sizes in the directory, ignores contradictions between the
records at the end, and refuses the whole archive for one name that is not UTF-8. This module checks the first two and avoids
the third. Each check names the archive of `tests/hostile/zips.py` whose test fails without it. Format: PKWARE's APPNOTE.TXT
6.3.10, whose sections are cited.
"""

import copy
import io
import lzma
import operator
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

from resnet.core.words import counted
from resnet.images.outcomes import BadFile, Reason, check_size, shown
from resnet.ingestion.archives.entries import (
    MAX_ENTRIES,
    Allowance,
    Item,
    Member,
    Names,
    bomb,
    damaged,
    rejected,
    too_many,
)
from resnet.ingestion.archives.streams import MAX_XZ_MEMORY_BYTES

_END = struct.Struct("<4s4H2LH")  # section 4.3.16
_END_64 = struct.Struct("<4sQ2H2L4Q4sLQL")  # sections 4.3.14 and 4.3.15: the record, then its locator
_LOCATOR_BYTES = 20
_MISSING = (0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)  # in the record: the value is in the zip64 record

_CENTRAL_BYTES, _LOCAL_BYTES = 46, 30  # sections 4.3.12 and 4.3.7: headers without names
_UTF_8, _NOT_UTF_8 = 0x800, 0x8000  # flags of section 4.4.4; the second is reserved and used here
_ENCRYPTED = 0x1 | 0x40 | 0x2000  # the data, strongly, the directory
_METHODS = {1: "Shrink", 6: "Implode", 9: "Deflate64", 93: "Zstandard", 95: "XZ", 96: "JPEG", 97: "WavPack", 98: "PPMd"}
_READABLE = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_VERSION = 20  # of the format that a reader must know: 2.0, for Deflate

_CHUNK_BYTES = 4096  # packed data are read in such chunks, because zipfile unpacks a chunk of bzip2 without a limit (80 MB)
_MAX_TARGET_BYTES = 4096  # of a symbolic link: PATH_MAX
_BROKEN = (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError, struct.error, zlib.error, lzma.LZMAError)


class _ArchiveFile(io.RawIOBase):
    """A zip archive in a form that `zipfile` reads: the directory is `_patched`, and the comment is cut off.

    `zipfile` would take a signature in the comment for the record at the end (comment.zip).

    Attributes:
        entries: how many the record at the end declares.
        wide: whether there is a zip64 record; without one, `entries` counts modulo 65,536.
        directory: where the directory begins.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)
        self._path = path
        self._end = path.stat().st_size
        self.directory = -1
        start = max(0, self._end - _END_64.size - _END.size - 0xFFFF)  # the last is the longest comment
        self.seek(start)
        tail = self.read()
        at = _end_record(path, tail)
        self.wide, (self.entries, size, offset) = _directory(path, tail[:at], tail[at:])
        self._end = start + at + _END.size
        self.directory = start + at - self.wide * _END_64.size - size
        if self.entries > MAX_ENTRIES:  # ten-millions.zip
            raise too_many(path, self.entries)
        if self.directory < offset or self.entries * _CENTRAL_BYTES > size:  # far-directory.zip, too-few.zip
            found = f"{counted(self.entries, 'entry', 'entries')} in {counted(size, 'byte')} at {offset:,}"
            raise damaged(path, f"the record at its end declares a directory of {found}, which is not there")

    def close(self) -> None:
        """As in `io.IOBase`, which calls it when the file is no longer used."""
        self._file.close()
        super().close()

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """As in `io.IOBase`."""
        return self._file.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """As in `io.IOBase`."""
        return self._file.seek(offset + self._end) if whence == io.SEEK_END else self._file.seek(offset, whence)

    def read(self, size: int | None = -1) -> bytes:
        """As in `io.RawIOBase`; the directory is `_patched`."""
        at = self.tell()
        left = max(0, self._end - at)
        data = self._file.read(left if size is None or size < 0 else min(size, left))
        return _patched(self._path, bytearray(data)) if at == self.directory else data


def _end_record(path: Path, tail: bytes) -> int:
    """Position of the record in the last bytes of the file. It and its comment must end the file (with-more-behind.zip)."""
    at = len(tail) - _END.size
    while (at := tail.rfind(b"PK\5\6", 0, max(at + 4, 0))) >= 0:
        if at + _END.size + _END.unpack_from(tail, at)[-1] == len(tail):
            return at
        at -= 1
    raise damaged(
        path, "it does not end as a zip archive: it is truncated, is not a zip archive, or has other data after its end"
    )


def _directory(path: Path, before: bytes, record: bytes) -> tuple[bool, list[int]]:
    """Whether there is a zip64 record; then number of entries, size and offset of the directory."""
    _, *disks, here, entries, size, offset, _ = _END.unpack_from(record)
    short = wide = [entries, size, offset]
    if before[-_LOCATOR_BYTES:].startswith(b"PK\6\7"):
        full = before[-_END_64.size :]
        if len(full) < _END_64.size or not full.startswith(b"PK\6\6"):  # without-zip64.zip
            raise damaged(path, "its zip64 record is not where it has to be")
        wide = list(_END_64.unpack(full)[7:10])
        if any(one not in (other, missing) for one, other, missing in zip(short, wide, _MISSING, strict=True)):
            raise damaged(path, f"the two records at its end contradict each other ({short} and {wide})")  # contradiction.zip
    if here != entries or disks not in ([0, 0], [0xFFFF, 0xFFFF]):  # in-pieces.zip
        raise damaged(path, "it is one part of an archive that was split into several files")
    return wide is not short, wide


def _patched(path: Path, directory: bytearray) -> bytes:
    """The directory with names that `zipfile` can decode (not-utf-8.zip), and no versions that it refuses.

    Raises:
        UserError: it has too many entries, or they are nearly empty (crowd.zip). `zipfile` needs 640 bytes for each.
    """
    allowance = Allowance(path)
    at = 0
    while directory.startswith(b"PK\1\2", at) and at + _CENTRAL_BYTES <= len(directory):
        size, *lengths = struct.unpack_from("<L3H", directory, at + 24)
        allowance.take(size)
        directory[at + 6] = min(directory[at + 6], _VERSION)
        (flags,) = struct.unpack_from("<H", directory, at + 8)
        flags &= ~_NOT_UTF_8
        if flags & _UTF_8 and not _is_utf_8(directory[at + _CENTRAL_BYTES : at + _CENTRAL_BYTES + lengths[0]]):
            flags ^= _UTF_8 | _NOT_UTF_8
        struct.pack_into("<H", directory, at + 8, flags)
        at += _CENTRAL_BYTES + sum(lengths)
    return bytes(directory)


def _is_utf_8(name: bytes | bytearray) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def read_zip(path: Path) -> Iterator[Item]:
    """Yields the members of a zip archive in the order of its directory.

    See `resnet.ingestion.archives.reading.read_archive`.
    """
    file = _ArchiveFile(path)
    try:
        archive = zipfile.ZipFile(file)
    except _BROKEN as error:
        raise damaged(path, f"its directory is damaged ({error})") from error
    _check_entries(path, file, archive.infolist())
    names = Names()
    for info in archive.infolist():
        name = _name(info)
        try:
            item = _item(path, archive, info, name, names)
        except BadFile as bad:
            item = rejected(name, bad)
        if item:
            yield item


def _check_entries(path: Path, file: _ArchiveFile, infos: list[zipfile.ZipInfo]) -> None:
    """Raises `UserError` if the directory contradicts itself, declares too much, or has entries that share bytes.

    Entries that share bytes are the technique of Fifield, "A better zip bomb" (2019): shared-bytes.zip, quoted.zip.
    """
    allowance = Allowance(path)
    if len(infos) != file.entries and (file.wide or len(infos) % 65536 != file.entries):  # short-directory.zip
        declared = counted(file.entries, "entry", "entries")
        raise damaged(path, f"it declares {declared} and its directory holds {len(infos):,}")
    for info in infos:
        allowance.check_ratio(info.compress_size, info.file_size, info.filename)  # bomb.zip
        if _end(info) > file.directory:  # outside.zip
            raise damaged(path, f"its directory places {shown(_name(info))!r} beyond the end of the files")
    allowance.check_ratio(path.stat().st_size, sum(info.file_size for info in infos))  # bomb-of-many.zip
    in_order = sorted(infos, key=operator.attrgetter("header_offset"))
    if any(_end(one) > other.header_offset for one, other in pairwise(in_order)):
        raise bomb(path, "several of its entries share the same bytes")


def _end(info: zipfile.ZipInfo) -> int:
    return info.header_offset + _LOCAL_BYTES + len(info.orig_filename.encode(_encoding(info))) + info.compress_size


def _encoding(info: zipfile.ZipInfo) -> str:
    return "utf-8" if info.flag_bits & _UTF_8 else "cp437"


def _name(info: zipfile.ZipInfo) -> str:
    """The name of an entry. If its flag says UTF-8, bytes that are not UTF-8 become surrogates.

    Without the flag the encoding is code page 437 (appendix D), but some programs write UTF-8. Some programs on Windows
    separate folders by backslashes.
    """
    name = info.orig_filename
    if not info.flag_bits & _UTF_8:
        raw = name.encode("cp437")
        if info.flag_bits & _NOT_UTF_8 or _is_utf_8(raw):
            name = raw.decode("utf-8", "surrogateescape")
    is_windows = info.create_system == 0
    return name.replace("\\", "/") if is_windows and "/" not in name else name


def _item(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str, names: Names) -> Item | None:
    mode = info.external_attr >> 16
    if name.endswith("/") or stat.S_ISDIR(mode):
        if info.file_size:
            content = counted(info.file_size, "byte")
            raise BadFile(Reason.NAME_NOT_USABLE, f"its name is that of a folder, but it holds {content}")
        return names.folder(name)
    usable = names.file(name)
    if info.flag_bits & _ENCRYPTED:
        raise BadFile(Reason.UNREADABLE, "encrypted: create the archive without a password")
    if info.compress_type not in _READABLE:
        method = _METHODS.get(info.compress_type, "an unknown method")
        raise BadFile(Reason.UNREADABLE, f"compressed with {method} ({info.compress_type}): use Deflate or none")
    if stat.S_ISLNK(mode):
        raise BadFile(Reason.UNREADABLE, f"a symbolic link{_target(path, archive, info)}, not a regular file")
    if stat.S_IFMT(mode) not in {0, stat.S_IFREG}:
        raise BadFile(Reason.UNREADABLE, f"a device, a FIFO or a socket (mode {mode:o}), not a regular file")
    check_size(info.file_size)
    return Member(usable, partial(_read, path, archive, info))


def _target(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> str:
    if info.file_size > _MAX_TARGET_BYTES:
        return ""
    try:
        return f" to {shown(_read(path, archive, info).decode('utf-8', 'surrogateescape'))!r}"
    except BadFile:
        return " whose target is damaged"


def _read(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """The bytes of a member.

    `zipfile` stops without an error at the declared size. With a size of one byte more, the checksum fails if a member unpacks
    to more than it declares (holds-more.zip).
    """
    more = copy.copy(info)
    more.file_size += 1
    try:
        with archive.open(more) as file:
            if info.compress_type == zipfile.ZIP_LZMA:
                _check_dictionary(info, path)
            data = b"".join(iter(partial(file.read, _CHUNK_BYTES), b""))
    except _BROKEN as error:
        reason = getattr(error, "strerror", None) or error  # the text of an OSError would contain the path
        raise BadFile(Reason.UNREADABLE, f"it cannot be unpacked ({reason})") from error
    if len(data) != info.file_size:
        declared = counted(info.file_size, "byte")
        raise BadFile(Reason.UNREADABLE, f"it unpacks to {len(data):,} of the {declared} that it declares")
    return data


def _check_dictionary(info: zipfile.ZipInfo, path: Path) -> None:
    """Raises `BadFile` if the LZMA dictionary is too large: `zipfile` sets no memory limit (wide-dictionary.zip).

    LZMA data begin with a version (2 bytes), the size of the properties (2), and the properties: a byte, and the size of the
    dictionary (section 5.8).
    """
    with path.open("rb") as file:
        file.seek(info.header_offset + 26)
        name_and_extra = struct.unpack("<2H", file.read(4))
        file.seek(sum(name_and_extra) + 5, io.SEEK_CUR)
        if int.from_bytes(file.read(4), "little") > MAX_XZ_MEMORY_BYTES:
            found = f"its LZMA dictionary takes more than {MAX_XZ_MEMORY_BYTES >> 20} MiB"
            raise BadFile(Reason.UNREADABLE, f"it cannot be unpacked ({found})")
