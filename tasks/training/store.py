"""A store that several hosts share: a bucket, or a folder of a network disk; see docs/operations.md, "A run that moves"."""

import errno
import glob
import os
import platform
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from resnet.core import disk
from resnet.core.buckets import BucketError, explained, open_bucket
from resnet.core.errors import UserError

LARGEST_READ = 1 << 20  # bytes of an object that is read into memory: the facts of a run and a lease have some kilobytes
_FULL = (errno.ENOSPC, errno.EDQUOT)
_CHUNK = 1 << 20  # bytes


class TakenError(BucketError):
    """There is an object with this name already."""


class UnfitError(BucketError):
    """What has a name in the store cannot be what training wrote there: it is no regular file, or too large."""


class Store(ABC):
    """A store. Names are those of folders and objects, from its top; each method raises `BucketError` if it cannot be used."""

    @abstractmethod
    def names(self, *folder: str) -> list[str]:
        """The names in a folder of the store; none if it does not exist."""

    @abstractmethod
    def read(self, *names: str) -> bytes | None:
        """The content of an object, or None if there is none.

        Raises:
            UnfitError: it is no regular file, or has more than `LARGEST_READ` bytes.
        """

    @abstractmethod
    def write(self, content: bytes, *names: str) -> None:
        """Makes or replaces an object."""

    @abstractmethod
    def create(self, content: bytes, *names: str) -> None:
        """Makes an object that must not exist. Of several hosts that try at once, one succeeds.

        Raises:
            TakenError: there is one.
        """

    @abstractmethod
    def put(self, path: Path, *names: str) -> None:
        """Copies a file into the store."""

    @abstractmethod
    def remove(self, *names: str) -> None:
        """Removes an object if there is one."""

    @abstractmethod
    def _copy_out(self, path: Path, *names: str, largest: int) -> None:
        """Copies an object of the store to a file."""

    def get(self, path: Path, *names: str, largest: int) -> None:
        """Copies an object of the store to a file.

        Args:
            path: of the file.
            names: of the object.
            largest: bytes that the object can have.

        Raises:
            UnfitError: it is no regular file, or larger.
            UserError: the disk of this host is full.
        """
        try:
            self._copy_out(path, *names, largest=largest)
        except BucketError as error:
            path.unlink(missing_ok=True)
            if isinstance(error.__cause__, OSError) and error.__cause__.errno in _FULL:
                raise UserError(
                    f"{path} could not be written because the disk is full: free some space and run again."
                ) from error
            raise


class Bucket(Store):
    """A store in a bucket.

    Args:
        url: such as `s3://bucket/folder`.

    Raises:
        BucketError: the address has no meaning, or a package for it is not installed.
    """

    def __init__(self, url: str) -> None:
        self._files, self._top = open_bucket(url)

    def _path(self, *names: str) -> str:
        return "/".join((self._top.rstrip("/"), *names))

    def names(self, *folder: str) -> list[str]:
        """See `Store`."""
        with explained():
            try:
                found = self._files.ls(self._path(*folder), detail=False, refresh=True)
            except FileNotFoundError:
                return []
        return sorted(str(path).rstrip("/").rpartition("/")[2] for path in found)

    def read(self, *names: str) -> bytes | None:
        """See `Store`."""
        with explained():
            try:
                self._check_size(*names, largest=LARGEST_READ)
                return bytes(self._files.cat_file(self._path(*names), max_concurrency=1))
            except FileNotFoundError:
                return None

    def _check_size(self, *names: str, largest: int) -> None:
        size = int(self._files.info(self._path(*names), refresh=True)["size"] or 0)
        if size > largest:
            raise _too_large(names[-1], size, largest)

    def write(self, content: bytes, *names: str) -> None:
        """See `Store`."""
        with explained():
            self._files.pipe_file(self._path(*names), content)

    def create(self, content: bytes, *names: str) -> None:
        """See `Store`. S3 and storages like it do this by `If-None-Match: *`."""
        with explained():
            try:
                with self._files.open(self._path(*names), "xb") as file:
                    file.write(content)
            except FileExistsError as error:
                raise TakenError(f"{names[-1]} exists") from error

    def put(self, path: Path, *names: str) -> None:
        """See `Store`."""
        with explained():
            self._files.put_file(str(path), self._path(*names))

    def _copy_out(self, path: Path, *names: str, largest: int) -> None:
        with explained():
            self._check_size(*names, largest=largest)
            self._files.get_file(self._path(*names), str(path))

    def remove(self, *names: str) -> None:
        """See `Store`."""
        with explained():
            try:
                self._files.rm_file(self._path(*names))
            except FileNotFoundError:
                return


class Folder(Store):
    """A store in a folder that several hosts mount.

    Args:
        top: the folder. It is made if the folder above it exists: where the disk is not mounted, nothing is.

    Attributes:
        top: see above.
    """

    def __init__(self, top: Path) -> None:
        self.top = top
        with explained():
            mounted, taken = top.parent.is_dir(), top.exists() and not top.is_dir()
        if not mounted:
            raise BucketError(f"there is no folder {top.parent}; mount the disk, or make it")
        if taken:
            raise BucketError("it is a file, and a folder is expected")

    @contextmanager
    def _written(self, *names: str) -> Iterator[tuple[Path, Path]]:
        """The path of an object, and a temporary one beside it, so that nobody reads half a file.

        What killed processes of this host left there is removed.
        """
        path, here = self.top.joinpath(*names), f".{platform.node()}-"
        with explained():
            path.parent.mkdir(parents=True, exist_ok=True)
            for left in path.parent.glob(f"{glob.escape(here)}*"):
                number = left.name.removeprefix(here).partition("-")[0]
                if number.isdecimal() and not disk.is_running(int(number)):
                    left.unlink(missing_ok=True)
            partial = path.with_name(f"{here}{os.getpid()}-{path.name}")
            try:
                yield path, partial
            finally:
                partial.unlink(missing_ok=True)

    def names(self, *folder: str) -> list[str]:
        """See `Store`."""
        with explained():
            try:
                return sorted(path.name for path in self.top.joinpath(*folder).iterdir() if not path.name.startswith("."))
            except (FileNotFoundError, NotADirectoryError):
                return []

    def read(self, *names: str) -> bytes | None:
        """See `Store`."""
        with explained():
            try:
                with _opened(self.top.joinpath(*names), LARGEST_READ) as file:
                    content = file.read(LARGEST_READ + 1)
            except (FileNotFoundError, NotADirectoryError):
                return None
            if len(content) > LARGEST_READ:
                raise _too_large(names[-1], len(content), LARGEST_READ)
            return content

    def write(self, content: bytes, *names: str) -> None:
        """See `Store`."""
        with self._written(*names) as (path, partial):
            partial.write_bytes(content)
            partial.replace(path)

    def create(self, content: bytes, *names: str) -> None:
        """See `Store`. It is done by link(2), which network disks have too."""
        with self._written(*names) as (path, partial):
            partial.write_bytes(content)
            try:
                path.hardlink_to(partial)
            except FileExistsError as error:
                raise TakenError(f"{names[-1]} exists") from error

    def put(self, path: Path, *names: str) -> None:
        """See `Store`."""
        with self._written(*names) as (target, partial):
            shutil.copyfile(path, partial)
            partial.replace(target)

    def _copy_out(self, path: Path, *names: str, largest: int) -> None:
        with explained(), _opened(self.top.joinpath(*names), largest) as source, path.open("wb") as target:
            copied = 0
            while chunk := source.read(_CHUNK):
                copied += len(chunk)
                if copied > largest:  # some file systems say 0 bytes of a file without an end
                    raise _too_large(names[-1], copied, largest)
                target.write(chunk)

    def remove(self, *names: str) -> None:
        """See `Store`."""
        with explained():
            self.top.joinpath(*names).unlink(missing_ok=True)


@contextmanager
def _opened(path: Path, largest: int) -> Iterator[BinaryIO]:
    """A file of the store. Opening a FIFO would wait for a writer, and a device may have no end.

    Raises:
        UnfitError: it is no regular file, or has more bytes than it can have.
    """
    if not path.is_file() and path.exists():
        raise UnfitError(f"{path.name} is a folder, a FIFO, a socket or a device, and a file is expected")
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > largest:
            raise _too_large(path.name, size, largest)
        yield file


def _too_large(name: str, size: int, largest: int) -> UnfitError:
    return UnfitError(f"{name} has {size:,} bytes or more, and {largest:,} at most are expected")


def open_store(address: str) -> Store:
    """The store at an address.

    Args:
        address: `s3://bucket/folder` or another address that fsspec takes, or the full path of a folder.

    Raises:
        BucketError: the address has no meaning, a package for it is not installed, or the disk of the folder is not mounted.
    """
    path = address.removeprefix("file://")
    if "://" in path:
        return Bucket(address)
    if not Path(path).is_absolute():
        raise BucketError("expected an address such as s3://bucket/folder, or the full path of a folder")
    return Folder(Path(path))
