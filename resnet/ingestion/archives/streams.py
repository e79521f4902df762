"""Unpacks a tar archive of any compression as a stream, in bounded memory.

A `UserError` is raised if the compressed data are damaged or truncated, unpack to too much, need too much memory, or are
followed by other data.
"""

import bz2
import gzip
import io
import lzma
import tarfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, cast

from resnet.core.errors import UserError
from resnet.core.words import counted
from resnet.ingestion.archives.entries import Allowance, damaged

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Compression = Literal["", "gzip", "bzip2", "xz"]

# `xz -9` needs 65 MiB. liblzma allocates the dictionary that a header declares before it unpacks a byte.
MAX_XZ_MEMORY_BYTES = 128 << 20
_CHUNK_BYTES = 256 << 10


class UnpackedStream:
    """The unpacked bytes of a file, front to back. It has the part of a file object's interface that `tarfile` needs.

    Attributes:
        path: the file.
    """

    def __init__(self, path: Path, file: BinaryIO, compression: Compression, allowance: Allowance) -> None:
        self.path = path
        self._position = 0
        self._ahead = b""
        self._file = file
        self._size = path.stat().st_size
        self._compressed = bool(compression)
        self._unpacked = _unpacking(file, compression) if compression else file
        self._allowance = allowance

    def tell(self) -> int:
        """The number of unpacked bytes that were read or skipped."""
        return self._position

    def peek(self, size: int) -> bytes:
        """The next `size` bytes, without moving on."""
        self._ahead = self.read(size)
        self._position -= len(self._ahead)
        return self._ahead

    def read(self, size: int) -> bytes:
        """The next `size` bytes; fewer at the end only.

        Raises:
            UserError: the compressed data are damaged, truncated, or unpack to too much.
        """
        data = self._ahead[:size]
        self._ahead = self._ahead[size:]
        self._position += len(data)
        if size - len(data) <= _CHUNK_BYTES:
            return data + self._read(size - len(data))
        parts = io.BytesIO(data)  # the readers below would hold a large file twice
        parts.seek(len(data))
        while parts.tell() < size and (chunk := self._read(min(size - parts.tell(), _CHUNK_BYTES))):
            parts.write(chunk)
        return parts.getvalue()

    def _read(self, size: int) -> bytes:
        try:
            data = self._unpacked.read(size)
        except EOFError as error:
            found = f"it is truncated: its compressed data break off after {counted(self._position, 'unpacked byte')}"
            raise damaged(self.path, found) from error
        except (OSError, zlib.error, lzma.LZMAError) as error:
            if isinstance(error, OSError) and error.errno:
                raise  # an error of the disk; those of gzip and bz2 have no number
            if "Memory usage limit" in str(error):
                raise _needs_memory(self.path) from error
            raise damaged(self.path, f"its compressed data are damaged ({error})") from error
        self._position += len(data)
        if self._compressed:
            self._allowance.check_ratio(self._file.tell(), self._position)
        return data

    def seek(self, position: int) -> int:
        """Skips to a position ahead, or to the end if the end comes first.

        Raises:
            UserError: as `read`.
            tarfile.ReadError: the position lies behind, so a header has a wrong size.
        """
        if position < self._position:
            raise tarfile.ReadError(f"a header leads back to byte {position:,}")
        if self._compressed or self._ahead:
            while self._position < position and self.read(min(position - self._position, _CHUNK_BYTES)):
                pass
        else:
            self._position = self._file.seek(min(position, self._size))  # a file system has a limit (pax-size.tar)
        return self._position


def _needs_memory(path: Path) -> UserError:
    return UserError(
        f"{path} needs more than {MAX_XZ_MEMORY_BYTES >> 20} MiB of memory to unpack (an archive of `xz -9` needs 65): "
        "compress it again with a smaller dictionary."
    )


def _unpacking(file: BinaryIO, compression: Compression) -> BinaryIO:
    if compression == "gzip":
        return cast(BinaryIO, io.BufferedReader(gzip.GzipFile(fileobj=file), _CHUNK_BYTES))
    new = bz2.BZ2Decompressor if compression == "bzip2" else partial(lzma.LZMADecompressor, memlimit=MAX_XZ_MEMORY_BYTES)
    return io.BufferedReader(_Streams(file, new), _CHUNK_BYTES)


class _Streams(io.RawIOBase):
    """One or more compressed streams, with zeros between and after them, as parallel packers write them.

    `bz2.BZ2File` and `lzma.LZMAFile` ignore what follows the last stream (garbage.tar.bz2 and garbage.tar.xz in
    `tests/hostile/tars.py`), and `LZMAFile` takes no limit on memory (dictionary.tar.xz).
    """

    def __init__(self, file: BinaryIO, new: Callable[[], bz2.BZ2Decompressor | lzma.LZMADecompressor]) -> None:
        self._file = file
        self._new = new
        self._stream = new()
        self._waiting = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer)
        while True:
            if self._stream.eof and not self._next_stream():
                return 0
            if self._stream.needs_input and not self._waiting:
                self._waiting = self._file.read(_CHUNK_BYTES)
                if not self._waiting:
                    raise EOFError
            data = self._stream.decompress(self._waiting, len(view))
            self._waiting = b""
            if data:
                view[: len(data)] = data
                return len(data)

    def _next_stream(self) -> bool:
        """Begins the next stream; false at the end of the file."""
        rest = self._stream.unused_data.lstrip(b"\0")
        while not rest:
            chunk = self._file.read(_CHUNK_BYTES)
            if not chunk:
                return False
            rest = chunk.lstrip(b"\0")
        self._waiting, self._stream = rest, self._new()
        return True
