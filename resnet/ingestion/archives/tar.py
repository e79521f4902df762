"""A tar archive as a stream: a header, its file, the next header, and nothing is kept.

tarfile decodes each header of 512 bytes. Going from one to the next is done here, because tarfile keeps every header, takes
any size that a header declares for true (a negative one leads it in a circle, an extended header of 8 GiB into memory), and
ends without a word at a damaged header or at a file that is cut off.
"""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from resnet.core.errors import UserError
from resnet.images.outcomes import BadFile, Reason, check_size, shown
from resnet.ingestion.archives.entries import Allowance, Item, Member, Names, damaged, rejected
from resnet.ingestion.archives.streams import Compression, UnpackedStream, open_unpacked

_BLOCK = tarfile.BLOCKSIZE
_MAX_EXTENDED_BYTES = 1 << 20  # of an extended header: names, dates and attributes have some hundred
_MAX_PADDING_BYTES = 64 << 20  # after the end mark; tar pads to 10 kB, tapes to a few MB

_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_EXTENDED = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
_WITHOUT_DATA = {
    tarfile.DIRTYPE: "a folder",
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a character device",
    tarfile.BLKTYPE: "a block device",
    tarfile.FIFOTYPE: "a FIFO",
}
# GNU tar's three ways to write a sparse file with pax headers: 0.0, 0.1 and 1.0.
_SPARSE = {"GNU.sparse.size", "GNU.sparse.map", "GNU.sparse.major"}
_KEYWORDS = {"path", "linkpath", "size", "GNU.sparse.name", *_SPARSE}


@dataclass(frozen=True)
class _Entry:
    """What the headers of a member say together.

    Attributes:
        name: bytes that are not UTF-8 are surrogates in it.
        kind: the type flag of its header.
        size: of the data behind its header in bytes.
        target: what a link points to.
        sparse: holes are left out of the data.
    """

    name: str
    kind: bytes
    size: int
    target: str
    sparse: bool


def read_tar(path: Path, compression: Compression, *, contents: bool) -> Iterator[Item]:
    """The members of a tar archive in its order; see `resnet.ingestion.archives.reading.read_archive`."""
    allowance, names = Allowance(path), Names()
    with open_unpacked(path, compression, allowance) as stream:
        for entry in _entries(stream, allowance):
            end = stream.position + entry.size + -entry.size % _BLOCK
            try:
                item = _item(stream, entry, names, contents)
            except BadFile as bad:
                item = rejected(entry.name, bad)
            if not stream.skip(end - stream.position):
                raise _breaks_off(stream, f"in the middle of {shown(entry.name)!r}")
            if item:
                yield item
        _check_padding(stream)


def _item(stream: UnpackedStream, entry: _Entry, names: Names, contents: bool) -> Item | None:
    if entry.kind == tarfile.DIRTYPE:
        return names.folder(entry.name)
    name = names.file(entry.name)
    if entry.kind not in _FILES or entry.sparse:
        raise BadFile(Reason.UNREADABLE, _not_regular(entry))
    check_size(entry.size)
    if not contents:
        return Member(name, _only_names)
    data = stream.read(entry.size)
    return Member(name, lambda: data)


def _not_regular(entry: _Entry) -> str:
    if entry.sparse:
        return "a sparse file, its holes are left out: pack it without --sparse"
    what = _WITHOUT_DATA.get(entry.kind, f"of the kind {shown(repr(entry.kind)[1:])}")
    to = f" to {shown(entry.target)!r}" if entry.target else ""
    return f"{what}{to}, not a regular file"


def _only_names() -> bytes:
    raise ValueError("the archive was read for its names only")


def _entries(stream: UnpackedStream, allowance: Allowance) -> Iterator[_Entry]:
    """Joins each member's headers. What takes an entry also moves the stream to the end of its data."""
    of_all: dict[str, str] = {}
    of_next: dict[str, str] = {}
    while (read := _header(stream)) is not None:
        header, block = read
        allowance.take(0 if header.type in _WITHOUT_DATA else header.size)
        if header.type == tarfile.XGLTYPE:
            of_all |= _records(stream, _extension(stream, header))
        elif header.type in _EXTENDED:
            of_next |= _records(stream, _extension(stream, header))
        elif header.type == tarfile.GNUTYPE_LONGNAME:
            of_next["path"] = _text(_extension(stream, header).partition(b"\0")[0])
        elif header.type == tarfile.GNUTYPE_LONGLINK:
            of_next["linkpath"] = _text(_extension(stream, header).partition(b"\0")[0])
        else:
            if header.type == tarfile.GNUTYPE_SPARSE:
                _skip_sparse_map(stream, block)
            yield _joined(stream, header, of_all | of_next)
            of_next = {}


def _header(stream: UnpackedStream) -> tuple[tarfile.TarInfo, bytes] | None:
    """The next header, and its block; `None` at the end mark."""
    start = stream.position
    block = stream.read(_BLOCK)
    try:
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        if len(block) == _BLOCK and not any(block):
            return None
        if start == 0:
            raise damaged(stream.path, "it is no tar archive" if block else "it is empty") from error
        if len(block) < _BLOCK:
            raise _breaks_off(stream, "without the mark of its end") from error
        raise damaged(stream.path, f"the header at byte {start:,} is damaged ({error})") from error
    if header.size < 0:
        raise damaged(stream.path, f"the header of {shown(header.name)!r} declares a size of {header.size:,} bytes")
    return header, block


def _extension(stream: UnpackedStream, header: tarfile.TarInfo) -> bytes:
    """The data of a header that extends the next one."""
    if header.size > _MAX_EXTENDED_BYTES:
        found = f"an extended header declares {header.size:,} bytes, where {_MAX_EXTENDED_BYTES:,} are more than any needs"
        raise damaged(stream.path, found)
    data = stream.read(header.size)
    if not stream.skip(-header.size % _BLOCK) or len(data) < header.size:
        raise _breaks_off(stream, "in the middle of an extended header")
    return data


def _records(stream: UnpackedStream, data: bytes) -> dict[str, str]:
    """The records of a pax header that matter here. Each is `LENGTH KEYWORD=VALUE` and a newline; LENGTH counts all of it."""
    records = {}
    position = 0
    while position < len(data) and data[position]:
        digits, space, _ = data[position : position + 8].partition(b" ")
        length = int(digits) if digits.isdigit() else 0
        record = data[position + len(digits) + 1 : position + length]
        keyword, equals, value = record.partition(b"=")
        if not space or not equals or not record.endswith(b"\n") or position + length > len(data):
            raise damaged(stream.path, f"an extended header before byte {stream.position:,} is damaged")
        if _text(keyword) in _KEYWORDS:
            records[_text(keyword)] = _text(value[:-1])
        position += length
    return records


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _skip_sparse_map(stream: UnpackedStream, block: bytes) -> None:
    """Passes over the blocks that list the holes: a byte of the header, then of each block, tells that another follows."""
    follows = block[482]
    while follows:
        block = stream.read(_BLOCK)
        if len(block) < _BLOCK:
            raise _breaks_off(stream, "in the middle of the list of holes of a sparse file")
        follows = block[504]


def _joined(stream: UnpackedStream, header: tarfile.TarInfo, records: dict[str, str]) -> _Entry:
    name = records.get("GNU.sparse.name") or records.get("path") or header.name
    size = records.get("size", str(header.size))
    if not (size.isascii() and size.isdigit() and len(size) < 20):
        raise damaged(stream.path, f"an extended header declares a size of {shown(size[:40])!r} for {shown(name)!r}")
    return _Entry(
        name,
        header.type,
        0 if header.type in _WITHOUT_DATA else int(size),
        records.get("linkpath") or header.linkname,
        header.type == tarfile.GNUTYPE_SPARSE or bool(_SPARSE & records.keys()),
    )


def _check_padding(stream: UnpackedStream) -> None:
    """Reads to the end, where compressed data have their checksum; behind the end mark nothing but zeros may stand."""
    end = stream.position
    while data := stream.read(1 << 18):
        if data.count(0) != len(data) or stream.position - end > _MAX_PADDING_BYTES:
            found = f"something stands behind the mark of its end at byte {end:,}, as in several archives joined into one"
            raise damaged(stream.path, found)


def _breaks_off(stream: UnpackedStream, where: str) -> UserError:
    return damaged(stream.path, f"it is truncated: it breaks off {where}, after {stream.position:,} bytes")
