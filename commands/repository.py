"""What must hold of DVC's own files before DVC is started: `train-resnet repository` sees to it.

DVC writes `dvc.lock` and `.dvc/tmp/rwlock` in place: killed in between, or on a full disk, it leaves half of a file, and
then refuses all work. It caches pickles in `/var/tmp/dvc`, where everybody may write. And it takes what a
remote sends for what was asked for. The former cannot be set in `.dvc/config` without a path of this machine, so it is set in
`.dvc/config.local`, which experiments and checkouts take over; the latter is set for every remote once there is one.
"""

import configparser
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from resnet.core.errors import UserError
from resnet.core.files import remove, replacing
from tasks.stage.git import git_bytes

DVC_LOCK = Path("dvc.lock")
_SITE_CACHE = Path("tmp", "site-cache")
_REMOTE = re.compile(r"'?remote \"(.+)\"'?")
_SECONDS = 10.0


def mend(root: Path = Path()) -> list[str]:
    """Sees to it that DVC can work in a project, and does so in private; returns a sentence for each thing that was mended.

    Raises:
        UserError: something cannot be mended.
    """
    dvc = root / ".dvc"
    if not dvc.is_dir():
        return []
    return [*_mend_rwlock(dvc / "tmp" / "rwlock"), *_mend_lock_file(root), *_keep_private(dvc), *_verify_remotes(dvc)]


def _mend_rwlock(path: Path) -> Iterator[str]:
    """Takes out what no living process can have put in: it is written whole by whoever holds the lock beside it."""
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
            yield f"{path} had locks of processes that are gone; they are taken out."


def _may_hold(entry: dict[str, Any], written: float) -> bool:
    """Whether the process of an entry is alive, and is not one that got its number since, after a restart perhaps."""
    try:
        fields = Path(f"/proc/{int(entry['pid'])}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
    except OSError:
        return False
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return booted + int(fields[19]) / os.sysconf("SC_CLK_TCK") <= written + 2  # proc_pid_stat(5): field 22, of which 2 are gone


@contextmanager
def _dvc_lock(path: Path) -> Iterator[None]:
    """Holds a lock that DVC takes with flock(2) on the same file while it writes."""
    lock = FileLock(path, timeout=_SECONDS, poll_interval=0.1, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise UserError(
            f"{path} has been held for {_SECONDS:.0f} s by another process of DVC, which `fuser {path}` names: "
            "wait for it, or end it."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _mend_lock_file(root: Path) -> Iterator[str]:
    path = root / DVC_LOCK
    if not path.exists() or _is_whole(path):
        return
    with _dvc_lock(root / ".dvc" / "tmp" / "lock"):  # or it may be being written just now
        if _is_whole(path):
            return
        try:
            committed = git_bytes(root, "show", f"HEAD:./{DVC_LOCK}")
        except UserError:  # no commit has it
            path.unlink()
            yield f"{path} was cut short by a killed process; it is removed, and DVC's cache has what was in it."
        else:
            with replacing(path) as partial:
                partial.write_bytes(committed)
            yield f"{path} was cut short by a killed process; the last commit's took its place, and the cache has the rest."


def _is_whole(path: Path) -> bool:
    try:
        lock = YAML(typ="safe", pure=True).load(path)
    except (YAMLError, ValueError):
        return False
    stages = lock.get("stages") if isinstance(lock, dict) else None
    return isinstance(stages, dict) and all(isinstance(stage, dict) and "cmd" in stage for stage in stages.values())


def _keep_private(dvc: Path) -> Iterator[str]:
    """A folder for this user alone in the place of `/var/tmp/dvc`."""
    if "DVC_SITE_CACHE_DIR" in os.environ:
        return
    # What copies of settings DVC writes for experiments can have ASCII in them and nothing else.
    places = [(dvc / _SITE_CACHE).resolve(), Path.home() / ".cache" / "train-resnet" / _SITE_CACHE.name]
    wanted = next((place for place in places if str(place).isascii()), None)
    found = _settings(dvc).get("core", {}).get("site_cache_dir")
    if wanted is None or (found is not None and Path(found).name != _SITE_CACHE.name):
        return  # or somebody's choice
    wanted.mkdir(mode=0o700, parents=True, exist_ok=True)
    wanted.chmod(0o700)
    if found != str(wanted):
        _dvc(dvc, "config", "--local", "core.site_cache_dir", str(wanted))
        yield f"DVC keeps its site cache in {wanted} now, where nobody else can write."


def _verify_remotes(dvc: Path) -> Iterator[str]:
    """Where a remote is set up, there it is told to verify: what is left of it elsewhere would be in DVC's way."""
    for section, settings in _settings(dvc).items():
        match = _REMOTE.fullmatch(section)
        if match and "verify" not in settings:
            local = [] if section in _settings(dvc, "config") else ["--local"]
            _dvc(dvc, "remote", "modify", *local, match[1], "verify", "true")
            yield f"DVC verifies what it gets from the remote {match[1]!r} now, as .dvc/config{'.local' * len(local)} says."


def _settings(dvc: Path, *names: str) -> dict[str, dict[str, str]]:
    """What files of settings say, later ones over earlier ones; the project's own and then this clone's unless given."""
    parser = configparser.ConfigParser(interpolation=None, strict=False, delimiters=("=",), comment_prefixes=("#",))
    try:
        parser.read([dvc / name for name in names or ("config", "config.local")], encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError) as error:
        raise UserError(
            f"{dvc / 'config'} or config.local cannot be read ({' '.join(str(error).split())}); mend it."
        ) from error
    return {section: dict(parser[section]) for section in parser.sections()}


def _dvc(dvc: Path, *arguments: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=dvc.parent, capture_output=True, text=True, errors="replace", check=False
    )
    if result.returncode:
        last = (result.stderr.strip().splitlines() or [f"exit code {result.returncode}"])[-1]
        raise UserError(f"`dvc {' '.join(arguments)}` failed: {last}")


def main() -> int:
    """Mends the project in the current folder; returns the exit code."""
    try:
        for sentence in mend():
            print(sentence)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
