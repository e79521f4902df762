"""What a run shows in Prefect's UI beside its log: training's progress, then figures, parameters, hashes and curves."""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.artifacts import (
    create_image_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    update_progress_artifact,
)
from prefect.context import TaskRunContext
from ruamel.yaml import YAML

from tasks.graph import DVC_YAML, read_graph
from tasks.params import PARAMS_YAML

_EPOCH = re.compile(r"epoch (\d+)/(\d+): (.*)")
_LOCK = Path("dvc.lock")


class Progress:
    """Turns the line that training prints after each epoch into an artifact that moves."""

    def __init__(self, stage: str) -> None:
        """Takes the stage whose lines are seen."""
        self._stage = stage
        self._artifact: UUID | None = None

    def see(self, line: str) -> None:
        """Takes note of a line of output."""
        match = _EPOCH.fullmatch(line)
        if match is None or TaskRunContext.get() is None:
            return
        share, words = 100 * int(match[1]) / int(match[2]), f"epoch {match[1]} of {match[2]}: {match[3]}"
        if self._artifact is None:
            made: Any = create_progress_artifact(progress=share, key=f"{self._stage}-progress", description=words)
            self._artifact = made
        else:
            update_progress_artifact(self._artifact, progress=share, description=words)


def publish(root: Path, experiment: str, commit: str) -> None:
    """Puts the results of a run into its artifacts.

    Args:
        root: the work tree of the run.
        experiment: its name.
        commit: that it is an experiment on.
    """
    create_markdown_artifact(summary(root, experiment, commit), key="results", description=f"Experiment {experiment}")
    for path in _pictures(root):
        # The address is the picture itself: the UI shows images by address only, and no server of files is needed.
        address = f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
        create_image_artifact(address, key=path.stem.replace("_", "-"), description=f"Experiment {experiment}")


def read_metrics(root: Path) -> dict[str, Any]:
    """The figures of the run in a work tree."""
    metrics: dict[str, Any] = {}
    for entry in read_graph(root / DVC_YAML).values():
        for item in entry.get("metrics", []):
            metrics |= json.loads((root / _path(item)).read_text("utf-8"))
    return metrics


def summary(root: Path, experiment: str, commit: str) -> str:
    """Figures, parameters and hashes of the run in a work tree, and how to get its files, as Markdown."""
    figures = (f"| {name} | {value:g} |" for name, value in read_metrics(root).items())
    hashes = (f"| `{path}` | `{digest}` |" for path, digest in _hashes(root / _LOCK))
    return "\n".join(
        [
            f"# Experiment {experiment}\n\nOn commit `{commit[:10]}`. In the project's folder:\n",
            f"    dvc exp show\n    dvc exp apply {experiment}\n",
            "| figure | value |\n|---|---|",
            *figures,
            f"\n## Parameters\n\n```yaml\n{(root / PARAMS_YAML).read_text('utf-8')}```\n",
            "## Outputs\n\n| file | MD5 |\n|---|---|",
            *hashes,
        ]
    )


def _hashes(lock: Path) -> Iterator[tuple[str, str]]:
    for stage in YAML(typ="safe", pure=True).load(lock)["stages"].values():
        for out in stage.get("outs", []):
            yield out["path"], out["md5"]


def _pictures(root: Path) -> Iterator[Path]:
    for entry in read_graph(root / DVC_YAML).values():
        for item in entry.get("plots", []):
            path = root / _path(item)
            if path.suffix == ".png" and path.is_file():
                yield path


def _path(item: str | dict[str, Any]) -> str:
    return item if isinstance(item, str) else next(iter(item))
