"""The facts that decide the weights of a training run, and their fingerprint, which identifies its checkpoints.

Two runs with the same fingerprint give the same weights, bit for bit. The facts are those that `dvc.yaml` lists (parameters,
data, code) and those of the machine: libraries, devices, threads, and the environment variables that the libraries read.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from resnet.core.checksums import sha256
from resnet.core.errors import missing_input
from tasks.stage.record import machine

_LIBRARIES = ("tensorflow", "keras", "numpy")
_VARIABLES = (
    "TF_CUDNN_",
    "TF_DISABLE_",
    "TF_ENABLE_",
    "TF_NUM_",
    "TF_XLA_",
    "XLA_",
    "ONEDNN_",
    "DNNL_",
    "OMP_",
    "NVIDIA_TF32_",
)

Facts = dict[str, Any]


def fingerprint(facts: Facts) -> str:
    """A hash of the facts, 16 hexadecimal digits."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def differences(one: Facts, other: Facts) -> list[str]:
    """The names of the facts that differ."""
    missing = object()
    return sorted(name for name in one.keys() | other.keys() if one.get(name, missing) != other.get(name, missing))


def surroundings() -> Facts:
    """The facts of the machine and its environment."""
    here = machine()
    variables = {name: value for name, value in os.environ.items() if name.startswith(_VARIABLES)}
    return {
        **{f"version.{name}": version(name) for name in _LIBRARIES},
        "machine.processor": here["processor"],
        "machine.threads": len(os.sched_getaffinity(0)),
        **{f"environment.{name}": value for name, value in variables.items()},
    }


def contents(inputs: Iterable[Path], code: Iterable[Path], known: Path) -> Facts:
    """The SHA-256 of data and code.

    Args:
        inputs: files and folders.
        code: files, and folders of files.
        known: file with known hashes of inputs, by size and times as in DVC, so that a resumed run does not read data again.

    Raises:
        UserError: an input is missing.
    """
    hashes = _Hashes(known)
    facts = {f"code.{file.as_posix()}": sha256(file) for path in code for file in _source_files(path)}
    for path in inputs:
        if not path.exists():
            raise missing_input(path)
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            facts[f"data.{file.relative_to(path.parent).as_posix()}"] = hashes.of(file)
    hashes.save()
    return facts


class _Hashes:
    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._known: Mapping[str, Any] = dict(json.loads(path.read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            self._known = {}  # it only saves time
        self._used: dict[str, Any] = {}

    def of(self, path: Path) -> str:
        status = path.stat()
        mark = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
        name = str(path.resolve())
        entry = self._known.get(name)
        found = entry[1] if isinstance(entry, list) and entry[:1] == [mark] else sha256(path)
        self._used[name] = [mark, found]
        return str(found)

    def save(self) -> None:
        partial = self._path.with_name(f".{os.getpid()}-{self._path.name}")
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(json.dumps(self._used), encoding="utf-8")
            partial.replace(self._path)


def _source_files(path: Path) -> list[Path]:
    return sorted([*path.rglob("*.py"), *path.rglob("*.cc")]) if path.is_dir() else [path]
