"""The results of a run in Prefect's UI: figures, curves, parameters and hashes."""

import base64
import re
from pathlib import Path

from prefect.artifacts import create_markdown_artifact

from flows.results import Result, find_pictures, read_hashes
from tasks.stage.params import PARAMS_YAML


def publish(root: Path, result: Result, commit: str) -> None:
    """Publishes the results of a run as an artifact.

    Args:
        root: the work tree of the run.
        result: of the run.
        commit: the base of the experiment.
    """
    create_markdown_artifact(summary(root, result, commit), key="results", description=f"Experiment {result.experiment}")


def summary(root: Path, result: Result, commit: str) -> str:
    """Markdown with figures, curves, parameters and hashes of a run, and the commands that get its files."""
    figures = (f"| {name} | {value:g} |" for name, value in result.metrics.items())
    hashes = (f"| `{path}` | `{digest}` |" for path, digest in read_hashes(root).items())
    text = (root / PARAMS_YAML).read_text("utf-8")
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))  # a value may contain backticks
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
    """The picture as a data URL: Prefect serves no files, and the folder of the run will be removed."""
    content = base64.b64encode(picture.read_bytes()).decode()
    return f"![{picture.stem.replace('_', ' ')}](data:image/png;base64,{content})\n"
