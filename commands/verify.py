"""Compares files with the hashes that `dvc.lock` has of them, and DVC's cache with its own names: `train-resnet verify`.

DVC hashes a file anew only when its time or size has changed, so that it takes a flipped bit for what it was, in the work tree
and in its cache, and hands it on. This reads everything that `dvc.lock` names, twice over: at 0.7 GB/s, which is MD5 on one
core. `make repro` looks at the cache alone, where nothing ever changes for a reason, and keeps within 4 GB.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from commands.repository import DVC_LOCK
from resnet.core.checksums import md5
from resnet.core.errors import UserError

_GIGABYTE = 10**9


@dataclass(frozen=True)
class Recorded:
    """A file, and what is known of it.

    Attributes:
        path: of the file, in the work tree or in the cache.
        md5: 32 hexadecimal digits.
        mend: what to do when it is another.
        cached: whether it is in the cache.
    """

    path: Path
    md5: str
    mend: str
    cached: bool


def find_damaged(files: list[Recorded]) -> list[str]:
    """A sentence for each file that is there and is not what was recorded."""
    return [
        f"{file.path} is not what was recorded (MD5: {found} instead of {file.md5}): {file.mend}"
        for file in files
        if (found := _md5(file.path)) != file.md5
    ]


def recorded_files(root: Path, cache: Path) -> Iterator[Recorded]:
    """What `dvc.lock` names: in the work tree, and in the cache; files that are not there are left out, as DVC brings them.

    Args:
        root: of the project.
        cache: the folder that `dvc cache dir` prints.

    Raises:
        UserError: `dvc.lock` is missing or damaged.
    """
    seen: set[str] = set()
    for out in _outputs(root / DVC_LOCK):
        path, md5 = root / out["path"], str(out["md5"])
        pairs = [(path, md5)]
        if md5.endswith(".dir"):
            listed = _listed(_object(cache, md5))
            pairs = [(path, md5), *((path / entry["relpath"], entry["md5"]) for entry in listed)]
        for file, each in pairs:
            if file.is_file():
                advice = f"if nobody meant to, `rm -rf {out['path']}`, and `dvc repro` brings it back."
                yield Recorded(file, each, advice, cached=False)
            kept = _object(cache, each)
            if kept.is_file() and each not in seen:
                advice = f"`rm -f '{kept}'`, then `dvc pull`, or `dvc repro` makes it anew."
                yield Recorded(kept, each.removesuffix(".dir"), advice, cached=True)
            seen.add(each)


def _outputs(path: Path) -> list[dict[str, Any]]:
    try:
        stages = YAML(typ="safe", pure=True).load(path)["stages"]
        return [out for stage in stages.values() for out in stage.get("outs", []) if "md5" in out]
    except FileNotFoundError as error:
        raise UserError(f"there is no {path}; `dvc repro` makes it.") from error
    except (YAMLError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path} is cut short; `train-resnet repository` mends it.") from error


def _listed(path: Path) -> list[dict[str, str]]:
    """The files of a folder, as DVC keeps the list; a damaged list is a matter of its own, and says nothing."""
    try:
        entries = json.loads(path.read_bytes())
        return [entry for entry in entries if {"md5", "relpath"} <= entry.keys()]
    except (OSError, ValueError, TypeError, AttributeError):
        return []


def _object(cache: Path, md5: str) -> Path:
    return cache / "files" / "md5" / md5[:2] / md5[2:]


def _md5(path: Path) -> str:
    try:
        return md5(path)
    except OSError as error:  # a disk may notice, after all
        return error.strerror or "unreadable"


def _cache_folder() -> Path:
    result = subprocess.run([sys.executable, "-m", "dvc", "cache", "dir"], capture_output=True, text=True, check=False)
    if result.returncode:
        raise UserError(f"`dvc cache dir` failed: {(result.stderr.strip().splitlines() or ['it printed nothing'])[-1]}")
    return Path(result.stdout.strip())


def main() -> int:
    """Verifies the project in the current folder; returns the exit code."""
    parser = argparse.ArgumentParser(prog="train-resnet verify", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cache", action="store_true", help="look at DVC's cache alone")
    parser.add_argument("--at-most", type=float, metavar="GB", help="leave all of it out if there is more than that to read")
    given = parser.parse_args()
    if given.cache and not DVC_LOCK.exists():
        return 0
    try:
        files = [file for file in recorded_files(Path(), _cache_folder()) if file.cached or not given.cache]
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    size = sum(file.path.stat().st_size for file in files) / _GIGABYTE
    if given.at_most is not None and size > given.at_most:
        print(f"{size:.1f} GB were not verified; `make verify` reads them all.")
        return 0
    damaged = find_damaged(files)
    for sentence in damaged:
        print(sentence, file=sys.stderr)
    return 1 if damaged else 0


if __name__ == "__main__":
    sys.exit(main())
