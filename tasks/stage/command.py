"""Turns the function of a stage into a command: `python -m tasks.train`, as DVC runs it.

Paths are written only in `dvc.yaml`. The function of a stage names its inputs and outputs in its signature, and `bind` fills
them with what `dvc.yaml` lists for the stage:

- the first argument is the section of the stage in `params.yaml`;
- a keyword of type `Path` is the file or folder of that name, with an underscore for the dot: `history_csv` is
  `reports/history.csv`;
- a keyword whose type is a dataclass groups several keywords: its fields are filled in the same way;
- a keyword of type `tuple[Path, ...]` is the code of the stage: files, and folders of files;
- a keyword of type `Params` is all of `params.yaml`, for a stage that depends on all of it;
- any other keyword is the parameter of that name: `image_size` is `preprocess.image_size`, and `train` a whole section.

The function returns facts that can differ between runs with the same result; they are written to `reports/run.json`. If the
module has a function `refused`, it gets the `UserError` that ended the stage, after it was printed.
"""

import argparse
import importlib
import inspect
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, cast

from resnet.core.errors import UserError
from tasks.stage.graph import DVC_YAML, read_graph, stage_code, stage_paths
from tasks.stage.params import PARAMS_YAML, Params, load_params
from tasks.stage.record import record
from tasks.stage.signals import EndedError, endable


def main(stage: str) -> int:
    """Runs a stage in the current folder.

    Returns:
        The exit code: 0; 1 after a `UserError`; 130, 143 or 129 after SIGINT (Ctrl-C), SIGTERM or SIGHUP; 143 when DVC, the
        parent process, died.
    """
    module = importlib.import_module(f"tasks.{stage}")
    argparse.ArgumentParser(prog=f"python -m tasks.{stage}", description=module.__doc__).parse_args()
    began = time.perf_counter()
    work = getattr(module, stage)
    try:
        with endable():
            require_utf8()
            graph = read_graph(DVC_YAML)
            _check_folder()
            params = load_params(PARAMS_YAML, graph)
            facts = work(params.sections[stage], **bind(work, graph[stage], params))
    except UserError as error:
        print(f"{stage}: {error}", file=sys.stderr)
        getattr(module, "refused", _nothing)(error)
        return 1
    except EndedError as end:
        with suppress(OSError):  # nobody may read the output any more
            print(f"{stage}: {end}", file=sys.stderr)
        return end.code
    _record(stage, time.perf_counter() - began, facts or {})
    return 0


def _nothing(_: UserError) -> None:
    """What most stages do after an error of the user."""


def require_utf8() -> None:
    """Makes messages printable in any encoding, and checks that Python reads names of files as UTF-8.

    Raises:
        UserError: it reads them otherwise, so that other labels would come from the same folders.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError):  # None where it was closed before the start; tests replace it
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    found = sys.getfilesystemencoding()
    if found != "utf-8":
        raise UserError(f"names of files would be read as {found}, but UTF-8 is expected: run `export LC_ALL=C.UTF-8`.")


def _check_folder() -> None:
    """Raises `UserError` if the code that runs is not that of the current folder, whose hashes DVC records.

    With PYTHONSAFEPATH, Python does not look in the current folder first, and finds an installed copy.
    """
    here = Path(*Path(__file__).parts[-3:])
    if sys.flags.safe_path and here.exists() and not here.samefile(__file__):
        raise UserError(
            f"this stage would run the code of {Path(__file__).parents[2]}, but DVC records that of {Path.cwd()}: unset "
            "PYTHONSAFEPATH, and run `python -m tasks.NAME` in the folder of the project."
        )


def _record(stage: str, seconds: float, facts: Mapping[str, Any]) -> None:
    """Records the run. A record that cannot be made is reported and does not fail the stage, whose work is done."""
    try:
        record(stage, seconds, facts)
    except Exception as error:  # whatever Git, the machine or the packages answer
        why = error if isinstance(error, (UserError, OSError)) else f"{type(error).__name__}: {error}"
        print(f"{stage}: done, but not recorded in reports/run.json: {why}", file=sys.stderr)


def bind(work: Callable[..., Any], entry: dict[str, Any], params: Params) -> dict[str, Any]:
    """The keyword arguments of a stage's function, see above.

    Args:
        work: the function.
        entry: the stage in `dvc.yaml`.
        params: all of `params.yaml`.

    Raises:
        LookupError: `dvc.yaml` does not list a keyword for the stage, or lists two paths or two parameters for it.
    """
    paths = _by_name("path", {str(path): _keyword(path) for path in stage_paths(entry)})
    values = _by_name("parameter", {name: name.rpartition(".")[2] for name in entry.get("params", [])})
    code = tuple(stage_code(entry))

    def find(name: str, kind: Any) -> Any:
        if is_dataclass(kind):
            if kind is Params:
                return _require_all(params, entry)
            return cast(Any, kind)(**{field.name: find(field.name, kind.__annotations__[field.name]) for field in fields(kind)})
        if kind == tuple[Path, ...]:
            return code
        found = paths if kind is Path else values
        if name not in found:
            raise LookupError(f"{work.__name__} asks for {name}, but dvc.yaml does not list it for this stage")
        return Path(found[name]) if kind is Path else _value(params, found[name])

    return {
        name: find(name, parameter.annotation)
        for name, parameter in inspect.signature(work).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }


def _by_name(kind: str, names: Mapping[str, str]) -> dict[str, str]:
    """Maps each keyword to the one entry of `dvc.yaml` that it stands for."""
    found: dict[str, str] = {}
    for listed, keyword in names.items():
        if found.setdefault(keyword, listed) != listed:
            raise LookupError(f"dvc.yaml lists {found[keyword]} and {listed} for one stage, but both are the {kind} {keyword}")
    return found


def _require_all(params: Params, entry: dict[str, Any]) -> Params:
    missing = {"seed", *params.sections} - {*entry.get("params", [])}
    if missing:
        raise LookupError(f"a stage asks for all parameters, but dvc.yaml does not list {', '.join(sorted(missing))} for it")
    return params


def _keyword(path: Path) -> str:
    return path.name.replace(".", "_")


def _value(params: Params, name: str) -> Any:
    section, _, key = name.partition(".")
    return getattr(params.sections[section], key) if key else params.sections.get(name, params.seed)
