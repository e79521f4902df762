"""Lists the training runs that were begun, with their checkpoints, and removes what is not wanted any longer.

Kept by themselves are the last three runs that finished and those that were worked on in the last two weeks.
"""

import argparse
import importlib
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from resnet.core.errors import UserError
from tasks.stage.command import bind
from tasks.stage.graph import DVC_YAML, read_graph
from tasks.stage.params import PARAMS_YAML, load_params
from tasks.training.fingerprint import Facts, differences, fingerprint
from tasks.training.resume import decisive, sources
from tasks.training.runs import Run, home, list_runs, remove_run, who

_SHOWN = 4
_OF_TENSORFLOW = ("precision", "machine.devices")  # it would take seconds to find out; they are taken as they were


def main() -> int:
    """The command; exit code 1 after a mistake."""
    parser = argparse.ArgumentParser(prog="train-resnet checkpoints", description=__doc__)
    parser.add_argument("--remove", metavar="ID", nargs="+", help="remove these runs; the beginning of an ID will do")
    parser.add_argument("--all", action="store_true", help="remove all that no process is at")
    arguments = parser.parse_args()
    try:
        if arguments.remove or arguments.all:
            _remove(arguments.remove, everything=arguments.all)
        else:
            _list()
    except UserError as error:
        print(f"checkpoints: {error}", file=sys.stderr)
        return 1
    return 0


def _list() -> None:
    runs = list_runs(home())
    if not runs:
        print(f"there are no checkpoints in {home()}")
        return
    now, params = _now()
    for run in runs:
        current = _with_machine(now, run.facts)
        next_run = Run(run.folder.with_name(fingerprint(current)), current)
        ours = [source.folder.name for source in sources(next_run, params)]
        when = datetime.fromtimestamp(run.used).astimezone().isoformat(sep=" ", timespec="minutes")
        print(f"{run.folder.name}  {when}  {_place(run)}, {run.size / 1e6:.1f} MB; {_relation(run, current, ours)}")


def _now() -> tuple[Facts, Any]:
    """What decides the weights of the run that the next `python -m tasks.train` would do, and its parameters."""
    train = importlib.import_module("tasks.train")
    graph = read_graph(DVC_YAML)
    params = load_params(PARAMS_YAML, graph)
    given = bind(train.train, graph["train"], params)
    inputs = [given[name] for name in train.INPUTS if given[name].exists()]
    return decisive(params.sections["train"], params.seed, inputs, given["code"]), params.sections["train"]


def _with_machine(now: Facts, then: Facts) -> Facts:
    return now | {name: then[name] for name in _OF_TENSORFLOW if name in then}


def _place(run: Run) -> str:
    newest = run.newest
    if newest is None:
        return "no checkpoint yet"
    if run.finished:
        return f"finished ({run.facts['train.epochs']} epochs)"
    return f"epoch {newest.epoch} of {run.facts.get('train.epochs', '?')}, step {newest.step}"


def _relation(run: Run, now: Facts, ours: Sequence[str]) -> str:
    """Who is at a run, and whether the next one would go on from it."""
    holder = who(run)
    if holder:
        return f"{holder} is at it"
    differing = differences(now, run.facts)
    if not differing:
        return "the next run goes on from it"
    if run.folder.name in ours:
        return "the next run takes over from it, unless it has a checkpoint of its own"
    more = f" and {len(differing) - _SHOWN} more" if len(differing) > _SHOWN else ""
    return f"differs in {', '.join(_difference(name, run.facts, now) for name in differing[:_SHOWN])}{more}"


def _difference(name: str, then: Facts, now: Facts) -> str:
    if name.startswith(("code.", "data.")):
        return name.partition(".")[2]
    return f"{name} ({then.get(name)} then, {now.get(name)} now)"


def _remove(wanted: Sequence[str] | None, *, everything: bool) -> None:
    runs = list_runs(home())
    for name in wanted or ():
        found = [run for run in runs if run.folder.name.startswith(name)]
        if len(found) != 1:
            raise UserError(
                f"{len(found)} runs have an ID that begins with {name!r}, but it must be one; `train-resnet checkpoints` "
                "lists them."
            )
        remove_run(found[0])
        print(f"removed {found[0].folder.name}")
    for run in runs if everything else ():
        holder = who(run)
        if holder:
            print(f"left {run.folder.name}: {holder} is at it")
        else:
            remove_run(run)
            print(f"removed {run.folder.name}")


if __name__ == "__main__":
    sys.exit(main())
