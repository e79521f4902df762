"""`reports/run.json`: facts that differ between runs with the same result.

It has the seconds, memory, machine, package versions and Git revision of each stage. It is not an output of a stage and not in
Git, so that all other files are byte-reproducible for the same commit.
"""

import json
import os
import platform
import resource
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from resnet.core.errors import printable
from resnet.core.files import replacing
from tasks.stage.git import git_or_none

RUN_JSON = Path("reports/run.json")
_PACKAGES = ("tensorflow", "keras", "dvc", "numpy", "pandas", "pillow", "pyarrow", "scikit-learn", "matplotlib")


def record(stage: str, seconds: float, facts: Mapping[str, Any]) -> None:
    """Records the run of a stage, and keeps the records of the latest runs of the other stages.

    Raises:
        UserError: the disk is full.
        OSError: the file cannot be written for another reason.
    """
    stages = _read()
    stages[stage] = {
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 2),
        # Linux counts in KiB, and includes the touched pages of memory-mapped files.
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6),
        **facts,
        "revision": git_or_none(Path(), "rev-parse", "HEAD"),
        "uncommitted": [printable(line) for line in (git_or_none(Path(), "status", "--porcelain") or "").splitlines()],
        "machine": machine(),
        "versions": {package: found for package in _PACKAGES if (found := _version(package))},
    }
    with replacing(RUN_JSON) as partial:
        partial.write_text(json.dumps({"stages": stages}, indent=2) + "\n", encoding="utf-8")


def _read() -> dict[str, Any]:
    try:
        run = json.loads(RUN_JSON.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        run = None  # nothing depends on it, so a damaged file is replaced
    stages = run.get("stages") if isinstance(run, dict) else None
    return stages if isinstance(stages, dict) else {}


def machine() -> dict[str, Any]:
    """System, Python, processor and memory of this machine."""
    return {
        "system": platform.platform(),
        "python": platform.python_version(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
