"""Parameters that a run changes: parses `NAME=VALUE` and writes the values to `params.yaml`."""

import io
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from commands.results import flat
from resnet.core.errors import UserError
from tasks.stage.params import load_params


def parse(assignments: Iterable[str]) -> dict[str, Any]:
    """Parses `["train.epochs=3"]` to `{"train.epochs": 3}`; values are YAML, as in `params.yaml`.

    Raises:
        UserError: an item is not an assignment, or its value is not YAML.
    """
    return {name: value(text) for name, text in map(_split, assignments)}


def parse_lists(assignments: Iterable[str]) -> dict[str, list[Any]]:
    """Parses `["seed=0,1"]` to `{"seed": [0, 1]}`; see `parse`."""
    return {name: value(f"[{text}]") for name, text in map(_split, assignments)}


def value(text: str) -> Any:
    """Parses a value as it is written in `params.yaml`: `3`, `0.01`, `1e-5`, `sgd`, `[1, 1]`, `true`.

    Raises:
        UserError: the text is not YAML.
    """
    try:
        return YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError) as error:
        raise UserError(f"the value {text!r} cannot be read as YAML; write it as in params.yaml.") from error


def apply_overrides(path: Path, overrides: Mapping[str, Any]) -> None:
    """Writes values into a parameter file and keeps its comments.

    DVC's own way, `dvc exp run -S`, uses Hydra's grammar, in which `{`, `$` and commas in a value have a meaning.

    Args:
        path: of the file.
        overrides: values by dotted names; a mapping sets the parameters in it and leaves the others as they are.

    Raises:
        UserError: the file is not YAML, a part of a dotted name is empty, or it is a value, not a section.
    """
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    # ruamel.yaml writes None as an empty value by default.
    yaml.representer.add_representer(type(None), lambda made, _: made.represent_scalar("tag:yaml.org,2002:null", "null"))
    try:
        tree = yaml.load(path)
    except (YAMLError, ValueError) as error:
        raise UserError(f"{path}: not valid YAML ({' '.join(str(error).split())}); correct the file.") from error
    for name, new in flat(overrides).items():
        *sections, key = name.split(".")
        if not all(part.strip() for part in (*sections, key)):
            raise UserError(
                f"there is no parameter {name!r}; write a name of params.yaml with its section, as in train.epochs."
            )
        section = tree
        for part in sections:
            section = section.setdefault(part, {})
            if not isinstance(section, dict):
                raise UserError(f"there is no parameter {name}, because {part} is a value, {section!r}; see params.yaml.")
        section[key] = new
    text = io.StringIO()
    yaml.dump(tree, text)
    path.write_text(text.getvalue(), encoding="utf-8")


def check_overrides(text: str, overrides: Mapping[str, Any], stages: Iterable[str]) -> None:
    """Checks the parameters with the overrides applied, before a run starts.

    Args:
        text: the content of the parameter file without the overrides.
        overrides: values by dotted names.
        stages: the names of the stages.

    Raises:
        UserError: a parameter is unknown, or its value is invalid.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "params.yaml"
        path.write_text(text, encoding="utf-8")
        try:
            if overrides:
                apply_overrides(path, overrides)
            load_params(path, stages)
        except UserError as error:
            raise UserError(str(error).replace(f"{path}: ", "").replace(str(path), path.name)) from error


def _split(assignment: str) -> tuple[str, str]:
    name, separator, text = assignment.partition("=")
    if not separator or not name.strip():
        raise UserError(f"an override is NAME=VALUE, as in train.epochs=3, but this is {assignment!r}.")
    return name.strip(), text
