"""Places where a command must not write what a person asks for: the files of the pipeline, of Git and of DVC.

A folder of results in a dependency of a stage would make the stage run again, and one in an output would be removed.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tasks.stage.graph import DVC_YAML, read_graph, stage_code, stage_paths
from tasks.stage.params import PARAMS_YAML

_PARAMETER = re.compile(r"\$\{([\w.]+)\}")  # as in `dvc.yaml`
_TOOLS = (".git", ".dvc")


def own_place(target: Path) -> Path | None:
    """The dependency or output of a stage, or the folder of Git or DVC, that a path is or is in; None for other paths.

    Raises:
        UserError: `dvc.yaml` is missing or cannot be read.
    """
    place = Path(os.path.realpath(target))  # Path.resolve fails if links form a loop
    steps = Path(os.path.relpath(place)).parts  # an experiment of DVC has its project below .dvc/tmp
    for tool in _TOOLS:
        if tool in steps:
            return Path(tool)
    return next((path for path in _pipeline_paths() if place.is_relative_to(os.path.realpath(path))), None)


def _pipeline_paths() -> Iterator[Path]:
    values = _parameters()
    for entry in read_graph(DVC_YAML).values():
        for path in (*stage_paths(entry), *stage_code(entry)):
            name = _PARAMETER.sub(lambda match: str(_value(values, match[1])), str(path))
            yield Path(name)


def _parameters() -> Any:
    try:
        return YAML(typ="safe", pure=True).load(PARAMS_YAML)
    except (OSError, YAMLError, ValueError):
        return None


def _value(tree: Any, name: str) -> Any:
    for part in name.split("."):
        tree = tree.get(part) if isinstance(tree, dict) else None
    return tree
