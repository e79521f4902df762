"""The results of a run in Prefect's UI: the accuracy, what differs from the commit, pictures; the rest is folded."""

import base64
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from prefect.artifacts import create_markdown_artifact

from flows.results import MAP, MIRRORED, Result, find_pictures, read_hashes
from flows.values import differences
from tasks.stage.git import git_or_none
from tasks.stage.params import PARAMS_YAML


def publish(root: Path, result: Result, commit: str, in_place: bool) -> None:
    """Publishes the results of a run as an artifact.

    Args:
        root: the work tree of the run.
        result: of the run.
        commit: the base of the experiment.
        in_place: whether the work tree is the project's folder, and stays.
    """
    accuracy = result.accuracy()
    description = f"{accuracy}, experiment {result.experiment}" if accuracy else f"Experiment {result.experiment}"
    create_markdown_artifact(summary(root, result, commit, in_place), key="results", description=description)


def summary(root: Path, result: Result, commit: str, in_place: bool = False) -> str:
    """Markdown with the results of a run and the commands that get its files; see `publish` for the arguments."""
    before = git_or_none(root, "show", f"{commit}:{PARAMS_YAML}") or ""
    after = (root / PARAMS_YAML).read_text("utf-8")
    return "\n".join(
        [
            f"# {_headline(result.accuracy())}\n",
            f"Experiment `{result.experiment}` on commit `{commit[:10]}`. In parentheses: the 95 % interval.\n",
            "## What differs from the commit\n",
            _changed(differences(before, after)),
            "## Next\n",
            *_commands(result.experiment, in_place),
            "## Curves and mistakes\n",
            *map(_embedded, find_pictures(root)),
            *_folded("All figures", ["figure", "value"], ((name, f"{value:g}") for name, value in result.metrics.items())),
            *_folded("Files", ["file", "MD5"], ((f"`{path}`", f"`{md5}`") for path, md5 in read_hashes(root).items())),
            f"<details><summary>All parameters</summary>\n\n{_fenced(after)}\n\n</details>\n",
        ]
    )


def _headline(accuracy: str) -> str:
    if not accuracy:
        return "Results"
    if accuracy.startswith(MAP):
        return f"{accuracy.removesuffix(MIRRORED)} on the test images{MIRRORED * accuracy.endswith(MIRRORED)}"
    return f"{accuracy.removesuffix(MIRRORED)} of the test images are correct{MIRRORED * accuracy.endswith(MIRRORED)}"


def _changed(changed: Mapping[str, tuple[str, str]]) -> str:
    if not changed:
        return "No parameter.\n"
    return "\n".join(
        [*_table(["parameter", "commit", "this run"], ((f"`{name}`", *both) for name, both in changed.items())), ""]
    )


def _commands(experiment: str, in_place: bool) -> list[str]:
    if in_place:
        lines = [f"train-resnet compare HEAD {experiment}"]
        words = "The report is `reports/index.html` in the project's folder.\n"
    else:
        lines = [f"dvc exp apply {experiment}", f"train-resnet compare HEAD {experiment}"]
        words = "The first command puts the files into the project's folder; the report is then `reports/index.html`.\n"
    return [*(f"    {line}" for line in lines), "", words]


def _folded(title: str, head: list[str], rows: Iterable[Iterable[str]]) -> list[str]:
    return [f"<details><summary>{title}</summary>\n", *_table(head, rows), "\n</details>\n"]


def _table(head: list[str], rows: Iterable[Iterable[str]]) -> list[str]:
    body = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *body]


def _fenced(text: str) -> str:
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))  # a value may contain backticks
    return f"{fence}yaml\n{text}{fence}"


def _embedded(picture: Path) -> str:
    """The picture as a data URL: Prefect serves no files, and the folder of the run will be removed."""
    content = base64.b64encode(picture.read_bytes()).decode()
    return f"![{picture.stem.replace('_', ' ')}](data:image/png;base64,{content})\n"
