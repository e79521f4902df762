"""Compare files and DVC's cache with the hashes in `dvc.lock`.

DVC hashes a file again only when its time or size has changed. It does not notice a flipped bit, neither in the work tree nor
in its cache, and copies it. This command reads every file that `dvc.lock` names, in both places, at 0.7 GB/s: the speed of MD5
on one core. `make repro` verifies only the cache, whose files never change for a good reason, and only up to 4 GB. Outputs that
are missing from the work tree or from the cache are named too, for example after a `dvc pull` that failed, but not with
`--cache`. With `--remote` the command downloads and verifies what the default remote has instead. The exit code is 1 if
anything is damaged or missing.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from commands.repair import DVC_LOCK, is_whole, refuse_conflicts, verify_remotes, while_dvc_waits
from resnet.core.checksums import md5
from resnet.core.errors import UserError, printable
from resnet.core.words import agreeing, counted
from tasks.stage.graph import DVC_YAML, read_graph

_GIGABYTE = 10**9
_FEW = 3  # of the same kind are named one by one
_PULL = "run `dvc pull`, or `dvc repro`, which makes what is missing again."
_CHECKOUT = "run `dvc checkout {}`, which takes what is missing from DVC's cache, or `dvc repro`, if a run was interrupted."
_AGAIN = "run `dvc repro`, which makes it again; it has `push: false`, so no remote has it."
_FROM_GIT = "run `git checkout {}`, or `dvc repro`, which makes what is missing again."
_REMOTE = (
    "If `dvc pull` does not bring such an object although it was pushed, it is damaged or missing in the remote: run "
    "`train-resnet repair --remote` in a clone that has it, or here after `dvc repro`."
)


def _gigabytes(value: float | None) -> float | None:
    if value is not None and not value >= 0:  # NaN too
        raise typer.BadParameter(f"must be 0 or more, but it is {value:g}")
    return value


def verify(
    cache: Annotated[bool, typer.Option("--cache", help="Verify only DVC's cache.")] = False,
    at_most: Annotated[
        float | None, typer.Option(metavar="GB", callback=_gigabytes, help="Read nothing if there is more than that to read.")
    ] = None,
    remote: Annotated[bool, typer.Option("--remote", help="Verify the default remote instead of this folder.")] = False,
) -> int:
    """Verifies the project in the current folder and prints a sentence for each damaged file and each missing output.

    Returns:
        1 if a file is damaged or an output is missing, otherwise 0.

    Raises:
        UserError: `dvc.lock` is missing or damaged, DVC does not say where its cache is, or the remote cannot be used.
    """
    if remote:
        from commands.remote_objects import verify_remote

        return verify_remote()
    if cache and not DVC_LOCK.exists():
        return 0
    for sentence in verify_remotes(Path(".dvc")):
        print(sentence)
    folder = _cache_folder()
    files = [file for file in recorded_files(Path(), folder) if file.cached or not cache]
    found = [] if cache else find_missing(Path(), folder, at_most is None)
    size = sum(file.path.stat().st_size for file in files) / _GIGABYTE
    too_large = at_most is not None and size > at_most
    if too_large:
        print(f"{size:.1f} GB were not verified; `train-resnet verify` reads them all.")
    else:
        damaged = find_damaged(files)
        changed = _changed_outputs() if any(not file.cached for file, _ in damaged) else ()
        found += [*_damages(damaged, changed)]
        if not cache and not found:
            found = find_uncached(Path(), folder)
    if any(sentence.endswith(_PULL) for sentence in found):
        found.append(_REMOTE)
    for sentence in found:
        print(printable(sentence), file=sys.stderr)
    if not found and not cache and not too_large:
        were = f"{counted(len(files), 'file')} of the outputs and of DVC's cache {agreeing(len(files), 'was', 'were')}"
        print(f"verify: {were} verified; none is damaged or missing.")
    return 1 if found else 0


_HASH = re.compile(r"[0-9a-f]{32}(\.dir)?")


@dataclass(frozen=True)
class Recorded:
    """A file and its recorded hash.

    Attributes:
        path: of the file, in the work tree or in the cache.
        md5: 32 hexadecimal digits.
        output: the path in `dvc.lock`: of the file, or of the folder that holds it.
        cached: whether the file is in the cache.
    """

    path: Path
    md5: str
    output: str
    cached: bool


def find_damaged(files: list[Recorded]) -> list[tuple[Recorded, str]]:
    """The files whose hash is not the recorded one, with the hash that they have, or why it is not known."""
    return [(file, found) for file in files if (found := _md5(file.path)) != file.md5]


def _sentence(file: Recorded, found: str, changed: Container[str]) -> str:
    """What is damaged and what to do.

    Args:
        file: the damaged file.
        found: its hash.
        changed: the outputs that DVC knows to be changed, for example by an interrupted run. DVC makes those again. It takes
            others for undamaged until they are removed.
    """
    if file.cached:
        remedy = f"run `rm -f '{file.path}'`, then `dvc pull`, or `dvc repro`, which makes it again."
    elif file.output in changed:
        remedy = "`dvc repro` replaces it; keep a copy before, if you changed it yourself."
    else:
        remedy = f"run `rm -rf {file.output}`, and `dvc repro` restores it."
    return f"{file.path} is not what was recorded (MD5: {found} instead of {file.md5}): {remedy}"


def _damages(damaged: list[tuple[Recorded, str]], changed: Container[str]) -> Iterator[str]:
    """A sentence for each damaged file, or one for many files of an output; the arguments are as above."""
    outputs = dict.fromkeys((file.output, file.cached) for file, _ in damaged)
    for output, cached in outputs:
        pairs = [(file, found) for file, found in damaged if (file.output, file.cached) == (output, cached)]
        first, *others = [_sentence(file, found, changed) for file, found in pairs]
        yield first
        if cached or len(pairs) <= _FEW:
            yield from others
        else:
            more = f"{counted(len(others), 'more file')} in {output} {agreeing(len(others), 'is', 'are')}"
            yield f"{more} not what was recorded either: the same command is for all of them."


def find_missing(root: Path, cache: Path, read: bool = False) -> list[str]:
    """A sentence for each output that `dvc.lock` names and that the work tree does not have, or has only in part.

    Those that the cache does not have either come first, because the others are often missing for that reason: a pull that
    fails brings nothing. Many outputs with the same remedy share a sentence.

    Args:
        root: of the project.
        cache: the folder that `dvc cache dir` prints.
        read: read the files of a folder whose list the cache has lost; the folder is complete if its list would be the same.

    Raises:
        UserError: `dvc.lock` is missing or damaged.
    """
    outputs = recorded_outputs(root / DVC_LOCK)
    remedies = dict.fromkeys(_without(root / DVC_YAML, "push"), _AGAIN)
    remedies |= dict.fromkeys(_kept_by_git(root / DVC_YAML), _FROM_GIT)
    found = [one for out in outputs if (one := _missing(root, cache, out, remedies, read))]
    return [
        sentence
        for remedy in (_PULL, _AGAIN, _CHECKOUT, _FROM_GIT)
        for sentence in _few([one for one in found if one.remedy == remedy])
    ]


@dataclass(frozen=True)
class _Missing:
    """What is missing of an output.

    Attributes:
        output: its path in `dvc.lock`.
        what: the first part of a sentence about it.
        remedy: what to do; braces stand for the names of outputs.
    """

    output: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}: {self.remedy.format(self.output)}"


def _few(found: list[_Missing]) -> list[str]:
    """A sentence for each output, or one for many, which have the same remedy."""
    if len(found) <= _FEW:
        return [str(one) for one in found]
    remedy = found[0].remedy.format(" ".join(one.output for one in found))
    return [f"{found[0].what}; {len(found) - 1} more outputs are missing or incomplete too: {remedy}"]


def _missing(root: Path, cache: Path, out: dict[str, Any], remedies: Mapping[str, str], read: bool) -> _Missing | None:
    """What is missing of an output; None if it is complete. The arguments are as above, and remedies of some outputs."""
    name, pairs = out["path"], _files(root, cache, out)
    absent = [path for path, _ in pairs if not path.exists()]
    lost = [md5 for _, md5 in pairs if not _cached(cache, md5).is_file()]
    if not (root / name).exists():
        what = f"{name} is missing"
    elif absent:
        inside = absent[0].relative_to(root)
        are, such_as = agreeing(len(absent), "is", "are"), agreeing(len(absent), "namely", "such as")
        what = f"{len(absent):,} of {counted(len(pairs) - 1, 'file')} in {name} {are} missing, {such_as} {inside}"
    elif out["md5"].endswith(".dir") and out["md5"] in lost and not (read and _folder_md5(root / name) == out["md5"]):
        what = f"{name} was not verified"
    else:
        return None
    remedy = remedies.get(name, _PULL)
    if remedy == _FROM_GIT:
        return _Missing(name, what, _FROM_GIT)
    if not lost:
        return _Missing(name, what, _CHECKOUT)
    return _Missing(name, f"{what}; DVC's cache does not have {object_key(lost[0])}", remedy)


def _folder_md5(folder: Path) -> str:
    """The hash that DVC gives to a folder: that of the list of its files, with `.dir`."""
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.tree import Tree

    tree: Any = Tree()  # type: ignore[no-untyped-call]
    for path in folder.rglob("*"):
        if path.is_file():
            tree.add(path.relative_to(folder).parts, None, HashInfo("md5", _md5(path)))
    tree.digest()
    return str(tree.oid)


def find_uncached(root: Path, cache: Path) -> list[str]:
    """A sentence about outputs that the work tree has and the cache has not, so that DVC can neither push nor restore them.

    No output may be damaged or missing: `dvc commit` takes a damaged one for undamaged.

    Args:
        root: of the project.
        cache: the folder that `dvc cache dir` prints.

    Raises:
        UserError: `dvc.lock` is missing or damaged.
    """
    in_git, unpushed = _kept_by_git(root / DVC_YAML), _without(root / DVC_YAML, "push")
    lost: dict[str, list[str]] = {}
    for out in recorded_outputs(root / DVC_LOCK):
        name, pairs = out["path"], _files(root, cache, out)
        absent = [md5 for _, md5 in pairs if not _cached(cache, md5).is_file()]
        if absent and name not in in_git:
            lost[name] = absent
    if not lost:
        return []
    count, first = sum(map(len, lost.values())), next(iter(lost.values()))[0]
    files, them, such_as = counted(count, "file"), agreeing(count, "it", "them"), agreeing(count, "namely", "such as")
    commands = "`dvc checkout`" if unpushed.issuperset(lost) else "`dvc push` and `dvc checkout`"
    return [
        f"DVC's cache does not have {files} of {', '.join(lost)}, {such_as} {object_key(first)}, so {commands} "
        f"cannot bring {them}: run `dvc commit`, which takes {them} from this folder; if it says that "
        "dependencies have changed, answer n and run `dvc repro`."
    ]


def recorded_files(root: Path, cache: Path) -> Iterator[Recorded]:
    """The files that `dvc.lock` names, in the work tree and in the cache. Missing files are left out.

    Args:
        root: of the project.
        cache: the folder that `dvc cache dir` prints.

    Raises:
        UserError: `dvc.lock` is missing or damaged.
    """
    seen: set[str] = set()
    for out in recorded_outputs(root / DVC_LOCK):
        for file, each in _files(root, cache, out):
            if file.is_file():
                yield Recorded(file, each, out["path"], cached=False)
            kept = _cached(cache, each)
            if kept.is_file() and each not in seen:
                yield Recorded(kept, each.removesuffix(".dir"), out["path"], cached=True)
            seen.add(each)


def pushed_outputs(root: Path) -> list[str]:
    """The hashes of the outputs that `dvc push` sends, which are those without `cache: false` and `push: false`.

    Args:
        root: of the project.

    Raises:
        UserError: `dvc.lock` is missing or damaged.
    """
    others = _kept_by_git(root / DVC_YAML) | _without(root / DVC_YAML, "push")
    return [str(out["md5"]) for out in recorded_outputs(root / DVC_LOCK) if out["path"] not in others]


def _files(root: Path, cache: Path, out: dict[str, Any]) -> list[tuple[Path, str]]:
    """The path and the MD5 of an output, then those of the files in it if it is a folder."""
    path, md5 = root / out["path"], str(out["md5"])
    listed = _listed(_cached(cache, md5)) if md5.endswith(".dir") else []
    return [(path, md5), *((path / entry["relpath"], entry["md5"]) for entry in listed)]


def recorded_outputs(path: Path) -> list[dict[str, Any]]:
    """The outputs in a `dvc.lock`, each with its `path` and `md5`.

    Raises:
        UserError: the file is missing or damaged, has the marks of a conflict, or is being written for longer than 10 s.
    """
    try:
        with while_dvc_waits(path.parent):
            stages = YAML(typ="safe", pure=True).load(path)["stages"]
        outputs = [out for stage in stages.values() for out in stage.get("outs", [])]
        nameless = [out["path"] for out in outputs if not _HASH.fullmatch(str(out.get("md5")))]
    except FileNotFoundError as error:
        raise UserError(f"there is no {path}; `dvc repro` writes it.") from error
    except (YAMLError, ValueError, TypeError, KeyError, AttributeError) as error:
        refuse_conflicts(path.parent)
        raise UserError(f"{path} is cut short; `train-resnet repair` repairs it.") from error
    if nameless:
        raise UserError(
            f"{path} has no valid MD5 for {nameless[0]}: if `dvc repro` is running, wait until it ends; otherwise "
            f"`git checkout {path}` restores the committed version, without the results of later runs."
        )
    if not is_whole(path.parent):
        raise UserError(f"{path} is cut short; `train-resnet repair` repairs it.")
    return outputs


def _listed(path: Path) -> list[dict[str, str]]:
    """The files of a folder in DVC's list of them; none if the list is damaged, which is reported for the list itself."""
    try:
        entries = json.loads(path.read_bytes())
        return [entry for entry in entries if {"md5", "relpath"} <= entry.keys()]
    except (OSError, ValueError, TypeError, AttributeError):
        return []


def _cached(cache: Path, md5: str) -> Path:
    return cache / object_key(md5)


def object_key(md5: str) -> str:
    """Where an object is, in DVC's cache and in a remote, from its hash."""
    return f"files/md5/{md5[:2]}/{md5[2:]}"


def _kept_by_git(path: Path) -> set[str]:
    """The outputs with `cache: false`, which are not in DVC's cache."""
    return _without(path, "cache")


def _without(path: Path, option: str) -> set[str]:
    """The outputs in a `dvc.yaml` that have an option with the value false."""
    items = [
        item for entry in read_graph(path).values() for kind in ("outs", "metrics", "plots") for item in entry.get(kind, [])
    ]
    options = [next(iter(item.items())) for item in items if isinstance(item, dict)]
    return {str(name) for name, given in options if given.get(option) is False}


def _md5(path: Path) -> str:
    try:
        return md5(path)
    except OSError as error:  # some disks report the damage themselves
        return error.strerror or "unreadable"


def _cache_folder() -> Path:
    result = _dvc("cache", "dir")
    if result.returncode:
        said = result.stderr.decode(errors="replace").strip().splitlines() or ["it printed nothing"]
        raise UserError(f"`dvc cache dir` failed: {said[-1]}")
    return Path(os.fsdecode(result.stdout.strip()))


def _changed_outputs() -> set[str]:
    """The outputs that DVC knows to be changed; none if it cannot say, for example while a stage runs."""
    try:
        changes = [change for stage in json.loads(_dvc("status", "--json").stdout).values() for change in stage]
        return {path for change in changes if isinstance(change, dict) for path in change.get("changed outs", {})}
    except (ValueError, AttributeError):
        return set()


def _dvc(*arguments: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run([sys.executable, "-m", "dvc", *arguments], capture_output=True, check=False)
