"""A store that several hosts share: a bucket, or a folder of a network disk; see docs/sharing.md.

All access goes through fsspec (https://filesystem-spec.readthedocs.io), which DVC uses too. S3 takes its credentials and its
address from the usual places: `AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, `~/.aws`.
"""

import errno
import glob
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from resnet.core import disk
from resnet.core.errors import UserError

# A server that does not answer must hold up neither the start of training nor its end.
_S3 = {"config_kwargs": {"connect_timeout": 5, "read_timeout": 20, "retries": {"max_attempts": 2}}}


class StoreError(Exception):
    """The store could not be used; the text is the reason, without a full stop."""


class TakenError(StoreError):
    """There is an object with this name already."""


class Store:
    """A folder of a store.

    Args:
        url: as fsspec takes it, such as `s3://bucket/folder` or `/mnt/folder`.

    Raises:
        StoreError: the address has no meaning, or a package for it is not installed.
    """

    def __init__(self, url: str) -> None:
        import fsspec

        with _translated():
            kind = fsspec.utils.get_protocol(url)
            self._is_folder = kind == "file"
            options: dict[str, Any] = _S3 if kind == "s3" else {}
            self._files, self._top = fsspec.url_to_fs(url, use_listings_cache=False, skip_instance_cache=True, **options)
            self._files.retries = 1  # s3fs repeats what botocore has repeated, five times

    def _path(self, *names: str) -> str:
        return "/".join((self._top.rstrip("/"), *names))

    @contextmanager
    def _beside(self, *names: str) -> Iterator[Path]:
        """A temporary path in a folder on a disk, so that nobody reads half a file. Leftovers of killed processes go."""
        path, here = Path(self._path(*names)), f".{platform.node()}-"
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f"{glob.escape(here)}*"):
            number = left.name.removeprefix(here).partition("-")[0]
            if number.isdecimal() and not disk.is_running(int(number)):
                left.unlink(missing_ok=True)
        partial = path.with_name(f"{here}{os.getpid()}-{path.name}")
        try:
            yield partial
        finally:
            partial.unlink(missing_ok=True)

    def names(self, *folder: str) -> list[str]:
        """The names in a folder of the store; none if it does not exist.

        Raises:
            StoreError: it cannot be listed.
        """
        with _translated():
            try:
                found = self._files.ls(self._path(*folder), detail=False, refresh=True)
            except FileNotFoundError:
                return []
            names = sorted(str(path).rstrip("/").rpartition("/")[2] for path in found)
            return [name for name in names if not name.startswith(".")]

    def read(self, *names: str) -> bytes | None:
        """The content of an object, or None if there is none.

        Raises:
            StoreError: it cannot be read.
        """
        with _translated():
            try:
                return bytes(self._files.cat_file(self._path(*names)))
            except (FileNotFoundError, NotADirectoryError):
                return None

    def write(self, content: bytes, *names: str) -> None:
        """Makes or replaces an object.

        Raises:
            StoreError: it cannot be written.
        """
        with _translated():
            if self._is_folder:
                with self._beside(*names) as partial:
                    partial.write_bytes(content)
                    partial.replace(self._path(*names))
            else:
                self._files.pipe_file(self._path(*names), content)

    def create(self, content: bytes, *names: str) -> None:
        """Makes an object that must not exist. Of several hosts that try at once, one succeeds.

        S3 and stores like it do this by `If-None-Match: *`, file systems by link(2), which network disks have too.

        Raises:
            TakenError: there is one.
            StoreError: it cannot be written.
        """
        with _translated():
            try:
                if self._is_folder:
                    with self._beside(*names) as partial:
                        partial.write_bytes(content)
                        Path(self._path(*names)).hardlink_to(partial)
                else:
                    with self._files.open(self._path(*names), "xb") as file:
                        file.write(content)
            except FileExistsError as error:
                raise TakenError(f"{names[-1]} exists") from error

    def put(self, path: Path, *names: str) -> None:
        """Copies a file into the store.

        Raises:
            StoreError: it cannot be written.
        """
        with _translated():
            if self._is_folder:
                with self._beside(*names) as partial:
                    shutil.copyfile(path, partial)
                    partial.replace(self._path(*names))
            else:
                self._files.put_file(str(path), self._path(*names))

    def get(self, path: Path, *names: str) -> None:
        """Copies an object of the store to a file.

        Raises:
            StoreError: it cannot be read.
            UserError: the disk of this host is full.
        """
        try:
            with _translated():
                self._files.get_file(self._path(*names), str(path))
        except StoreError as error:
            path.unlink(missing_ok=True)
            if isinstance(error.__cause__, OSError) and error.__cause__.errno in (errno.ENOSPC, errno.EDQUOT):
                raise UserError(
                    f"{path} could not be written because the disk is full: free some space and run again."
                ) from error
            raise

    def remove(self, *names: str) -> None:
        """Removes an object if there is one.

        Raises:
            StoreError: it cannot be removed.
        """
        with _translated():
            try:
                self._files.rm_file(self._path(*names))
            except FileNotFoundError:
                return


@contextmanager
def _translated() -> Iterator[None]:
    """The clients of stores raise errors of many kinds, most of them with a text of several lines."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        lines = str(error).strip().splitlines()
        raise StoreError(f"{type(error).__name__}: {lines[0].rstrip('.')}" if lines else type(error).__name__) from error
