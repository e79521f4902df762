"""Hostile zip archives.

Their headers are packed by hand from PKWARE's APPNOTE.TXT, so that they can have wrong values.
"""

import gzip
import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from resnet.images.outcomes import Reason
from tests.hostile.expectation import IMAGE, MIB, Hostile, hostile


@dataclass(frozen=True)
class Zipped:
    """A file in a zip archive. By default its headers are correct."""

    name: bytes
    data: bytes = IMAGE  # as stored in the archive
    size: int = len(IMAGE)
    crc: int = zlib.crc32(IMAGE)
    method: int = 0
    flags: int = 0x800
    mode: int = 0
    host: int = 3
    packed: int | None = None
    local_name: bytes | None = None
    signature: bytes = b"PK\x03\x04"
    start: int | None = None
    extra: bytes = b""


def zipped(*files: Zipped, entries: int | None = None, offset: int | None = None, end64: bytes = b"", disk: int = 0) -> bytes:
    """A zip archive. `end64` precedes its last record, which declares `entries` and `offset` if they are given."""
    body, directory = bytearray(), bytearray()
    for file in files:
        start = len(body) if file.start is None else file.start
        packed = len(file.data) if file.packed is None else file.packed
        common = struct.pack("<4H3L", file.flags, file.method, 0, 0x21, file.crc, packed, file.size)
        local_name = file.name if file.local_name is None else file.local_name
        body += (
            file.signature + struct.pack("<H", 20) + common + struct.pack("<2H", len(local_name), 0) + local_name + file.data
        )
        directory += b"PK\x01\x02" + struct.pack("<2H", file.host << 8 | 20, 20) + common
        directory += struct.pack("<5H2L", len(file.name), len(file.extra), 0, 0, 0, file.mode << 16, start)
        directory += file.name + file.extra
    count = len(files) if entries is None else entries
    where = len(body) if offset is None else offset
    return (
        bytes(body + directory)
        + end64
        + struct.pack("<4s4H2LH", b"PK\x05\x06", disk, 0, count, count, len(directory), where, 0)
    )


def deflated(data: bytes) -> bytes:
    """A raw deflate stream."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def zip64_end(entries: int, size: int, offset: int) -> bytes:
    """The zip64 record and its locator."""
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, entries, entries, size, offset)
    return record + struct.pack("<4sLQL", b"PK\x06\x07", 0, offset + size, 1)


def _zip_names() -> Iterator[Hostile]:
    bad = Reason.NAME_NOT_USABLE
    for file, name, shown, words in (
        ("absolute.zip", b"/etc/passwd", "/etc/passwd", "absolute"),
        ("climbing.zip", b"../../outside.png", "../../outside.png", "'..'"),
        ("climbing-inside.zip", b"cats/../../outside.png", "cats/../../outside.png", "'..'"),
        ("drive.zip", b"C:/Windows/x.png", "C:/Windows/x.png", "absolute"),
        ("drive-backslash.zip", rb"c:\x.png", r"c:\x.png", "absolute"),
        ("backslash-climbing.zip", rb"cats\..\..\x.png", r"cats\..\..\x.png", "'..'"),
        ("server.zip", rb"\\server\share\x.png", r"\\server\share\x.png", "absolute"),
        ("nul.zip", b"x.png\0.exe", r"x.png\x00.exe", "NUL"),
        ("not-utf-8.zip", b"caf\xe9.png", r"caf\xe9.png", "not UTF-8"),
        ("long-part.zip", b"a" * 256, "a" * 256, "255 bytes"),
        ("long-name.zip", b"ab/" * 1365 + b"cd", "ab/" * 100 + "...", "4096 bytes"),
        ("no-name.zip", b"", "", "no name"),
        ("dots.zip", b"./.", "./.", "no name"),
    ):
        yield hostile(file, zipped(Zipped(name), Zipped(b"good.png")), (shown, bad, words), accepted=("good.png",))
    twice = zipped(Zipped(b"a/x.png"), Zipped(b"./a//x.png", data=b"other", size=5, crc=zlib.crc32(b"other")))
    yield hostile("twice.zip", twice, ("./a//x.png", bad, "same name"), accepted=("a/x.png",))
    yield hostile(
        "two-names.zip", zipped(Zipped(b"good.png", local_name=b"evil.png")), ("good.png", Reason.UNREADABLE, "'evil.png'")
    )
    yield hostile("full-folder.zip", zipped(Zipped(b"cats/x.png/")), ("cats/x.png/", bad, "folder"))
    for file, name, flags, expected in (
        ("code-page.zip", b"\x82t\x82.png", 0, "été.png"),
        ("utf-8-unsaid.zip", "été.png".encode(), 0, "été.png"),
        ("newline.zip", b"a\nb\"',;.png", 0x800, "a\nb\"',;.png"),
        ("emoji.zip", "\N{CAT FACE}/<script>.png".encode(), 0x800, "\N{CAT FACE}/<script>.png"),
        ("255-bytes.zip", b"a" * 255, 0x800, "a" * 255),
    ):
        yield hostile(file, zipped(Zipped(name, flags=flags)), accepted=(expected,))
    yield hostile("windows.zip", zipped(Zipped(rb"cats\1.png", host=0)), accepted=("cats/1.png",))


def _zip_members() -> Iterator[Hostile]:
    unreadable = Reason.UNREADABLE
    whole, half = deflated(IMAGE), deflated(IMAGE)[:300]
    for file, member, reason, words in (
        (
            "link.zip",
            Zipped(b"x", b"/etc/passwd", 11, zlib.crc32(b"/etc/passwd"), mode=0o120777),
            unreadable,
            "to '/etc/passwd'",
        ),
        ("fifo.zip", Zipped(b"x", mode=stat.S_IFIFO | 0o644), unreadable, "FIFO"),
        ("device.zip", Zipped(b"x", mode=stat.S_IFBLK | 0o644), unreadable, "device"),
        ("encrypted.zip", Zipped(b"x", flags=0x801), unreadable, "encrypted"),
        ("strongly-encrypted.zip", Zipped(b"x", flags=0x841), unreadable, "encrypted"),
        ("aes.zip", Zipped(b"x", flags=0x801, method=99), unreadable, "encrypted"),
        ("deflate64.zip", Zipped(b"x", method=9), unreadable, "Deflate64"),
        ("method-77.zip", Zipped(b"x", method=77), unreadable, "77"),
        ("checksum.zip", Zipped(b"x", crc=1), unreadable, "CRC-32"),
        ("damaged.zip", Zipped(b"x", b"\xff" + whole[1:], method=8), unreadable, "unpacked"),
        ("cut-inside.zip", Zipped(b"x", half, method=8), unreadable, "CRC-32"),
        ("holds-more.zip", Zipped(b"x", deflated(IMAGE * 9), method=8), unreadable, "CRC-32"),
        ("holds-less.zip", Zipped(b"x", deflated(IMAGE[:99]), method=8), unreadable, "CRC-32"),
        ("stored-less.zip", Zipped(b"x", IMAGE[:99]), unreadable, "CRC-32"),
        ("misplaced.zip", Zipped(b"x", signature=b"PK\x03\x05"), unreadable, "magic number"),
        ("wide-dictionary.zip", _lzma_with_a_dictionary_of_4_gib(), unreadable, "unpacked"),
        ("large.zip", Zipped(b"x", bytes(MIB), size=129 * MIB, method=8), Reason.TOO_LARGE, "135,266,304"),
        ("very-large.zip", Zipped(b"x", bytes(22 * MIB), size=0xFFFFFFFF, method=8), Reason.TOO_LARGE, "4,294,967,295"),
    ):
        yield hostile(file, zipped(member, Zipped(b"good.png")), ("x", reason, words), accepted=("good.png",))
    for name, method in (("bzip2", zipfile.ZIP_BZIP2), ("lzma", zipfile.ZIP_LZMA)):
        yield hostile(f"{name}.zip", _by_zipfile(method), accepted=("good.png",))


def _lzma_with_a_dictionary_of_4_gib() -> Zipped:
    packed = io.BytesIO(_by_zipfile(zipfile.ZIP_LZMA))
    with zipfile.ZipFile(packed) as archive:
        info = archive.infolist()[0]
    start = info.header_offset + 30 + len(info.filename)
    data = bytearray(packed.getvalue()[start : start + info.compress_size])
    data[5:9] = b"\xff" * 4  # after version, size and the byte of lc, lp and pb
    return Zipped(b"x", bytes(data), method=14, flags=0x802)


def _by_zipfile(method: int) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        archive.writestr("good.png", IMAGE)
    return packed.getvalue()


def _zip_wholes() -> Iterator[Hostile]:
    good = zipped(Zipped(b"good.png"), Zipped(b"better.png"))
    directory = good.index(b"PK\x01\x02")
    size = len(good) - 22 - directory
    two = (Zipped(b"good.png"), Zipped(b"better.png"))
    truncated = "does not end as a zip archive"
    for file, content, words in (
        ("empty.zip", b"", truncated),
        ("text.zip", b"path,label\n" * 99, truncated),
        ("half.zip", good[: len(good) // 2], truncated),
        ("without-its-last-byte.zip", good[:-1], truncated),
        ("with-more-behind.zip", good + b"more", truncated),
        ("without-directory.zip", good[:directory], truncated),
        ("damaged-directory.zip", good.replace(b"PK\x01\x02", b"PK\x01\x03"), "directory is damaged"),
        ("short-directory.zip", zipped(*two, entries=1), "declares 1 entry and its directory holds 2"),
        ("too-few.zip", zipped(*two, entries=3), "declares a directory of 3 entries"),
        ("far-directory.zip", zipped(*two, offset=5000), "declares a directory"),
        ("in-pieces.zip", zipped(*two, disk=2), "split into several"),
        ("outside.zip", zipped(Zipped(b"good.png", start=4000)), "beyond the end"),
        ("contradiction.zip", zipped(*two, end64=zip64_end(1, size, directory)), "contradict"),
        ("huge-directory.zip", zipped(*two, entries=0xFFFF, end64=zip64_end(2**40, size, directory)), "entries or more"),
        ("wide-contradiction.zip", zipped(*two, end64=zip64_end(2, 2**60, directory)), "contradict"),
        ("without-zip64.zip", zipped(*two, end64=zip64_end(2, size, directory)[-20:]), "zip64 record"),
        ("named.zip", gzip.compress(good), "rename it"),
    ):
        yield hostile(file, content, refused=words)
    yield hostile("prefix.zip", b"#!/bin/sh\nexit\n" + zipped(Zipped(b"good.png")), accepted=("good.png",))
    remarked = io.BytesIO()
    with zipfile.ZipFile(remarked, "w") as archive:
        archive.writestr("good.png", IMAGE)
        archive.comment = b"PK\x05\x06" + bytes(40)
    yield hostile("comment.zip", remarked.getvalue(), accepted=("good.png",))
    wide = struct.pack("<2H", 0xCAFE, 1) + b"?" + struct.pack("<2H2Q", 1, 16, len(IMAGE), len(IMAGE))
    wide_entry = Zipped(b"good.png", size=2**32 - 1, packed=2**32 - 1, extra=wide)
    yield hostile("wide-entry.zip", zipped(wide_entry), accepted=("good.png",))
    yield hostile("wide-entry-without.zip", zipped(replace(wide_entry, extra=b"")), refused="beyond the end")
    yield hostile("wide.zip", zipped(Zipped(b"good.png"), end64=zip64_end(1, 54, 738)), accepted=("good.png",))


def _zip_bombs() -> Iterator[Hostile]:
    crowd = [Zipped(b"%d" % number, size=60 * MIB, method=8) for number in range(2000)]
    yield hostile("bomb.zip", _deflate_bomb, refused="decompression bomb")
    yield hostile("bomb-of-lies.zip", zipped(Zipped(b"x", size=2**32 - 2, method=8)), refused="decompression bomb")
    yield hostile("bomb-of-many.zip", zipped(*crowd), refused="decompression bomb")
    yield hostile("shared-bytes.zip", zipped(Zipped(b"a"), Zipped(b"b", start=0)), refused="share the same bytes")
    yield hostile("quoted.zip", zipped(Zipped(b"a", packed=740), Zipped(b"b")), refused="share the same bytes")
    yield hostile("crowd.zip", _crowded_zip, refused="bytes on average")
    yield hostile("ten-millions.zip", _ten_millions, refused="10,000,000 entries")


def _crowded_zip(path: Path) -> None:
    nothing = (Zipped(b"%d.png" % number, b"", 0, 0) for number in range(70_000))
    path.write_bytes(zipped(*nothing, entries=70_000 % 65536))


def _deflate_bomb(path: Path) -> None:
    """A file of 3 GiB of zeros. A flushed deflate block can be repeated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = packer.compress(bytes(16 * MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    path.write_bytes(zipped(Zipped(b"x", block * 192 + packer.flush(), 3072 * MIB, method=8)))


def _ten_millions(path: Path) -> None:
    """The records declare a directory of ten million entries, which is a hole in the file and takes no space."""
    size = 10_000_000 * 50
    with path.open("wb") as file:
        file.seek(size)
        file.write(zip64_end(10_000_000, size, 0))
        file.write(struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, size, 0, 0))


ZIPS = [*_zip_names(), *_zip_members(), *_zip_wholes(), *_zip_bombs()]
