"""`params.yaml`, checked as a whole before anything heavy is imported.

A stage's parameters are a class in its own module, so that a new parameter of one stage does not make another run again.
The check of the whole file looks these classes up at run time: it can refuse to run a stage, but nothing that a stage
writes depends on the other stages' classes. `train-resnet check` checks and does nothing else.
"""

import difflib
import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from resnet.core.errors import UserError

PARAMS_YAML = Path("params.yaml")


class Section(BaseModel):
    """The parameters of one stage: a section of `params.yaml`."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    def check(self, whole: Mapping[str, "Section"]) -> None:
        """Raises `UserError` if a value does not go together with another section's."""


@dataclass(frozen=True)
class Params:
    """All of `params.yaml`.

    Attributes:
        seed: of the first weights, the order of the images and their augmentation.
        sections: the stages' parameters, by stage.
    """

    seed: int
    sections: Mapping[str, Section]


def load_params(path: Path, stages: Iterable[str]) -> Params:
    """Reads and checks the whole file.

    Args:
        path: of `params.yaml`.
        stages: the names of the stages; stage `train` has its parameters in class `Train` of `tasks/train.py`.

    Raises:
        UserError: the file is missing or not YAML, or a parameter is unknown, missing, of the wrong type, out of its range or
            at odds with another.
    """
    tree = _read_yaml(path)
    classes = {stage: section_class(stage) for stage in stages}
    _check_names(path, "", tree, ["seed", *classes])
    seed = tree["seed"]
    if type(seed) is not int or not 0 <= seed < 2**31:
        raise UserError(f"{path}: seed must be a whole number from 0 to 2147483647, but it is {seed!r}.")
    sections = {stage: _section(path, stage, kind, tree[stage]) for stage, kind in classes.items()}
    try:
        for section in sections.values():
            section.check(sections)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    return Params(seed, sections)


def section_class(stage: str) -> type[Section]:
    """The class of a stage's parameters."""
    kind: type[Section] = getattr(importlib.import_module(f"tasks.{stage}"), stage.capitalize())
    return kind


def _read_yaml(path: Path) -> Any:
    try:
        # The parser and the YAML version (1.2) of DVC: 1e-5, as `dvc exp run -S` writes it, must be a number to both.
        return YAML(typ="safe", pure=True).load(path)
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing; `git checkout {path}` brings back the last version.") from error
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{path}, line {mark.line + 1}" if mark else f"{path}"
        what = error.problem or error.context
        if error.context and error.context_mark and error.context_mark is not mark:  # a bracket may be open since long before
            what = f"{error.context} that begins in line {error.context_mark.line + 1}: {what}"
        raise UserError(f"{place}: not valid YAML ({what}); mend the line.") from error
    except (YAMLError, ValueError) as error:  # the latter for a value that only looks like a date, or a wrong encoding
        raise UserError(f"{path}: not valid YAML ({' '.join(str(error).split())}); mend the file.") from error
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}); `git checkout {path}` brings back the last version."
        ) from error


def _check_names(path: Path, prefix: str, tree: Any, known: Iterable[str]) -> None:
    """Raises `UserError` unless `tree` is a mapping with exactly the known names."""
    known = list(known)
    if not isinstance(tree, dict):
        raise UserError(
            f"{path}: {prefix.rstrip('.') or 'the file'} must be a mapping of {', '.join(known)}, but it is {tree!r}."
        )
    for name in tree:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
            hint = f"did you mean {prefix}{near[0]}?" if near else f"known are {', '.join(known)}."
            raise UserError(f"{path}: there is no parameter {prefix}{name}; {hint}")
    for name in known:
        if name not in tree:
            raise UserError(f"{path}: parameter {prefix}{name} is missing; add it.")


def _section(path: Path, stage: str, kind: type[Section], tree: Any) -> Section:
    _check_names(path, f"{stage}.", tree, kind.model_fields)
    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        raise UserError(f"{path}: {_sentence(stage, error.errors()[0])}") from error


def _sentence(stage: str, detail: ErrorDetails) -> str:
    name = ".".join([stage, *(str(part) for part in detail["loc"])])
    expected = detail["msg"].removeprefix("Input ").removeprefix("String ")
    return f"{name} {expected[0].lower()}{expected[1:]}, but it is {detail['input']!r}."
