"""Repair the files of DVC and Git after a kill or a power cut, and secure DVC's settings.

DVC writes `dvc.lock` and `.dvc/tmp/rwlock` in place. After a kill or on a full disk a part of the file is left, and DVC then
refuses to work. A power cut can empty Git's index, which Git does not sync. DVC also keeps pickles in `/var/tmp/dvc`, where
every user may write; this command moves them to a private folder. That setting contains a path of this machine, so it is in
`.dvc/config.local`, which experiments and checkouts copy. And DVC does not verify what a remote sends; this command sets
`verify` for each remote. `check` and `make setup` do all this.

With `--remote` it instead reads the objects of the outputs in the default remote, and replaces those that are missing or
damaged by those of DVC's cache. The exit code is 1 if the cache does not have them either.
"""

import configparser
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer
from filelock import Timeout
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from resnet.core import disk
from resnet.core.errors import UserError
from resnet.core.files import remove, replacing
from tasks.stage.git import git_bytes
from tasks.stage.graph import DVC_YAML
from tasks.stage.params import PARAMS_YAML

DVC_LOCK = Path("dvc.lock")
_SITE_CACHE = Path("tmp", "site-cache")
REMOTE = re.compile(r"'?remote \"(.+)\"'?")
_REPOSITORY_LOCK = Path(".dvc", "tmp", "lock")
_SECONDS = 10.0
# Of a stage in `dvc.yaml`, and their names in `dvc.lock`.
_PARTS = {"cmd": "cmd", "deps": "deps", "params": "params", "outs": "outs", "metrics": "outs", "plots": "outs"}
_INDEX = b"DIRC"  # how Git's index begins: gitformat-index(5)


def repair(
    remote: Annotated[
        bool, typer.Option("--remote", help="Replace what is missing or damaged in the default remote instead.")
    ] = False,
) -> int:
    """Repairs the project in the current folder, or its remote, and prints what was repaired.

    Returns:
        1 if the remote needs something that this clone does not have, otherwise 0.

    Raises:
        UserError: something cannot be repaired.
    """
    if remote:
        from commands.remote_objects import repair_remote

        return repair_remote()
    refuse_conflicts()
    for sentence in repair_dvc_files():
        print(sentence)
    return 0


def refuse_conflicts(root: Path = Path()) -> None:
    """Checks that no file that describes the pipeline has the marks of a conflict that Git left in it.

    Raises:
        UserError: a file has them; the message names the commands that resolve the conflict.
    """
    for path in (DVC_LOCK, PARAMS_YAML, DVC_YAML):
        if not _has_conflict(root / path):
            continue
        if path == DVC_LOCK:  # a mixture of two results would match neither
            way = f"take one side with `git checkout --ours {path}` or `git checkout --theirs {path}`"
            then = "`dvc checkout` then fetches its files from the cache, and `dvc repro` runs what differs"
        else:
            way = "edit it and keep what is right"
            then = "`git status` names other files"
        raise UserError(
            f"{path} has the marks of a merge conflict: {way}, then run `git add {path}` and `git merge --continue`; {then}."
        )


def repair_dvc_files(root: Path = Path()) -> list[str]:
    """Repairs DVC's files and settings of a project.

    Returns:
        A sentence for each thing that was repaired or set.

    Raises:
        UserError: something cannot be repaired.
    """
    dvc = root / ".dvc"
    if not dvc.is_dir():
        return []
    return [
        *_repair_index(root),
        *_repair_rwlock(dvc / "tmp" / "rwlock"),
        *_repair_lock_file(root),
        *_keep_private(dvc),
        *verify_remotes(dvc),
    ]


def _repair_index(root: Path) -> Iterator[str]:
    """Makes Git's index again from the last commit if it has lost its beginning.

    Git does not sync the index, so a power cut can leave an empty one, or one of zeros. DVC then fails to read the repository.
    """
    index = root / ".git" / "index"
    try:
        with index.open("rb") as file:
            if file.read(len(_INDEX)) == _INDEX:
                return
    except OSError:  # no repository, one without an index, or a work tree of another one
        return
    remove(index)
    git_bytes(root, "read-tree", "HEAD")
    yield f"{index} was cut short; it is made again from the last commit: stage again what you had staged and not committed."


def _repair_rwlock(path: Path) -> Iterator[str]:
    """Removes the entries of dead processes. Whoever holds the lock file beside it writes the whole file."""
    if not path.exists():
        return
    with _dvc_lock(path.with_name("rwlock.lock")):
        try:
            written = path.stat().st_mtime
            entries = json.loads(path.read_bytes())
            alive = {
                "write": {name: one for name, one in entries.get("write", {}).items() if _may_hold(one, written)},
                "read": {
                    name: held
                    for name, all_ in entries.get("read", {}).items()
                    if (held := [one for one in all_ if _may_hold(one, written)])
                },
            }
        except FileNotFoundError:
            return
        except (ValueError, AttributeError, TypeError, KeyError):
            remove(path)
            yield f"{path} was cut short by a killed process; it is removed."
            return
        if any(len(alive[kind]) != len(entries.get(kind, {})) for kind in alive):
            with replacing(path) as partial:
                partial.write_text(json.dumps(alive), encoding="utf-8")
            yield f"{path} had locks of processes that no longer exist; they are removed."


def refuse_during_a_run(root: Path = Path()) -> None:
    """Checks that no living process of DVC runs a stage of this project.

    Raises:
        UserError: one does; the message has its process ID.
    """
    path = root / ".dvc" / "tmp" / "rwlock"
    try:
        written = path.stat().st_mtime
        entries = json.loads(path.read_bytes())
        held = [*entries.get("write", {}).values(), *(one for all_ in entries.get("read", {}).values() for one in all_)]
        holder = next((int(one["pid"]) for one in held if _may_hold(one, written)), None)
    except (OSError, ValueError, AttributeError, TypeError, KeyError):  # no such file, or one that `repair` removes
        return
    if holder is not None:
        raise UserError(f"a run is going on in this project (PID {holder}); ask again when it has ended.")


def _may_hold(entry: dict[str, Any], written: float) -> bool:
    """Whether the process of an entry is alive, and did not get the same process ID later, for example after a reboot."""
    try:
        fields = Path(f"/proc/{int(entry['pid'])}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
    except OSError:
        return False
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    started = booted + int(fields[19]) / os.sysconf("SC_CLK_TCK")  # proc_pid_stat(5): field 22; the first 2 are cut off
    return started <= written + 2 or _runs(int(entry["pid"]), entry["cmd"])


def _runs(pid: int, command: str) -> bool:
    """Whether a process was started with this command of DVC. If the clock was set since, the times decide nothing."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text("utf-8", "replace").rstrip("\0").split("\0")
    except OSError:
        return False
    return "dvc" in " ".join(words) and " ".join(words).endswith(command.partition(" ")[2] or command)


@contextmanager
def _dvc_lock(path: Path) -> Iterator[None]:
    """Holds the lock that DVC takes by flock(2) on the same file while it writes."""
    lock = disk.lock(path, timeout=_SECONDS, poll_interval=0.1)
    try:
        lock.acquire()
    except Timeout as error:
        raise UserError(
            f"{path} has been held for {_SECONDS:.0f} s by another process of DVC, which `fuser {path}` names: "
            "wait for it or end it."
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def while_dvc_waits(root: Path) -> Iterator[None]:
    """Holds the lock under which DVC writes `dvc.lock` in place, so that a running `dvc repro` is not seen half-way.

    DVC does not hold it while a stage runs. Where DVC has not run, or where nothing can be written, no lock is held.

    Args:
        root: of the project.

    Raises:
        UserError: another process has held the lock for 10 s.
    """
    path = root / _REPOSITORY_LOCK
    with _dvc_lock(path) if os.access(path, os.W_OK) else nullcontext():
        yield


def _repair_lock_file(root: Path) -> Iterator[str]:
    path = root / DVC_LOCK
    if not path.exists() or is_whole(root) or _has_conflict(path):
        return
    with _dvc_lock(root / _REPOSITORY_LOCK):  # without the lock, DVC may be writing it right now
        if is_whole(root):
            return
        committed = _committed_lock(root)
        if committed is None:
            path.unlink()
            yield f"{path} was cut short by a killed process; it is removed, and DVC's cache still has the results."
        else:
            with replacing(path) as partial:
                partial.write_bytes(committed)
            yield f"{path} was cut short by a killed process; it is restored from the last commit, and the cache has the rest."


def _committed_lock(root: Path) -> bytes | None:
    try:
        return git_bytes(root, "show", f"HEAD:./{DVC_LOCK}")
    except UserError:  # no commit has it
        return None


def _has_conflict(path: Path) -> bool:
    """Whether a file has the marks that Git writes for a conflict; a file that was cut short may lack the last one."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return False
    return any(line.startswith(b"<<<<<<< ") for line in lines) and b"=======" in lines


def is_whole(root: Path) -> bool:
    """Whether `dvc.lock` in a folder is as somebody wrote it, and not cut short."""
    text = (root / DVC_LOCK).read_bytes()
    stages = _stages(text)
    # What was cut short within a hash, or between the lines of an entry, is YAML too.
    if not text.endswith(b"\n") or stages is None or not all(map(_is_stage, stages.values())):
        return False
    # What was cut short between two entries or stages has nothing wrong in it, but lacks something at its end.
    last = str(next(reversed(stages), "")).partition("@")[0]
    found = _parts(stages)
    whole = _parts(_stages(_read(root / DVC_YAML)) or {}) & _parts(_stages(_committed_lock(root) or b"") or {})
    missing = {part for part in whole - found if (part[0], "cmd", "") not in found or part[:2] == (last, "outs")}
    return not missing or _is_known_to_git(root)


def _is_known_to_git(root: Path) -> bool:
    """Whether somebody has given Git this very file: an older one, or a side of a merge, may lack something too."""
    try:
        git_bytes(root, "cat-file", "-e", git_bytes(root, "hash-object", "--no-filters", DVC_LOCK.name).decode().strip())
    except UserError:
        return False
    return True


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _stages(text: bytes) -> dict[str, Any] | None:
    """The stages of `dvc.lock` or `dvc.yaml`; None if the text is neither."""
    try:
        tree = YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError):
        return None
    stages = tree.get("stages") if isinstance(tree, dict) else None
    return stages if isinstance(stages, dict) else None


def _parts(stages: dict[str, Any]) -> set[tuple[str, str, str]]:
    """What the stages have: their names, each with `cmd`, `deps`, `params` or `outs`, and the paths in it."""
    found = set()
    for name, stage in stages.items():
        body = stage.get("do", stage) if isinstance(stage, dict) else None  # of stages with `foreach` or `matrix`
        for key, value in body.items() if isinstance(body, dict) else ():
            if value and key in _PARTS:
                paths = [_path(entry) for entry in value] if isinstance(value, list) and key != "params" else []
                found |= {(str(name).partition("@")[0], _PARTS[key], path) for path in ("", *paths)}
    return found


def _path(entry: object) -> str:
    """The path of an entry: `a`, `path: a` (in `dvc.lock`), or `a: ...` with options (in `dvc.yaml`)."""
    return str(entry.get("path") or next(iter(entry), "") if isinstance(entry, dict) else entry)


def _is_stage(stage: object) -> bool:
    if not (isinstance(stage, dict) and "cmd" in stage):
        return False
    entries = [entry for kind in ("deps", "outs") if kind in stage for entry in stage[kind] or [None]]
    return all(isinstance(entry, dict) and len(entry) > 1 and _has_hash(entry) for entry in entries)


def _has_hash(entry: dict[str, Any]) -> bool:
    """Whether the hash of a file is there. A source in a bucket has an ETag, and yet `hash: md5`."""
    return not {entry.get("hash", "path"), "etag", "checksum"}.isdisjoint(entry)


def _keep_private(dvc: Path) -> Iterator[str]:
    """Sets a folder that only this user can write to, instead of `/var/tmp/dvc`."""
    if "DVC_SITE_CACHE_DIR" in os.environ:
        return
    # DVC copies its settings for experiments, and can write only ASCII there.
    places = [(dvc / _SITE_CACHE).resolve(), Path.home() / ".cache" / "train-resnet" / _SITE_CACHE.name]
    wanted = next((place for place in places if str(place).isascii()), None)
    found = settings(dvc).get("core", {}).get("site_cache_dir")
    if wanted is None or (found is not None and Path(found).name != _SITE_CACHE.name):
        return  # a folder of another name is the user's own choice
    wanted.mkdir(mode=0o700, parents=True, exist_ok=True)
    wanted.chmod(0o700)
    if found != str(wanted):
        _dvc(dvc, "config", "--local", "core.site_cache_dir", str(wanted))
        yield f"DVC now keeps its site cache in {wanted}, where no other user can write; there is nothing for you to do."


def verify_remotes(dvc: Path) -> Iterator[str]:
    """Sets `verify` for each remote, so that DVC compares what it downloads with its hash.

    It is set in the file that defines the remote: a setting in the other file would outlive the remote and break DVC.

    Args:
        dvc: the folder `.dvc` of the project.

    Yields:
        A sentence for each remote for which it was not set.

    Raises:
        UserError: the settings cannot be read or written.
    """
    for section, given in settings(dvc).items():
        match = REMOTE.fullmatch(section)
        if match and "verify" not in given:
            local = [] if section in settings(dvc, "config") else ["--local"]
            _dvc(dvc, "remote", "modify", *local, match[1], "verify", "true")
            yield f"DVC now verifies what it gets from the remote {match[1]!r}, as set in .dvc/config{'.local' * len(local)}."


def settings(dvc: Path, *names: str) -> dict[str, dict[str, str]]:
    """The settings in the named files; later files override earlier ones. Without names: the project's and the clone's.

    Args:
        dvc: the folder `.dvc` of the project.
        names: of files in it.

    Raises:
        UserError: a file cannot be read.
    """
    parser = configparser.ConfigParser(interpolation=None, strict=False, delimiters=("=",), comment_prefixes=("#",))
    try:
        parser.read([dvc / name for name in names or ("config", "config.local")], encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError) as error:
        raise UserError(
            f"{dvc / 'config'} or config.local cannot be read ({' '.join(str(error).split())}); correct it."
        ) from error
    return {section: dict(parser[section]) for section in parser.sections()}


def _dvc(dvc: Path, *arguments: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=dvc.parent, capture_output=True, text=True, errors="replace", check=False
    )
    if result.returncode:
        last = (result.stderr.strip().splitlines() or [f"exit code {result.returncode}"])[-1]
        raise UserError(f"`dvc {' '.join(arguments)}` failed: {last}")
