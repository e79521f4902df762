"""An object in a bucket as a source: an archive or a Parquet file that is read where it is, without a copy on the disk."""

import errno
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, cast

from resnet.core.buckets import BucketError, explained, open_bucket
from resnet.core.errors import UserError
from resnet.ingestion.archives.reading import has_archive_name

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
            return _Reading(self._url, self._files.open(self._path, mode, block_size=_BLOCK_BYTES))


class _Reading(io.RawIOBase):
    """A file object whose errors are sentences: a connection that breaks is no damage of the archive."""

    def __init__(self, url: str, file: Any) -> None:
        self._url = url
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def read(self, size: int | None = -1) -> bytes:
        with _explained(self._url):
            return bytes(self._file.read(-1 if size is None else size))

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
