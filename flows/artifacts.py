"""What a run shows in Prefect's UI beside its log: training's progress; then figures, curves, parameters and hashes."""

import base64
import re
from pathlib import Path
from typing import Any

from prefect.artifacts import create_markdown_artifact, create_progress_artifact, update_progress_artifact
from prefect.context import TaskRunContext
from prefect.logging import get_run_logger

from flows.results import Result, find_pictures, read_hashes
from tasks.stage.params import PARAMS_YAML

_EPOCH = re.compile(r"epoch (\d+)/(\d+): (.*)")


class Progress:
    """Turns the line that training prints after each epoch into an artifact that moves."""

    def __init__(self, stage: str) -> None:
        """Takes the stage whose lines are seen."""
        self._stage = stage
        self._artifact: Any = None

    def see(self, line: str) -> None:
        """Takes note of a line of output."""
        match = _EPOCH.fullmatch(line)
        if match is None or TaskRunContext.get() is None:
            return
        share, words = 100 * int(match[1]) / int(match[2]), f"epoch {match[1]} of {match[2]}: {match[3]}"
        try:
            if self._artifact is None:
                self._artifact = create_progress_artifact(progress=share, key=f"{self._stage}-progress", description=words)
            else:
                update_progress_artifact(self._artifact, progress=share, description=words)
        except Exception as error:  # a server that is away is no reason to end a training
            get_run_logger().warning("The progress could not be shown: %s", error)


def publish(root: Path, result: Result, commit: str) -> None:
    """Puts the results of a run into an artifact.

    Args:
        root: the work tree of the run.
        result: what it came to.
        commit: that it is an experiment on.
    """
    create_markdown_artifact(summary(root, result, commit), key="results", description=f"Experiment {result.experiment}")


def summary(root: Path, result: Result, commit: str) -> str:
    """Figures, curves, parameters and hashes of a run, and how to get its files, as Markdown."""
    figures = (f"| {name} | {value:g} |" for name, value in result.metrics.items())
    hashes = (f"| `{path}` | `{digest}` |" for path, digest in read_hashes(root).items())
    text = (root / PARAMS_YAML).read_text("utf-8")
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))  # a value may have some of its own
    return "\n".join(
        [
            f"# Experiment {result.experiment}\n\nOn commit `{commit[:10]}`. In the project's folder:\n",
            f"    dvc exp show\n    dvc exp apply {result.experiment}\n",
            "| figure | value |\n|---|---|",
            *figures,
            "",
            *map(_embedded, find_pictures(root)),
            f"\n## Parameters\n\n{fence}yaml\n{text}{fence}\n",
            "## Outputs\n\n| file | MD5 |\n|---|---|",
            *hashes,
        ]
    )


def _embedded(picture: Path) -> str:
    """The picture itself instead of an address: Prefect serves no files, and the run's folder will be gone."""
    content = base64.b64encode(picture.read_bytes()).decode()
    return f"![{picture.stem.replace('_', ' ')}](data:image/png;base64,{content})\n"
