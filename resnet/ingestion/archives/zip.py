"""The members of a zip archive: each is read where the directory says, and must be what the directory says."""

import bz2
import io
import lzma
import stat
import struct
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, Protocol

from resnet.images.outcomes import BadFile, Reason, check_size, shown
from resnet.ingestion.archives.entries import Item, Member, Names, rejected
from resnet.ingestion.archives.streams import MAX_XZ_MEMORY_BYTES
from resnet.ingestion.archives.zip_directory import ZipEntry, check_entries, find_directory, iterate_entries

_CHUNK_BYTES = 64 << 10  # deflate makes up to 66 MiB of it
_MAX_TARGET_BYTES = 4096  # of a symbolic link, PATH_MAX

# PKWARE's APPNOTE.TXT 6.3.10, sections 4.3.7 (local header), 4.4.4 (flags) and 4.4.5 (methods).
_LOCAL = struct.Struct("<4s5H3L2H")
_ENCRYPTED = 0x1 | 0x40 | 0x2000  # the data, strongly, the directory
_LZMA_END_MARK = 0x2
_STORED, _DEFLATED, _BZIP2, _LZMA = 0, 8, 12, 14
_METHODS = {1: "Shrink", 6: "Implode", 9: "Deflate64", 93: "Zstandard", 95: "XZ", 96: "JPEG", 97: "WavPack", 98: "PPMd"}

_LZMA_HEAD_BYTES = 9
_UNKNOWN_SIZE = 2**64 - 1


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def read_zip(path: Path) -> Iterator[Item]:
    """The members of a zip archive in the order of its directory; see `resnet.ingestion.archives.reading.read_archive`."""
    directory = find_directory(path)
    check_entries(path, directory)
    names = Names()
    for entry in iterate_entries(path, directory):
        try:
            item = _item(path, entry, names)
        except BadFile as bad:
            item = rejected(entry.name, bad)
        if item:
            yield item


def _item(path: Path, entry: ZipEntry, names: Names) -> Item | None:
    if entry.name.endswith("/") or stat.S_ISDIR(entry.mode):
        if entry.size:
            raise BadFile(Reason.NAME_NOT_USABLE, f"named as a folder, but it holds {entry.size:,} bytes")
        return names.folder(entry.name)
    name = names.file(entry.name)
    if entry.flags & _ENCRYPTED:
        raise BadFile(Reason.UNREADABLE, "encrypted: pack the archive without a password")
    if entry.method not in {_STORED, _DEFLATED, _BZIP2, _LZMA}:
        method = _METHODS.get(entry.method, "an unknown method")
        raise BadFile(Reason.UNREADABLE, f"compressed with {method} ({entry.method}): use Deflate or none")
    if stat.S_IFMT(entry.mode) not in {0, stat.S_IFREG}:
        raise BadFile(Reason.UNREADABLE, _not_regular(path, entry))
    check_size(entry.size)
    return Member(name, partial(_read, path, entry))


def _not_regular(path: Path, entry: ZipEntry) -> str:
    if not stat.S_ISLNK(entry.mode):
        return f"a device, a FIFO or a socket (mode {entry.mode:o}), not a regular file"
    target = ""
    if entry.size <= _MAX_TARGET_BYTES:
        try:
            target = f" to {shown(_read(path, entry).decode('utf-8', 'surrogateescape'))!r}"
        except BadFile:
            target = " whose target is damaged"
    return f"a symbolic link{target}, not a regular file"


def _read(path: Path, entry: ZipEntry) -> bytes:
    """The bytes of a member. It opens the file anew, so it needs no lock and outlives the pass over the archive."""
    try:
        with path.open("rb") as file:
            _pass_local_header(file, entry)
            data = _stored(file, entry) if entry.method == _STORED else _unpacked(file, entry)
    except (OSError, zlib.error, lzma.LZMAError) as error:
        reason = getattr(error, "strerror", None) or error  # an OSError itself also names the path, which is the machine's own
        raise BadFile(Reason.UNREADABLE, f"it cannot be unpacked ({reason})") from error
    if zlib.crc32(data) != entry.crc:
        raise BadFile(Reason.UNREADABLE, "damaged in the archive: its checksum does not match")
    return data


def _pass_local_header(file: BinaryIO, entry: ZipEntry) -> None:
    """Goes to the data of a member; the copy of its name there must be that of the directory."""
    file.seek(entry.start)
    header = file.read(_LOCAL.size)
    if len(header) < _LOCAL.size or header[:4] != b"PK\x03\x04":
        raise BadFile(Reason.UNREADABLE, "it is not where the directory of the archive says")
    *_, name_bytes, extra_bytes = _LOCAL.unpack(header)
    raw_name = file.read(name_bytes)
    if raw_name != entry.raw_name:
        other = shown(raw_name.decode("utf-8", "surrogateescape"))
        raise BadFile(Reason.NAME_NOT_USABLE, f"at its place in the archive it is named {other!r}")
    file.seek(extra_bytes, io.SEEK_CUR)


def _stored(file: BinaryIO, entry: ZipEntry) -> bytes:
    if entry.packed != entry.size:
        raise BadFile(Reason.UNREADABLE, f"stored in {entry.packed:,} bytes, but declared to have {entry.size:,}")
    return file.read(entry.size)


def _unpacked(file: BinaryIO, entry: ZipEntry) -> bytes:
    """Unpacks no more than the directory declares: what is left of that bounds each step."""
    decompressor = _decompressor(entry)
    data = io.BytesIO()
    for chunk in _packed_chunks(file, entry):
        data.write(decompressor.decompress(chunk, entry.size + 1 - data.tell()))
        if data.tell() > entry.size:
            raise BadFile(Reason.UNREADABLE, f"it unpacks to more than the {entry.size:,} bytes that the archive declares")
        if decompressor.eof:
            break
    if data.tell() < entry.size:
        found = f"it unpacks to {data.tell():,} of the {entry.size:,} bytes that the archive declares"
        raise BadFile(Reason.UNREADABLE if decompressor.eof else Reason.TRUNCATED, found)
    return data.getvalue()


def _decompressor(entry: ZipEntry) -> _Decompressor:
    if entry.method == _DEFLATED:
        return zlib.decompressobj(-zlib.MAX_WBITS)
    if entry.method == _BZIP2:
        return bz2.BZ2Decompressor()
    return lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=MAX_XZ_MEMORY_BYTES)


def _packed_chunks(file: BinaryIO, entry: ZipEntry) -> Iterator[bytes]:
    left = entry.packed
    if entry.method == _LZMA:
        # Section 5.8: version, size and the five bytes of properties, which a .lzma file begins with, before its size.
        head = file.read(_LZMA_HEAD_BYTES)
        left -= len(head)
        size = _UNKNOWN_SIZE if entry.flags & _LZMA_END_MARK else entry.size
        yield head[4:] + size.to_bytes(8, "little")
    while left > 0 and (chunk := file.read(min(left, _CHUNK_BYTES))):
        left -= len(chunk)
        yield chunk
