"""What a worker's machine lacks, said before the stages start: a run that fails after hours of training helps nobody."""

import platform
import re
import socket
import tomllib
from collections.abc import Collection
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from flows.locks import find_gpus
from resnet.core.errors import UserError
from resnet.native.library import MENDED_BY_SETUP, compile_library, unavailable

GPU_TAG = "gpu"  # of a deployment whose runs need a GPU
_LOCKED = re.compile(r"^[A-Za-z0-9][\w.,\[\]-]*==[^\\\n]+", re.MULTILINE)
_SHOWN = 3


def check_machine(project: Path, tags: Collection[str], python: str = platform.python_version()) -> None:
    """Checks Python, its packages, and whether there is a GPU for a run that asks for one.

    Args:
        project: the folder with the code of the run.
        tags: of the run.
        python: the version of the running Python.

    Raises:
        UserError: something is missing or differs.
    """
    table = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))["project"]
    needed = table["requires-python"]
    if python not in SpecifierSet(needed):
        raise UserError(
            f"{here()} has Python {python}, but the project needs {needed}: run `make setup PYTHON=python3.12` there and start "
            "the worker again."
        )
    if faults := _differences(project, {Requirement(text).name for text in table["dependencies"]}):
        more = f" and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise UserError(
            f"{here()} has other packages than requirements.lock, so its results could differ: {', '.join(faults[:_SHOWN])}"
            f"{more}; run `make setup` in an up-to-date clone there, or build its image again, and start the worker again."
        )
    if GPU_TAG in tags and not find_gpus():
        raise UserError(
            f"{here()} has no GPU, but this run has the tag {GPU_TAG!r}: start the worker on a machine where `nvidia-smi` "
            "lists one, or run the deployment `train-resnet/train-resnet`, which needs none."
        )


def prepare_kernels() -> None:
    """Compiles the kernels of `resnet/native` for the code of the run; `make setup` did it for the code of its clone."""
    if unavailable() in MENDED_BY_SETUP and (why := compile_library()):
        print(f"{here()} trains with TensorFlow's own kernels, which are slower and round differently: {why}", flush=True)


def here() -> str:
    """How a sentence names this machine."""
    return f"the worker on {socket.gethostname()}"


def _differences(project: Path, required: Collection[str]) -> list[str]:
    """The packages that the lock names and this machine has in another version, or lacks though the project requires them."""
    lock = project / "requirements.lock"
    faults = []
    for text in _LOCKED.findall(lock.read_text("utf-8")) if lock.exists() else ():
        locked = Requirement(text.strip())
        if locked.marker and not locked.marker.evaluate():
            continue
        try:
            found = version(locked.name)
        except PackageNotFoundError:
            if locked.name in required:
                faults.append(f"no {locked.name}")
            continue
        if not locked.specifier.contains(found, prereleases=True):
            faults.append(f"{locked.name} {found} instead of {str(locked.specifier).removeprefix('==')}")
    return faults
