"""Compare the objects in a DVC remote with their names, which are their hashes, and replace those that are missing or damaged.

DVC does neither. `dvc push` does not send an object again that the remote has, whatever its content. It takes all files of a
folder for present if the remote has the list of the folder (treeverse/dvc#11011), so it does not send a file that is missing.
"""

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from commands.dvc_errors import unreadable
from commands.storage_errors import unusable
from commands.verify import object_key, pushed_outputs
from resnet.core.errors import UserError
from resnet.core.words import agreeing, counted

if TYPE_CHECKING:
    from dvc.data_cloud import Remote

_THREADS = 8  # an object of a few bytes is mostly a wait for the answer
_BLOCK = 2**20
_NAMED = 5  # objects


@dataclass(frozen=True)
class Fault:
    """An object of the remote that is not what it should be.

    Attributes:
        md5: the name of the object, with `.dir` for the list of a folder.
        found: the hash of its content, or None if it is missing.
    """

    md5: str
    found: str | None

    def __str__(self) -> str:
        state = "is missing" if self.found is None else f"is damaged (MD5: {self.found} instead of {self.md5})"
        return f"{object_key(self.md5)} {state}"


def verify_remote() -> int:
    """Prints a sentence for each object of the default remote that is missing or damaged.

    Returns:
        1 if there is one, otherwise 0.

    Raises:
        UserError: there is no default remote, it cannot be used, or `dvc.lock` is missing or damaged.
    """
    with opened() as remote:
        number, faults = remote.faults(pushed_outputs(Path()))
        _refuse_an_empty_one(remote, number, faults)
    for fault in faults[:_NAMED]:
        print(f"{fault} in the remote {remote.name!r}.", file=sys.stderr)
    if len(faults) > _NAMED:
        print(f"{len(faults):,} of the {number:,} objects are missing or damaged there; is it {remote.url}?", file=sys.stderr)
    if faults:
        print("`train-resnet repair --remote` replaces them from the cache of a clone that has them.", file=sys.stderr)
    else:
        verified = f"{counted(number, 'object')} of the remote {remote.name!r} {agreeing(number, 'was', 'were')} verified"
        print(f"verify: {verified}; none is damaged or missing.")
    return 1 if faults else 0


def repair_remote() -> int:
    """Replaces the objects of the default remote that are missing or damaged, and prints a sentence for each.

    Returns:
        1 if the cache lacks one of them, otherwise 0.

    Raises:
        UserError: there is no default remote, it cannot be used, or `dvc.lock` is missing or damaged.
    """
    lacking: set[str] = set()
    with opened() as remote:
        number, faults = remote.faults(pushed_outputs(Path()))
        _refuse_an_empty_one(remote, number, faults)
        for fault in sorted(faults, key=lambda fault: fault.md5.endswith(".dir")):  # the list of a folder after its files
            if not lacking.isdisjoint(remote.inside(fault.md5)):
                # With the list, `dvc push` takes all files of the folder for present, and nobody could add them.
                print(
                    f"{fault} in the remote {remote.name!r}; it stays so until the files of its folder are there.",
                    file=sys.stderr,
                )
            elif remote.replace(fault):
                print(f"{fault} in the remote {remote.name!r}; it is replaced.")
            else:
                lacking.add(fault.md5)
                print(
                    f"{fault} in the remote {remote.name!r}, and this clone does not have it: run `train-resnet repair "
                    "--remote` in a clone that has it, or here after `dvc repro`.",
                    file=sys.stderr,
                )
        if not faults:
            print(f"{_none_of(number)} in the remote {remote.name!r}.")
    return 1 if lacking else 0


def _none_of(number: int) -> str:
    if number == 1:
        return "The only object of dvc.lock's outputs is neither missing nor damaged"
    return f"None of the {number:,} objects of dvc.lock's outputs is missing or damaged"


def _refuse_an_empty_one(remote: "RemoteObjects", number: int, faults: list[Fault]) -> None:
    """Checks that a remote has at least one of the objects.

    Raises:
        UserError: it has none.
    """
    if number == len([fault for fault in faults if fault.found is None]) > 1:
        named = ", ".join(object_key(fault.md5) for fault in faults[:_NAMED])
        raise UserError(
            f"the remote {remote.name!r} has none of the {number:,} objects of the outputs, such as {named}: is {remote.url} "
            f"the wrong one? `dvc remote modify {remote.name} url URL` corrects it; if it is new, `dvc push` fills it."
        )


class RemoteObjects:
    """The objects of a remote.

    Args:
        remote: of DVC.
        cache: DVC's cache.

    Attributes:
        name: of the remote.
        url: of the remote.
    """

    def __init__(self, remote: "Remote", cache: Any) -> None:
        self.name: str = remote.name
        self.url: str = remote.fs.unstrip_protocol(remote.path)
        self._odb = remote.odb
        self._cache = cache

    def faults(self, outputs: Iterable[str]) -> tuple[int, list[Fault]]:
        """Reads the objects of outputs, those of the files in folders among them.

        Args:
            outputs: the hashes in `dvc.lock`.

        Returns:
            The number of objects, and those that are missing or damaged.

        Raises:
            UserError: the remote cannot be used.
        """
        wanted = list(dict.fromkeys(outputs))
        with self._reported(), ThreadPoolExecutor(_THREADS) as pool:
            found = dict(zip(wanted, pool.map(self._hash, wanted), strict=True))
            inside = [md5 for md5 in wanted if md5.endswith(".dir") for md5 in self._listed(md5, found[md5])]
            more = [md5 for md5 in dict.fromkeys(inside) if md5 not in found]
            found |= dict(zip(more, pool.map(self._hash, more), strict=True))
        return len(found), [Fault(md5, each) for md5, each in found.items() if each != md5.removesuffix(".dir")]

    def replace(self, fault: Fault) -> bool:
        """Replaces an object by that of the cache; returns False if the cache does not have it, or only a damaged one.

        Raises:
            UserError: the remote cannot be used, or does not keep what it gets.
        """
        from dvc.fs import localfs

        path = self._cache.oid_to_path(fault.md5)
        if self._hash_in(localfs, path) != fault.md5.removesuffix(".dir"):
            return False
        with self._reported():
            if fault.found is not None and self._odb.fs.protocol == "local":  # DVC makes its files read-only
                self._odb.delete(fault.md5)
            self._odb.add(path, localfs, fault.md5, verify=False, check_exists=False)
            kept = self._hash(fault.md5)
        if kept != fault.md5.removesuffix(".dir"):
            raise UserError(f"the remote {self.name!r} does not keep what it gets: {fault.md5} now has the MD5 {kept}.")
        return True

    def inside(self, md5: str) -> list[str]:
        """The objects of the files in a folder, from its list in the cache; none for anything else."""
        return self._listed(md5, None) if md5.endswith(".dir") else []

    def _hash(self, md5: str) -> str | None:
        return self._hash_in(self._odb.fs, self._odb.oid_to_path(md5))

    @staticmethod
    def _hash_in(fs: Any, path: str) -> str | None:
        """The hash of a file, or None if there is none."""
        digest = hashlib.md5(usedforsecurity=False)
        try:
            with fs.open(path, "rb") as file:
                while block := file.read(_BLOCK):
                    digest.update(block)
        except FileNotFoundError:
            return None
        return digest.hexdigest()

    def _listed(self, md5: str, found: str | None) -> list[str]:
        """The objects of the files in a folder, from its list in the remote, or in the cache where that is damaged."""
        from dvc.fs import localfs

        for fs, odb in ((self._odb.fs, self._odb), (localfs, self._cache)):
            path = odb.oid_to_path(md5)
            right = found if odb is self._odb else self._hash_in(fs, path)
            if right == md5.removesuffix(".dir"):
                with fs.open(path, "rb") as file:
                    return [entry["md5"] for entry in json.loads(file.read())]
        return []

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except UserError:
            raise
        except Exception as error:
            known = unusable(error, self.name)
            if known is None and isinstance(error, OSError):
                known = UserError(
                    f"an object of the remote {self.name!r} cannot be read or written ({error.strerror}: {error.filename}): "
                    "correct its permissions, or remove it and run `train-resnet repair --remote`."
                )
            if known is None:
                raise
            raise known from error


@contextmanager
def opened(name: str | None = None) -> Iterator[RemoteObjects]:
    """Opens a remote of the project in the current folder.

    Args:
        name: of the remote; None for the default one.

    Raises:
        UserError: there is no such remote, or DVC cannot read the project.
    """
    from dvc.config import ConfigError, NoRemoteError
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        repo = Repo()
        remote = repo.cloud.get_remote(name)
    except NoRemoteError as error:
        raise UserError("there is no default remote; `dvc remote add --default NAME URL` adds one.") from error
    except ConfigError as error:
        raise UserError(f"{' '.join(str(error).split())}; `dvc remote list` names the remotes.") from error
    except DvcException as error:
        raise unreadable(error) from error
    except Exception as error:
        known = unusable(error, name or "default")
        if known is None:
            raise
        raise known from error
    with repo:
        if remote.worktree or remote.fs.version_aware:
            raise UserError(
                f"the remote {remote.name!r} keeps versions of files instead of objects, which is not supported here."
            )
        yield RemoteObjects(remote, repo.cache.local)
