"""Reads `params.yaml` and checks all of it before anything heavy is imported.

The parameters of a stage are a class in the module of that stage, so that a new parameter of one stage does not make another
stage run again. `load_params` imports these classes by name at run time. They can make a stage refuse to run, but nothing that
a stage writes depends on the classes of other stages.
"""

import difflib
import importlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from resnet.core.errors import UserError
from tasks.stage.syntax import syntax_sentence

PARAMS_YAML = Path("params.yaml")
SEEDS = 2**31  # the seed is below this number
MOST = 10**6  # of epochs, of images in a batch, and of other counts: more is a slip, and some libraries fail at it
SEED_DESCRIPTION = "random seed of the initial weights, the order of the images and their augmentation"

T = TypeVar("T")
S = TypeVar("S", bound="Section")


class Section(BaseModel):
    """The parameters of one stage: a section of `params.yaml`. Each field has the text of its comment there."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)
    renamed: ClassVar[dict[str, str]] = {}  # new names by old ones, for the hint

    def check(self, whole: "Params") -> None:
        """Checks combinations of values, also with other sections; raises `UserError`."""


@dataclass(frozen=True)
class Params:
    """All of `params.yaml`.

    Attributes:
        seed: of the initial weights, the order of the images and their augmentation.
        sections: the parameters of the stages, by stage.
    """

    seed: int
    sections: Mapping[str, Section]

    def section(self, kind: type[S]) -> S:
        """The section with this class, for code that may import the module of the stage.

        Raises:
            LookupError: there is no such section.
        """
        for section in self.sections.values():
            if isinstance(section, kind):
                return section
        raise LookupError(f"there is no section {kind.__name__} in the parameters")

    def value(self, name: str, kind: type[T]) -> T:
        """One parameter by its name in `params.yaml`, for code that must not import the module of the stage.

        Args:
            name: such as "build.weights".
            kind: the expected type.

        Raises:
            LookupError: there is no such parameter.
            TypeError: its class declares another type.
        """
        stage, _, key = name.partition(".")
        section = self.sections[stage]
        if key not in type(section).model_fields:
            raise LookupError(f"there is no parameter {name}")
        value = getattr(section, key)
        if not isinstance(value, kind):
            raise TypeError(f"{name} is a {type(value).__name__}, not a {kind.__name__}")
        return value


def load_params(path: Path, stages: Iterable[str]) -> Params:
    """Reads and checks the whole file.

    Args:
        path: of `params.yaml`.
        stages: names of the stages; the parameters of stage `train` are the class `Train` in `tasks/train.py`.

    Raises:
        UserError: the file is missing or not YAML, or a parameter is unknown, missing, of the wrong type, out of range or
            in conflict with another one.
    """
    params, mistakes = examine_params(path, stages)
    if mistakes:
        raise UserError(mistakes[0])
    return params


def examine_params(path: Path, stages: Iterable[str]) -> tuple[Params, list[str]]:
    """Reads the whole file and finds all mistakes in it; for the arguments see `load_params`.

    Returns:
        The sections that have no mistake of their own, and a sentence for each mistake.

    Raises:
        UserError: the file is missing or not YAML.
    """
    try:
        return _examine(path, _read_yaml(path), stages)
    except RecursionError:
        raise UserError(f"{path}: its values are nested too deeply, or contain themselves; correct the file.") from None


def _examine(path: Path, tree: Any, stages: Iterable[str]) -> tuple[Params, list[str]]:
    classes = {stage: section_class(stage) for stage in stages}
    mistakes = list(_wrong_names("", tree, ["seed", *classes]))
    seed, sections = 0, dict[str, Section]()
    if isinstance(tree, dict):
        seed = _whole(tree.get("seed", 0))
        if type(seed) is not int or not 0 <= seed < SEEDS:
            mistakes.append(f"seed must be a whole number from 0 to {SEEDS - 1}, but it is {seed!r}.")
            seed = 0
        for stage in (stage for stage in classes if stage in tree):
            section = _section(stage, classes[stage], tree[stage])
            if isinstance(section, Section):
                sections[stage] = section
            else:
                mistakes += section
    params = Params(seed, {stage: sections[stage] for stage in classes if stage in sections})
    if not mistakes:
        mistakes += _conflicts(params)
    return params, [f"{path}: {mistake}" for mistake in mistakes]


def _conflicts(params: Params) -> Iterator[str]:
    for section in params.sections.values():
        try:
            section.check(params)
        except UserError as error:
            yield str(error)


def section_class(stage: str) -> type[Section]:
    """The class of the parameters of a stage."""
    kind: type[Section] = getattr(importlib.import_module(f"tasks.{stage}"), stage.capitalize())
    return kind


def _read_yaml(path: Path) -> Any:
    try:
        # The same parser and YAML version (1.2) as DVC's, so that 1e-5, as `dvc exp run -S` writes it, is a number in both.
        return YAML(typ="safe", pure=True).load(path)
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing; `git checkout {path}` restores the last version.") from error
    except MarkedYAMLError as error:
        raise UserError(syntax_sentence(path, error)) from error
    except (YAMLError, ValueError) as error:  # ValueError: an impossible date, or a wrong encoding
        raise UserError(f"{path}: not valid YAML ({' '.join(str(error).split())}); correct the file.") from error
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}); `git checkout {path}` restores the last version."
        ) from error


def _wrong_names(prefix: str, tree: Any, known: Iterable[str], renamed: Mapping[str, str] = {}) -> Iterator[str]:
    """A sentence for each mistake unless `tree` is a mapping with exactly the known names."""
    known = list(known)
    if not isinstance(tree, dict):
        yield f"{prefix.rstrip('.') or 'the file'} must be a mapping of {', '.join(known)}, but it is {tree!r}."
        return
    meant = set()
    for name in tree:
        if name not in known:
            near = [renamed[name]] if name in renamed else difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
            meant.update(near)
            hint = f"did you mean {prefix}{near[0]}?" if near else f"known are {', '.join(known)}."
            yield f"there is no parameter {prefix}{name}; {hint}"
    for name in known:
        if name not in tree and name not in meant:
            yield f"parameter {prefix}{name} is missing; add it."


def _section(stage: str, kind: type[Section], tree: Any) -> Section | list[str]:
    """The section, or a sentence for each mistake in it."""
    mistakes = list(_wrong_names(f"{stage}.", tree, kind.model_fields, kind.renamed))
    try:
        section = kind.model_validate(_whole(tree))
    except ValidationError as error:
        wrong = [detail for detail in error.errors() if detail["type"] not in ("missing", "extra_forbidden", "model_type")]
        return [*mistakes, *(_sentence(stage, details) for details in _by_parameter(wrong))]
    return mistakes or section


def _whole(value: Any) -> Any:
    """A value with 1 for 1.0, as in JSON Schema, for which both are the same number. A parameter of type float takes both."""
    if isinstance(value, dict):
        return {name: _whole(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_whole(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _by_parameter(details: Iterable[ErrorDetails]) -> Iterator[list[ErrorDetails]]:
    """The mistakes of each value: one, or one for each kind of values that the parameter allows."""
    for _, same in groupby(details, key=_place):
        found = list(same)
        # A number that is out of range was not meant as one of the words.
        yield found if isinstance(found[0]["input"], str) else [one for one in found if one["type"] != "literal_error"] or found


def _place(detail: ErrorDetails) -> list[int | str]:
    """The parameter, and the number in a list. Where several kinds of values are allowed, pydantic adds the kind."""
    name, *parts = detail["loc"]
    return [name, *(part for part in parts if isinstance(part, int))]


def _sentence(stage: str, details: list[ErrorDetails]) -> str:
    name = ".".join([stage, *map(str, _place(details[0]))])
    first, *others = (detail["msg"].removeprefix("Input ").removeprefix("String ") for detail in details)
    expected = " or ".join([first, *(other.removeprefix("should be ") for other in others)])
    return f"{name} {expected[0].lower()}{expected[1:]}, but it is {details[0]['input']!r}."
