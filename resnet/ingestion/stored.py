"""An object in a bucket as a source: an archive or a Parquet file that is read where it is, without a copy on the disk.

A part of an object comes without a checksum; the storage keeps one of the whole. So the blocks are first read from the start to
the end. Each one adds to the sum of the whole, which is compared at the end, and its own CRC-32 is kept: what is read of it
later must have the same. A jump, as to the directory at the end of a ZIP archive, reads what lies before first. So who has read
the last block got the bytes that were uploaded, or an error.
"""

import errno
import io
import os
import stat
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, cast

from resnet.core.buckets import BucketError, explained, open_bucket
from resnet.core.errors import UserError
from resnet.ingestion.archives.reading import has_archive_name
from resnet.ingestion.object_sums import ObjectSum, kept_sum

SCHEME = "s3://"
# A request takes a tenth of a second wherever the bucket is, so what is read front to back is read in large blocks.
_BLOCK_BYTES = 8 << 20
_BLOCKS_KEPT = 6  # in memory; a row group of a Parquet file has a place for each of its columns


class _Status(NamedTuple):
    st_size: int
    st_mode: int


class StoredFile:
    """An object, with those parts of `pathlib.Path` that reading an archive or a Parquet file needs.

    Args:
        url: `s3://bucket/name`.

    Raises:
        UserError: there is no such object, it cannot be read, or the package for S3 is not installed.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self.parent, _, self.name = url.rpartition("/")
        self.suffix = os.path.splitext(self.name)[1]  # noqa: PTH122 - it is no path of this machine
        with _explained(url):
            self._files, self._path = open_bucket(url)
            self._etag, self._size = self._now()
        self._sum: ObjectSum | None = None
        self._sum_is_known = False
        self._crcs: dict[int, int] = {}  # of the blocks that were read
        self._blocks: dict[int, bytes] = {}  # the last ones that were used
        self._lock = threading.Lock()
        self._fault: UserError | None = None  # once it was found, nothing more is read

    def _now(self) -> tuple[str, int]:
        found = self._files.info(self._path, refresh=True)
        if found["type"] != "file":
            raise IsADirectoryError(errno.EISDIR, "it is a folder; expected one archive or Parquet file")
        return str(found.get("ETag")), int(found["size"])

    def __str__(self) -> str:
        return self._url

    def __fspath__(self) -> str:
        return self._url

    def relative_to(self, folder: object) -> PurePosixPath:
        """Its name: the folder is always the one that it is in."""
        return PurePosixPath(self.name)

    def exists(self) -> bool:
        """It does: otherwise it could not be made."""
        return True

    def is_dir(self) -> bool:
        """It is none."""
        return False

    def is_file(self) -> bool:
        """It is one."""
        return True

    def stat(self) -> _Status:
        """Its size in bytes."""
        return _Status(self._size, stat.S_IFREG)

    def open(self, mode: str = "rb", buffering: int = -1) -> Any:
        """The object for reading, in binary mode.

        Raises:
            UserError: it was replaced meanwhile, or it cannot be read.
        """
        with _explained(self._url):
            etag, _ = self._now()
        if etag != self._etag:
            raise _replaced(self._url)
        with _explained(self._url):
            with self._lock:
                if not self._sum_is_known:
                    self._sum, self._sum_is_known = self._kept_sum(), True
            file = self._files.open(self._path, mode, block_size=_BLOCK_BYTES, cache_type="none")
        return _Reading(self, file)

    def read(self, file: Any, at: int, size: int) -> bytes:
        """Some bytes of the object, fewer at its end.

        Args:
            file: as s3fs opens it.
            at: the first of them.
            size: their number.

        Raises:
            UserError: they are not those that were uploaded, or cannot be read.
        """
        parts = []
        while size > 0 and at < self._size:
            number, start = divmod(at, _BLOCK_BYTES)
            parts.append(self._block(file, number)[start : start + size])
            at += len(parts[-1])
            size -= len(parts[-1])
        return b"".join(parts)

    def _block(self, file: Any, number: int) -> bytes:
        with self._lock:
            if self._fault:
                raise self._fault
            while self._sum and len(self._crcs) < number:
                self._fetch(file, len(self._crcs))
            if number not in self._blocks:
                self._fetch(file, number)
            self._blocks[number] = self._blocks.pop(number)  # the last used one is the last
            return self._blocks[number]

    def _fetch(self, file: Any, number: int) -> None:
        start = number * _BLOCK_BYTES
        length = min(_BLOCK_BYTES, self._size - start)
        with _explained(self._url):
            file.seek(start)
            block = bytes(file.read(length))
        if len(block) < length:
            raise self._damaged(f"{start + len(block):,} bytes instead of {self._size:,}")
        crc = zlib.crc32(block)
        if number in self._crcs:
            if crc != self._crcs[number]:
                raise self._damaged(f"the sum of a part is {crc:08x} instead of {self._crcs[number]:08x}")
        else:
            self._crcs[number] = crc
            self._add(block)
        self._blocks[number] = block
        if len(self._blocks) > _BLOCKS_KEPT:
            del self._blocks[next(iter(self._blocks))]

    def _add(self, block: bytes) -> None:
        """Adds the next block to the sum of the whole, and compares the sum at the end."""
        if self._sum is None:
            return
        self._sum.update(block)
        if len(self._crcs) * _BLOCK_BYTES < self._size:
            return
        with _explained(self._url):
            damaged = self._sum.proves_damage()
        if damaged:
            raise self._damaged(f"their sum is {self._sum.found()} instead of {self._sum.expected}")

    def _damaged(self, what: str) -> UserError:
        self._fault = UserError(
            f"{self._url} was received with other bytes than were uploaded ({what}): run the command again, and if that does "
            "not help, upload the file again."
        )
        return self._fault

    def _kept_sum(self) -> ObjectSum | None:
        bucket, key, _ = self._files.split_path(self._path)

        def head(**more: Any) -> dict[str, Any]:
            found: dict[str, Any] = self._files.call_s3("head_object", Bucket=bucket, Key=key, **more)
            return found

        def part_size(number: int) -> int:
            try:
                return int(head(PartNumber=number)["ContentLength"])
            except OSError:  # not every storage knows the parts
                return 0

        new = kept_sum(head(ChecksumMode="ENABLED"), part_size)
        return new() if new else None


class _Reading(io.RawIOBase):
    """A file object whose errors are sentences: a connection that breaks is no damage of the archive."""

    def __init__(self, stored: StoredFile, file: Any) -> None:
        self._stored = stored
        self._file = file
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._stored.stat().st_size}[whence]
        if start + offset < 0:
            raise OSError(errno.EINVAL, "it has no byte before its first")
        self._at = start + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        most = self._stored.stat().st_size - self._at
        data = self._stored.read(self._file, self._at, most if size is None or size < 0 else min(size, most))
        self._at += len(data)
        return data

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


@contextmanager
def _explained(url: str) -> Iterator[None]:
    try:
        with explained():
            yield
    except BucketError as error:
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno == errno.EBUSY:  # s3fs compares the ETag with each request
            raise _replaced(url) from error
        raise UserError(
            f"{url} cannot be read ({error}): check the name, the credentials (AWS_ACCESS_KEY_ID) and the address "
            "(AWS_ENDPOINT_URL) of the bucket."
        ) from error


def _replaced(url: str) -> UserError:
    return UserError(f"{url} was replaced while it was read: run the command again.")


def stored(url: str) -> Path:
    """An archive or a Parquet file in a bucket as a path.

    Raises:
        UserError: its name is that of something else, or see `StoredFile`.
    """
    if not (url.casefold().endswith(".parquet") or has_archive_name(Path(url))):
        raise UserError(
            f"{url} is neither an archive (.zip, .tar, .tar.gz) nor a .parquet by its name, and nothing else is read from a "
            "bucket: download it and name the copy."
        )
    return cast("Path", StoredFile(url))
