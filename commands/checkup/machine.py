"""The machine, Python and its packages."""

import importlib.util
import json
import platform
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from commands.checkup.findings import Finding
from commands.checkup.gpus import examine
from resnet.core.words import counted
from resnet.native.library import MENDED_BY_SETUP, unavailable
from tasks.stage.record import machine

PYPROJECT = Path("pyproject.toml")
_FLAGS = ("avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16")  # which TensorFlow's kernels can use
_SECONDS = 300.0  # TensorFlow's start may take minutes on a busy machine
# In a process of its own, because a TensorFlow that was built for another processor does not raise: it is killed.
_START = """
import contextlib, io, json
from resnet.network.precision import choose_precision
from resnet.network.startup import start_tensorflow
gpus = start_tensorflow()
output = io.StringIO()
with contextlib.redirect_stdout(output):
    choose_precision("auto")
print(json.dumps({"gpus": gpus, "precision": output.getvalue().strip().removeprefix("precision: ")}))
"""


def check_processor() -> Iterator[Finding]:
    """The processor, and whether it has AVX, which TensorFlow's binaries need."""
    here = machine()
    flags = _cpu_flags()
    kernels = ", ".join(flag.replace("_", "-").upper() for flag in _FLAGS if flag in flags) or "none of AVX2, FMA and AVX-512"
    found = f"{here['processor']}, {counted(here['cores'], 'core')}, {here['memory_gb']} GB of memory; {kernels}"
    lacking = "avx" not in flags
    yield Finding("processor", found, lacking, "another machine: TensorFlow needs AVX" if lacking else "")


def check_installation() -> Iterator[Finding]:
    """Whether Python and packages meet `pyproject.toml`."""
    return check_packages(tomllib.loads(PYPROJECT.read_text("utf-8"))["project"], platform.python_version())


def check_packages(project: dict[str, Any], python: str) -> Iterator[Finding]:
    """Whether Python and the installed packages meet the requirements; extras may be missing.

    Args:
        project: the table `project` of `pyproject.toml`.
        python: the version of the running Python.
    """
    fits = python in SpecifierSet(project["requires-python"])
    remedy = "" if fits else "make clean && make setup PYTHON=python3.12"
    yield Finding("python", f"{python} at {sys.executable}; {project['requires-python']} is required", not fits, remedy)
    wrong = list(_unmet(project["dependencies"]))
    versions = ", ".join(f"{name} {_version(name)}" for name in ("tensorflow", "keras", "dvc", "prefect", "numpy", "pillow"))
    yield Finding("packages", "; ".join([versions, *wrong]), bool(wrong), "make setup" if wrong else "")
    for extra, requirements in project["optional-dependencies"].items():
        missing = list(_unmet(one for one in requirements if Requirement(one).name != project["name"]))
        if missing:
            yield Finding(f"extra {extra}", "; ".join(missing), remedy=f"pip install -e '.[{extra}]', if you need it")


def _unmet(requirements: Iterable[str]) -> Iterator[str]:
    for text in requirements:
        requirement = Requirement(text)
        if requirement.marker and not requirement.marker.evaluate():
            continue
        found = _version(requirement.name)
        if found is None:
            yield f"{requirement.name} is not installed"
        elif not requirement.specifier.contains(found, prereleases=True):
            yield f"{requirement.name} is {found} and should be {requirement.specifier}"


def check_tensorflow() -> Iterator[Finding]:
    """Whether TensorFlow starts, which precision `auto` is, and whether TensorFlow can use the GPUs of the machine."""
    if importlib.util.find_spec("tensorflow") is None:
        yield Finding("tensorflow", "not installed", wrong=True, remedy="make setup")
        return
    found, why = _started_tensorflow()
    if found is None:
        yield Finding("tensorflow", f"does not start: {why}", wrong=True, remedy="make clean && make setup")
        return
    yield Finding("precision", f"auto is {found['precision']}")
    yield from examine(found["gpus"])


def _started_tensorflow() -> tuple[dict[str, Any] | None, str]:
    """What the program above reports, or why there is no report."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _START], capture_output=True, text=True, errors="replace", check=False, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired:
        return None, f"not within {_SECONDS:.0f} s"
    if done.returncode < 0:
        return None, f"ended by {signal.Signals(-done.returncode).name}; was it built for this processor?"
    if done.returncode:
        return None, (done.stderr.strip().splitlines() or ["it ended"])[-1]
    return json.loads(done.stdout.splitlines()[-1]), ""


def check_kernels() -> Iterator[Finding]:
    """Whether training on this processor uses the fused kernels of `resnet/native`."""
    why = unavailable()
    if why is None:
        yield Finding("kernels", "training on the processor uses the fused kernels, which were compiled for it")
        return
    remedy = "install g++, then make setup" if why in MENDED_BY_SETUP else ""
    yield Finding("kernels", f"training on the processor uses TensorFlow's own kernels, which are slower: {why}", remedy=remedy)


def _cpu_flags() -> set[str]:
    if platform.machine() not in ("x86_64", "AMD64"):
        return {"avx"}  # other processors have no flags of these names
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return {"avx"}
    return {flag for line in lines if line.startswith("flags") for flag in line.partition(":")[2].split()}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
