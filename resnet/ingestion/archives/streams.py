"""The bytes of a tar archive from its first to its last, whatever it is compressed with, in bounded memory.

Compressed data that are damaged, break off, unpack to too much or need too much memory stop the reading with a sentence. Data
after the end of the compressed stream are damage too: `gzip` warns of them, and nothing here is silent.
"""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, cast

from resnet.core.errors import UserError
from resnet.ingestion.archives.entries import Allowance, damaged

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Compression = Literal["", "gzip", "bzip2", "xz"]

# `xz -9` needs 65 MiB. The dictionary that a header declares is allocated before a byte is unpacked.
MAX_XZ_MEMORY_BYTES = 128 << 20
_CHUNK_BYTES = 256 << 10


class UnpackedStream:
    """The unpacked bytes of a file, front to back.

    Attributes:
        path: the file.
        position: the unpacked bytes that were read or skipped.
    """

    def __init__(self, path: Path, file: BinaryIO, compression: Compression, allowance: Allowance) -> None:
        self.path = path
        self.position = 0
        self._file = file
        self._compressed = bool(compression)
        self._unpacked = _unpacking(file, compression) if compression else file
        self._size = path.stat().st_size
        self._allowance = allowance

    def read(self, size: int) -> bytes:
        """The next `size` bytes; fewer only at the end.

        Raises:
            UserError: the compressed data are damaged, break off, or unpack to too much.
        """
        if size <= _CHUNK_BYTES:
            return self._read(size)
        data = io.BytesIO()  # the readers below would hold a large file twice
        while data.tell() < size and (chunk := self._read(min(size - data.tell(), _CHUNK_BYTES))):
            data.write(chunk)
        return data.getvalue()

    def _read(self, size: int) -> bytes:
        try:
            data = self._unpacked.read(size)
        except EOFError as error:
            raise damaged(
                self.path, f"it is truncated: its compressed data break off after {self.position:,} unpacked bytes"
            ) from error
        except (OSError, zlib.error, lzma.LZMAError) as error:
            if isinstance(error, OSError) and error.errno:
                raise  # of the disk; what gzip and bz2 raise has no number
            if "Memory usage limit" in str(error):
                raise _needs_memory(self.path) from error
            raise damaged(self.path, f"its compressed data are damaged ({error})") from error
        self.position += len(data)
        if self._compressed:
            self._allowance.check_ratio(self._file.tell(), self.position)
        return data

    def skip(self, size: int) -> bool:
        """Passes over `size` bytes; false if the end comes before.

        Raises:
            UserError: as `read`.
        """
        if not self._compressed:
            whole = size <= self._size - self.position
            self.position = self._file.seek(min(self.position + size, self._size))
            return whole
        while size:
            data = self.read(min(size, _CHUNK_BYTES))
            if not data:
                return False
            size -= len(data)
        return True


def _needs_memory(path: Path) -> UserError:
    return UserError(
        f"{path} needs more than {MAX_XZ_MEMORY_BYTES >> 20} MiB of memory to be unpacked, and an archive made by `xz -9` "
        "needs 65: pack it anew with a smaller dictionary."
    )


@contextmanager
def open_unpacked(path: Path, compression: Compression, allowance: Allowance) -> Iterator[UnpackedStream]:
    """Opens a file for the time of the block."""
    with path.open("rb") as file:
        yield UnpackedStream(path, file, compression, allowance)


def _unpacking(file: BinaryIO, compression: Compression) -> BinaryIO:
    if compression == "gzip":
        return cast(BinaryIO, io.BufferedReader(gzip.GzipFile(fileobj=file), _CHUNK_BYTES))
    new = bz2.BZ2Decompressor if compression == "bzip2" else partial(lzma.LZMADecompressor, memlimit=MAX_XZ_MEMORY_BYTES)
    return io.BufferedReader(_Streams(file, new), _CHUNK_BYTES)


class _Streams(io.RawIOBase):
    """One or more compressed streams behind each other, with zeros between and after them: what parallel packers write.

    `lzma.LZMAFile` takes no limit on memory, and `bz2.BZ2File` passes over what stands behind the last stream.
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
        """False at the end of the file."""
        rest = self._stream.unused_data.lstrip(b"\0")
        while not rest:
            chunk = self._file.read(_CHUNK_BYTES)
            if not chunk:
                return False
            rest = chunk.lstrip(b"\0")
        self._waiting, self._stream = rest, self._new()
        return True
