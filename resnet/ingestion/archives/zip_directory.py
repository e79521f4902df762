"""The directory of a zip archive: streamed, and checked as a whole before a member is read.

`zipfile` loads the whole directory, believes the sizes in it, and gives the archive up for one name that is not UTF-8 or one
member of a later version. Format: PKWARE's APPNOTE.TXT 6.3.10, whose sections are named below.
"""

import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resnet.images.outcomes import shown
from resnet.ingestion.archives.entries import MAX_ENTRIES, Allowance, bomb, damaged, too_many

# Sections 4.3.16, 4.3.15, 4.3.14 and 4.3.12.
_END = struct.Struct("<4s4H2LH")
_LOCATOR64 = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_CENTRAL = struct.Struct("<4s6H3L5H2L")

_MAX_END_BYTES = _LOCATOR64.size + _END64.size + _END.size + 0xFFFF  # the last is the longest comment
_LOCAL_BYTES = 30  # of a local header without its name, section 4.3.7
_CHUNK_BYTES = 1 << 20
_MISSING_32 = 0xFFFFFFFF  # the value is in a zip64 field
_MISSING = (0xFFFF, _MISSING_32, _MISSING_32)  # the same of the number of entries, the directory's size and its offset
_UTF_8 = 0x800
_DOS = 0


@dataclass(frozen=True)
class ZipDirectory:
    """Where the directory of an archive is.

    Attributes:
        start: its first byte.
        size: its bytes.
        entries: how many it declares to hold.
        prefix: what to add to the offsets in it, as something stands before the archive.
        wide: whether it has a zip64 record, without which `entries` counts modulo 65,536.
    """

    start: int
    size: int
    entries: int
    prefix: int
    wide: bool


@dataclass(frozen=True)
class ZipEntry:
    """An entry of the directory.

    Attributes:
        start: of its local header in the file.
        packed: bytes of its compressed data.
        size: bytes that they unpack to.
        mode: of the file on Unix, 0 if it is not known.
        dos: whether it comes from a file system of DOS or Windows.
    """

    raw_name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    start: int
    mode: int
    dos: bool

    @property
    def name(self) -> str:
        """Its name; bytes that are not UTF-8, where the entry says UTF-8, are surrogates in it.

        Without that flag a name is in code page 437 (appendix D), but there are programs that then write UTF-8 too; and some
        of Windows separate folders by backslashes.
        """
        name = _decoded(self.raw_name, self.flags)
        return name.replace("\\", "/") if self.dos and "/" not in name else name


def _decoded(raw_name: bytes, flags: int) -> str:
    if flags & _UTF_8:
        return raw_name.decode("utf-8", "surrogateescape")
    try:
        return raw_name.decode("utf-8")
    except UnicodeDecodeError:
        return raw_name.decode("cp437")


def find_directory(path: Path) -> ZipDirectory:
    """Reads the record at the end of the archive, and the zip64 one before it.

    Raises:
        UserError: there is none, or what it says cannot be.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - _MAX_END_BYTES))
        tail = file.read()
    at = _end_record(path, tail)
    _, disk, directory_disk, here, entries, directory_size, offset, _ = _END.unpack_from(tail, at)
    if (disk, directory_disk) not in {(0, 0), (0xFFFF, 0xFFFF)} or here != entries:
        raise damaged(path, "it is a part of an archive that was cut into several")
    end = size - len(tail) + at
    wide = _zip64_record(path, tail, at)
    if wide:
        for short, full, missing in zip((entries, directory_size, offset), wide, _MISSING, strict=True):
            if short not in (missing, full):
                raise damaged(path, f"the two records at its end contradict each other ({short:,} and {full:,})")
        entries, directory_size, offset = wide
        end -= _LOCATOR64.size + _END64.size
    if entries > MAX_ENTRIES:
        raise too_many(path, entries)
    start = end - directory_size
    if start < offset or entries * _CENTRAL.size > directory_size:
        found = f"the record at its end declares a directory of {entries:,} entries in {directory_size:,} bytes at {offset:,}"
        raise damaged(path, f"{found}, which is not there")
    return ZipDirectory(start, directory_size, entries, start - offset, bool(wide))


def _end_record(path: Path, tail: bytes) -> int:
    """Where the record is in the last bytes of the file: it and its comment end the file (section 4.3.16)."""
    at = len(tail) - _END.size
    while (at := tail.rfind(b"PK\x05\x06", 0, max(at + 4, 0))) >= 0:
        if at + _END.size + _END.unpack_from(tail, at)[-1] == len(tail):
            return at
        at -= 1
    raise damaged(path, "it does not end as a zip archive, so it is none, or truncated, or something was added behind its end")


def _zip64_record(path: Path, tail: bytes, at: int) -> tuple[int, int, int] | None:
    """Number of entries, size and offset of the directory from the record before the locator (4.3.14 and 4.3.15), if any."""
    locator = at - _LOCATOR64.size
    if tail[max(locator, 0) : at][:4] != b"PK\x06\x07":
        return None
    record = tail[max(locator - _END64.size, 0) : locator]
    if len(record) < _END64.size or record[:4] != b"PK\x06\x06":
        raise damaged(path, "its zip64 record is not where it has to be")
    *_, here, entries, directory_size, offset = _END64.unpack(record)
    if here != entries:
        raise damaged(path, "it is a part of an archive that was cut into several")
    return entries, directory_size, offset


def iterate_entries(path: Path, directory: ZipDirectory) -> Iterator[ZipEntry]:
    """Streams the directory (section 4.3.12)."""
    with path.open("rb", buffering=_CHUNK_BYTES) as file:
        file.seek(directory.start)
        left = directory.size
        while left:
            header = file.read(_CENTRAL.size)
            if left < _CENTRAL.size or header[:4] != b"PK\x01\x02":
                raise damaged(path, "its directory is damaged")
            fields = _CENTRAL.unpack(header)
            name_bytes, extra_bytes, comment_bytes = fields[10:13]
            more = file.read(name_bytes + extra_bytes + comment_bytes)
            left -= len(header) + len(more)
            if left < 0:
                raise damaged(path, "its directory is damaged")
            yield _entry(fields, more[:name_bytes], more[name_bytes : name_bytes + extra_bytes], directory.prefix)


def _entry(fields: tuple[int, ...], raw_name: bytes, extra: bytes, prefix: int) -> ZipEntry:
    """What the fields of an entry say; those that do not fit into 32 bits are in the extra field (section 4.5.3)."""
    wide = _zip64_values(extra) if _MISSING_32 in (fields[8], fields[9], fields[16]) else iter(())
    size, packed, start = (next(wide, value) if value == _MISSING_32 else value for value in (fields[9], fields[8], fields[16]))
    return ZipEntry(
        raw_name, fields[3], fields[4], fields[7], packed, size, start + prefix, fields[15] >> 16, fields[1] >> 8 == _DOS
    )


def _zip64_values(extra: bytes) -> Iterator[int]:
    """The 64-bit values of the zip64 extra field: unpacked size, packed size, offset, as far as they are there."""
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<2H", extra)
        if kind == 1:
            field = extra[4 : 4 + size]
            return (int.from_bytes(field[at : at + 8], "little") for at in range(0, len(field) - 7, 8))
        extra = extra[4 + size :]
    return iter(())


def check_entries(path: Path, directory: ZipDirectory) -> None:
    """Goes through the whole directory before a member is read.

    Raises:
        UserError: it is damaged, does not hold what it declares, has entries that share bytes (Fifield, "A better zip bomb",
            2019), or declares too much.
    """
    allowance = Allowance(path)
    starts, ends = array("Q"), array("Q")
    size = 0
    for entry in iterate_entries(path, directory):
        allowance.take(entry.size)
        allowance.check_ratio(entry.packed, entry.size, entry.name)
        size += entry.size
        end = entry.start + _LOCAL_BYTES + len(entry.raw_name) + entry.packed
        if end > directory.start:
            raise damaged(path, f"its directory has {shown(entry.name)!r} where the archive has ended")
        starts.append(entry.start)
        ends.append(end)
    allowance.check_ratio(path.stat().st_size, size)
    if allowance.entries != directory.entries and (directory.wide or allowance.entries % 65536 != directory.entries):
        raise damaged(path, f"it declares {directory.entries:,} entries and its directory holds {allowance.entries:,}")
    if _overlap(starts, ends):
        raise bomb(path, "several of its entries share the same bytes")


def _overlap(starts: "array[int]", ends: "array[int]") -> bool:
    first, last = np.frombuffer(starts, np.uint64), np.frombuffer(ends, np.uint64)
    order = np.argsort(first, kind="stable")
    return bool(np.any(first[order][1:] < last[order][:-1]))
