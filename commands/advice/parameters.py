"""Values put into `params.yaml` in memory, and how a run is started with them: the lines for DVC and for Prefect."""

import json
import re
import shlex
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from resnet.core.errors import UserError
from tasks.stage.git import git_or_none
from tasks.stage.graph import DVC_YAML, read_graph
from tasks.stage.params import PARAMS_YAML, Params, load_params
from tasks.training.changes import parameters

_PLAIN = re.compile(r"[\w./+-]+", re.ASCII)  # a text that DVC's -S takes without quotes
_TAKEN = re.compile(r"(?i)true|false|null|nan|[+-]?inf|[+-]?[\d_.]+(e[+-]?\d+)?")  # which it takes for another type then


def with_values(text: str, values: Mapping[str, Any]) -> Params:
    """The parameters of a `params.yaml` with other values, checked as every stage checks them.

    Args:
        text: of the file.
        values: by name, such as "train.epochs".

    Raises:
        UserError: a value is out of range or conflicts with another one.
    """
    yaml = YAML(typ="safe", pure=True)
    tree = yaml.load(text)
    for name, value in values.items():
        stage, _, key = name.partition(".")
        if key:
            tree[stage][key] = value
        else:
            tree[stage] = value
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / PARAMS_YAML.name
        with path.open("w", encoding="utf-8") as file:
            yaml.dump(tree, file)
        try:
            return load_params(path, read_graph(DVC_YAML))
        except UserError as error:
            raise UserError(str(error).replace(str(path), path.name)) from error


def dvc_line(changes: Mapping[str, Any]) -> str:
    """The command that runs an experiment with changed parameters; a shell and DVC read the same values from it."""
    words = [shlex.quote(f"{name}={hydra(value)}") for name, value in changes.items()]
    return " ".join(["dvc exp run", *(f"-S {word}" for word in words)])


def prefect_line(changes: Mapping[str, Any]) -> str:
    """The command that runs Prefect's deployment with changed parameters; it takes the last commit."""
    overrides = f" -p overrides={shlex.quote(json.dumps(dict(changes)))}" if changes else ""
    return f"prefect deployment run train-resnet{overrides} --watch"


def committed(text: str) -> dict[str, Any]:
    """The parameters of the last commit, by name; those of `text`, the file in the work tree, where there is no commit."""
    return parameters(git_or_none(Path(), "show", f"HEAD:./{PARAMS_YAML.as_posix()}")) or parameters(text)


def changes(values: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """The values that differ from others."""
    return {name: value for name, value in values.items() if base.get(name, ...) != value}


def hydra(value: Any) -> str:
    """A value in the grammar of DVC's -S, which is Hydra's."""
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, list):
        return f"[{','.join(map(hydra, value))}]"
    if isinstance(value, str) and (not _PLAIN.fullmatch(value) or _TAKEN.fullmatch(value)):
        # Hydra removes a backslash before a quote, and from any row of backslashes before one.
        return "'" + re.sub(r"(\\*)('|$)", lambda match: 2 * match[1] + (r"\'" if match[2] else ""), value) + "'"
    return str(value)
