"""Say why a stage would run, or that it is up to date.

It names the files, parameters and code that changed since the stage ran, and the commits that changed them. It also says
whether DVC's cache has the result, what the last run cost, and which stages would run before this one. Nothing is run or
changed.
"""

import difflib
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from commands.dvc_errors import unreadable
from commands.history import changes_since
from commands.repair import DVC_LOCK
from resnet.core.errors import UserError, damaged_input
from tasks.stage.graph import DVC_YAML, is_code, read_graph
from tasks.stage.params import PARAMS_YAML
from tasks.stage.record import RUN_JSON

if TYPE_CHECKING:
    from dvc.repo import Repo


@dataclass(frozen=True)
class Answer:
    """Why a stage would run.

    Attributes:
        stage: its name.
        reasons: a line each; none if the stage is up to date by itself.
        restorable: whether DVC's cache has what the stage would write; None if that cannot be determined.
        before: stages that it depends on, directly or not, which would run before it.
    """

    stage: str
    reasons: list[str]
    restorable: bool | None
    before: list[str]


def why(
    stages: Annotated[
        list[str] | None, typer.Argument(metavar="STAGE", help="Names of stages; without one, all stages.")
    ] = None,
) -> None:
    """Prints a paragraph for each stage.

    Raises:
        UserError: see `explain`.
    """
    for text in explain(stages or []):
        print(text, flush=True)


def explain(stages: list[str]) -> Iterator[str]:
    """Yields a paragraph for each stage; for all stages if none is named.

    Raises:
        UserError: a stage does not exist, or DVC cannot read the project.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    known = list(read_graph(DVC_YAML))
    for stage in stages:
        if stage not in known:
            near = difflib.get_close_matches(stage, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"stages are {', '.join(known)}."
            raise UserError(f"there is no stage {stage}; {hint}")
    logging.getLogger("dvc").setLevel(logging.ERROR)  # a dry restore logs that it restores
    try:
        with Repo(".") as repo:
            for stage in stages or known:
                yield _paragraph(answer(repo, stage, known))
    except DvcException as error:
        raise unreadable(error) from error


def answer(repo: "Repo", stage: str, order: list[str]) -> Answer:
    """Why a stage of a repository would run; `order` names all stages in the order in which they run."""
    changed = repo.status([stage], with_deps=True)
    upstream = [name for name in order if name in changed and name != stage]
    reasons = list(_reasons(stage, changed.get(stage, [])))
    return Answer(stage, reasons, _is_restorable(repo, stage) if reasons else None, upstream)


def explain_changes() -> Iterator[tuple[str, list[str]]]:
    """Yields each stage whose inputs or outputs differ from `dvc.lock`, with the reasons, in the order of the stages.

    Data and results that are missing do not count: a clone may have fetched only some of them. Code that is missing does.

    Raises:
        UserError: DVC cannot read the project.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(".") as repo:
            status = repo.status()
    except DvcException as error:
        raise unreadable(error) from error
    for stage in read_graph(DVC_YAML):
        reasons = list(_reasons(stage, [_present(entry) for entry in status.get(stage, [])]))
        if reasons:
            yield stage, reasons


def _present(entry: Any) -> Any:
    """An entry of DVC's status without data and results that are not here."""
    if not isinstance(entry, dict):
        return entry
    absent = ("deleted", "not in cache")
    return {
        kind: {path: state for path, state in changes.items() if state not in absent or is_code(Path(path))}
        for kind, changes in entry.items()
        if isinstance(changes, dict)
    }


def _is_restorable(repo: "Repo", stage: str) -> bool | None:
    from dvc.exceptions import DvcException
    from dvc.stage.cache import RunCacheNotFoundError
    from dvc_data.hashfile.hash_info import HashInfo

    entry = repo.stage.load_one(name=stage)
    try:
        if not entry.changed_stage() and entry.deps_cached():
            return bool(entry.outs_cached())
        entry.save_deps()
        for out in entry.outs:  # otherwise DVC takes the last run's outputs for those of the present inputs
            out.hash_info = HashInfo()
        repo.stage_cache.restore(entry, dry=True)
    except RunCacheNotFoundError:
        return False
    except DvcException:  # an input is missing
        return None
    return True


def _reasons(stage: str, status: list[Any]) -> Iterator[str]:
    """A line for each difference from what `dvc.lock` records of the stage's last run."""
    lock = _locked(stage)
    if lock is None:
        yield f"it has not run yet: it is not in {DVC_LOCK}"
        return
    hashes = {item["path"]: item.get("md5", "") for item in lock.get("deps", [])}
    for entry in status:
        if not isinstance(entry, dict):
            if "command" in entry:
                yield f"its command changed: it was `{lock['cmd']}`"
            continue
        for path, state in entry.get("changed deps", {}).items():
            if isinstance(state, dict):
                yield from _parameters(stage, lock, state)
            else:
                yield _input(Path(path), state, hashes.get(path, ""))
        for path, state in entry.get("changed outs", {}).items():
            yield f"{path}, which it writes, is {_STATES.get(state, state)}"


_STATES = {
    "modified": "not what it wrote",
    "deleted": "missing",
    "new": "not in dvc.lock",
    "not in cache": "not in DVC's cache",
}


def _input(path: Path, state: str, recorded: str) -> str:
    what = f"code in {path}" if is_code(path) else f"{path}, which it reads,"
    if state == "deleted":
        return f"{what} is missing"
    if state == "new" or not recorded:
        return f"{what} is a new input"
    return f"{what} changed{changes_since(path, recorded)}"


def _parameters(stage: str, lock: dict[str, Any], changed: dict[str, str]) -> Iterator[str]:
    """A line for each parameter whose value is not the recorded one, below the names that the stage lists."""
    recorded = lock.get("params", {}).get(str(PARAMS_YAML), {})
    current = _load(PARAMS_YAML)
    for name in changed:
        now = current
        for part in name.split("."):
            now = now.get(part, {}) if isinstance(now, dict) else {}
        before, after = _leaves(name, recorded.get(name, {})), _leaves(name, now)
        for key in sorted(before.keys() | after.keys()):
            if key not in before:
                yield f"parameter {key} is new: {after[key]!r}"
            elif key not in after:
                yield f"parameter {key} was removed: it was {before[key]!r}"
            elif before[key] != after[key]:
                yield f"parameter {key} is {after[key]!r} and was {before[key]!r}"


def _leaves(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return {key: leaf for child, below in value.items() for key, leaf in _leaves(f"{name}.{child}", below).items()}
    return {name: value}


def _locked(stage: str) -> dict[str, Any] | None:
    if not DVC_LOCK.exists():
        return None
    stages: dict[str, Any] = (_load(DVC_LOCK) or {}).get("stages", {})
    return stages.get(stage)


def _load(path: Path) -> Any:
    try:
        return YAML(typ="safe", pure=True).load(path)
    except YAMLError as error:
        raise damaged_input(path, error) from error


def _paragraph(found: Answer) -> str:
    head = f"{found.stage} would run:" if found.reasons else f"{found.stage} is up to date"
    if not found.reasons and found.before:
        head += f", but {_and(found.before)} would run before it; if that changes its inputs, {found.stage} runs too"
    lines = [head, *(f"  {reason}" for reason in found.reasons)]
    if found.reasons:
        if found.before:
            lines.append(f"  before it, {_and(found.before)} would run; the next line is about the inputs as they are now")
        lines.append(f"  {_RESTORABLE[found.restorable]}")
    return "\n".join([*lines, f"  {_cost(found.stage)}"])


_RESTORABLE = {
    True: "DVC's cache has what it would write: `dvc repro` restores it without running it",
    False: "DVC's cache does not have what it would write",
    None: "an input is missing, so it is unknown whether DVC's cache has what it would write",
}


def _cost(stage: str) -> str:
    try:
        run = json.loads(RUN_JSON.read_text("utf-8"))["stages"][stage]
    except (OSError, ValueError, KeyError, TypeError):
        run = {}
    if not {"seconds", "finished"} <= run.keys():
        return "its cost is unknown: it has not run in this work tree"
    memory = f", with {run['peak_memory_mb']:,} MB of memory" if "peak_memory_mb" in run else ""
    return f"its last run here took {run['seconds']:,.0f} s{memory}, and ended at {run['finished']}"


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
