"""Reads a tar archive front to back with `tarfile`.

`tarfile` alone stops without an error at a damaged header, and trusts every size in a header. `_Header` turns both into
errors. Each check names the archive of `tests/hostile/tars.py` whose test fails without it.
"""

import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Self, cast

from resnet.images.outcomes import BadFile, Reason, check_size, shown
from resnet.ingestion.archives.entries import Allowance, Item, Member, Names, damaged, rejected
from resnet.ingestion.archives.streams import Compression, UnpackedStream

_MAX_EXTENDED_BYTES = 1 << 20  # of an extended header; names, dates and attributes take some hundred bytes
_MAX_PADDING_BYTES = 64 << 20  # after the end marker; tar pads to 10 kB, tapes to a few MB

_PAX = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.XGLTYPE)
_EXTENDED = (*_PAX, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_KINDS = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a character device",
    tarfile.BLKTYPE: "a block device",
    tarfile.FIFOTYPE: "a FIFO",
}
_INVALID = (tarfile.TarError, ValueError, LookupError, OverflowError, RecursionError)  # what tarfile raises for invalid headers


class _Header(tarfile.TarInfo):
    """A header that raises `ReadError` where `tarfile` would stop without an error or use a wrong size."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        """The next member. Only a block of zeros ends the archive (damaged-header.tar, without-end.tar)."""
        stream = _stream(archive)
        while True:
            block = stream.peek(tarfile.BLOCKSIZE)
            try:
                header = super().fromtarfile(archive)
            except tarfile.HeaderError as error:
                if block == bytes(tarfile.BLOCKSIZE):
                    raise
                raise tarfile.ReadError(_found(block, stream.tell(), error)) from error
            if header.type != tarfile.XGLTYPE:
                return header

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.size < 0:  # negative.tar
            raise tarfile.ReadError(f"the header of {shown(self.name)!r} declares a size of {self.size:,} bytes")
        if self.type in _EXTENDED and self.size > _MAX_EXTENDED_BYTES:  # pax-huge.tar, name-huge.tar
            raise tarfile.ReadError(
                f"an extended header declares {self.size:,} bytes; at most {_MAX_EXTENDED_BYTES:,} are read"
            )
        if self.type in _PAX:
            _check_records(_stream(archive).peek(self.size))
        if self.type == tarfile.XGLTYPE:  # tarfile would recurse into the next header; `fromtarfile` loops (chain.tar)
            self.__dict__["fromtarfile"] = lambda _: self
        return cast(tarfile.TarInfo, super()._proc_member(archive))  # type: ignore[misc]

    def _proc_gnusparse_10(self, member: tarfile.TarInfo, *_: object) -> None:
        """Marks a sparse file, which is left out. tarfile would fail on an invalid list of its holes (pax-sparse.tar)."""
        member.sparse = b""

    _proc_gnusparse_00 = _proc_gnusparse_01 = _proc_gnusparse_10


def _stream(archive: tarfile.TarFile) -> UnpackedStream:
    return cast(UnpackedStream, archive.fileobj)


def _found(block: bytes, position: int, error: tarfile.HeaderError) -> str:
    if not position:
        return "it is empty"
    if position <= tarfile.BLOCKSIZE:
        return "it is not a tar archive"
    if len(block) < tarfile.BLOCKSIZE:
        return "it is truncated: it has no end-of-archive marker"
    return f"the header before byte {position:,} is damaged ({error})"


def _check_records(data: bytes) -> None:
    r"""Raises `ReadError` if a record of a pax header does not have the form `LENGTH KEYWORD=VALUE\n`.

    Before Python 3.11.10, `tarfile` ignores the first invalid record and all that follow (pax-digits.tar, pax-no-newline.tar).
    """
    at = 0
    while at < len(data) and data[at]:
        digits, space, _ = data[at : at + 8].partition(b" ")
        length = int(digits) if digits.isdigit() else 0
        record = data[at : at + length]
        if not space or len(record) < length or b"=" not in record or not record.endswith(b"\n"):
            raise tarfile.ReadError("an extended header is damaged")
        at += length


def read_tar(path: Path, compression: Compression, *, contents: bool | Callable[[str], bool]) -> Iterator[Item]:
    """Yields the members of a tar archive in its order; see `resnet.ingestion.archives.reading.read_archive`."""
    allowance, names = Allowance(path), Names()
    with path.open("rb") as file:
        stream = UnpackedStream(path, file, compression, allowance)
        for archive, info in _members(stream):
            allowance.take(info.size if info.type in _FILES else 0)
            try:
                item = _item(archive, info, names, contents)
            except BadFile as bad:
                item = rejected(info.name, bad)
            except tarfile.ReadError as error:
                raise damaged(path, f"it is truncated in the middle of {shown(info.name)!r} ({error})") from error
            if item:
                yield item
        _check_padding(stream)


def _members(stream: UnpackedStream) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    archive: tarfile.TarFile | None = None
    while True:
        try:
            archive = archive or tarfile.TarFile(
                fileobj=cast(IO[bytes], stream), tarinfo=_Header, encoding="utf-8", errors="surrogateescape"
            )
            info = archive.next()
            if info and info.size < 0:  # pax-negative.tar
                raise tarfile.ReadError(f"an extended header declares a size of {info.size:,} bytes for {shown(info.name)!r}")
        except _INVALID as error:
            found = str(error) if isinstance(error, tarfile.TarError) else f"a header makes no sense ({error})"
            found = found.replace("unexpected end of data", "it is truncated in the middle of a file")
            raise damaged(stream.path, f"{found}, after {stream.tell():,} bytes") from error
        if info is None:
            return
        archive.members.clear()  # type: ignore[attr-defined]  # tarfile keeps every header
        yield archive, info


def _item(archive: tarfile.TarFile, info: tarfile.TarInfo, names: Names, contents: bool | Callable[[str], bool]) -> Item | None:
    if info.isdir():
        return names.folder(info.name)
    name = names.file(info.name)
    if info.issparse():
        raise BadFile(Reason.UNREADABLE, "a sparse file: pack it without --sparse")
    if info.type not in _FILES:
        kind = _KINDS.get(info.type, f"of the kind {shown(repr(info.type)[1:])}")
        to = f" to {shown(info.linkname)!r}" if info.linkname else ""
        raise BadFile(Reason.UNREADABLE, f"{kind}{to}, not a regular file")
    check_size(info.size)
    if not (contents(name) if callable(contents) else contents):
        return Member(name, _only_names)
    extracted = archive.extractfile(info)
    data = extracted.read() if extracted else b""
    return Member(name, lambda: data)


def _only_names() -> bytes:
    raise ValueError("the archive was read for its names only")


def _check_padding(stream: UnpackedStream) -> None:
    """Reads to the end, where compressed data have their checksum. Only zeros may follow the end marker (joined.tar)."""
    end = stream.tell()
    while data := stream.read(1 << 18):
        if data.count(0) != len(data) or stream.tell() - end > _MAX_PADDING_BYTES:
            found = f"other data follow its end-of-archive marker at byte {end:,}, as if several archives were joined"
            raise damaged(stream.path, found)
