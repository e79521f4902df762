"""An object in a bucket as a source: an archive or a Parquet file that is read where it is, without a copy on the disk."""

import errno
import io
import os
import stat
from collections.abc import Callable, Iterator
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
        self._sum: Callable[[], ObjectSum] | None = None
        self._sum_is_known = False

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
            if not self._sum_is_known:
                self._sum, self._sum_is_known = self._kept_sum(), True
            file = self._files.open(self._path, mode, block_size=_BLOCK_BYTES)
        return _Reading(self._url, file, self._size, self._sum() if self._sum else None)

    def _kept_sum(self) -> Callable[[], ObjectSum] | None:
        bucket, key, _ = self._files.split_path(self._path)

        def head(**more: Any) -> dict[str, Any]:
            found: dict[str, Any] = self._files.call_s3("head_object", Bucket=bucket, Key=key, **more)
            return found

        def part_size(number: int) -> int:
            try:
                return int(head(PartNumber=number)["ContentLength"])
            except OSError:  # not every storage knows the parts
                return 0

        return kept_sum(head(ChecksumMode="ENABLED"), part_size)


class _Reading(io.RawIOBase):
    """A file object whose errors are sentences: a connection that breaks is no damage of the archive.

    Who reads it from its start to its end gets the bytes that are stored, or an error. What is skipped is read too.
    """

    def __init__(self, url: str, file: Any, size: int, kept: ObjectSum | None) -> None:
        self._url = url
        self._file = file
        self._size = size
        self._sum = kept
        self._summed = 0  # bytes

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self.tell(), io.SEEK_END: self._size}[whence]
        to = start + offset
        if self._sum and self.tell() == self._summed < to < self._size:
            while self.tell() < to:
                self.read(min(to - self.tell(), _BLOCK_BYTES))
        return int(self._file.seek(to))

    def tell(self) -> int:
        return int(self._file.tell())

    def read(self, size: int | None = -1) -> bytes:
        at = self.tell()
        with _explained(self._url):
            data = bytes(self._file.read(-1 if size is None else size))
        if self._sum and at == self._summed and data:
            self._sum.update(data)
            self._summed += len(data)
            if self._summed == self._size:
                self._compare(self._sum)
        return data

    def _compare(self, kept: ObjectSum) -> None:
        with _explained(self._url):
            damaged = kept.proves_damage()
        if damaged:
            raise UserError(
                f"{self._url} was received with other bytes than were uploaded (their sum is {kept.found()} instead of "
                f"{kept.expected}): run the command again, and if that does not help, upload the file again."
            )

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
