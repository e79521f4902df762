"""List or remove the training runs that have checkpoints.

The last three finished runs, and unfinished ones that were worked on in the last two weeks, are kept. The stage `train` removes
the others. What a search that prunes will go on with is kept until the search ends. Runs in the store that
TRAIN_RESNET_CHECKPOINT_REMOTE names are listed too; a rule of the bucket removes them.
"""

import importlib
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resnet.core.errors import UserError, printable
from resnet.core.words import counted

if TYPE_CHECKING:
    from resnet.training.checkpoint_files import Checkpoint
    from tasks.training.fingerprint import Facts
    from tasks.training.runs import Run

_MOST_DIFFERENCES = 4  # are named
_FROM_TENSORFLOW = (
    "precision",
    "machine.devices",
    "machine.fused_kernels",
)  # they take seconds to find out, so they are assumed to be unchanged


def checkpoints(
    remove: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Remove this run; the beginning of its ID is enough. Repeat the option for more runs."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Remove all runs that no process works on or holds.")] = False,
) -> None:
    """Lists the runs, or removes some of them.

    Raises:
        UserError: an ID does not name one run, or a process works on that run or holds it.
    """
    if remove or everything:
        _remove(remove or (), everything=everything)
    else:
        _list()


def _list() -> None:
    """Lists the runs of this host, and then those of the store, which may be out of reach."""
    from tasks.training.moving import list_stored
    from tasks.training.runs import home, list_runs

    runs, current = list_runs(home()), None
    for run in runs:
        current = current or _now()
        when = datetime.fromtimestamp(run.used).astimezone().isoformat(sep=" ", timespec="minutes")
        relation = _busy(run) or _relation(run.folder.name, run.facts, run.newest, *current)
        print(f"{run.folder.name}  {when}  {_place(run.facts, run.newest)}, {run.size / 1e6:.1f} MB; {relation}")
    if not runs:
        print(f"there are no checkpoints in {home()}")
    for one in list_stored():
        if one.fault:
            print(printable(f"{one.name}  in the store  cannot be read ({one.fault})"))
            continue
        current = current or _now()
        facts = one.facts if _describes(one.facts, one.name) else {}  # others write there too
        relation = _relation(one.name, facts, one.newest, *current) if facts else "what it was trained with cannot be read"
        print(printable(f"{one.name}  in the store  {_place(facts, one.newest)}; {relation}"))


def _describes(facts: "Facts", name: str) -> bool:
    """Whether these are the facts of the run of this name, which is their fingerprint."""
    from tasks.training.fingerprint import fingerprint

    return fingerprint(facts) == name and isinstance(facts.get("train.epochs"), int)


def _now() -> "tuple[Facts, Any]":
    """The facts that decide the weights of the next training run, and its parameters."""
    from tasks.stage.command import bind
    from tasks.stage.graph import DVC_YAML, read_graph
    from tasks.stage.params import PARAMS_YAML, load_params
    from tasks.training.resume import decisive

    train = importlib.import_module("tasks.train")
    graph = read_graph(DVC_YAML)
    params = load_params(PARAMS_YAML, graph)
    given = bind(train.train, graph["train"], params)
    inputs = [given[name] for name in train.INPUTS if given[name].exists()]
    return decisive(params.sections["train"], params.seed, inputs, given["code"]), params.sections["train"]


def _with_machine(now: "Facts", then: "Facts") -> "Facts":
    unknown = [*_FROM_TENSORFLOW, *(["train.accumulate"] if now.get("train.accumulate") == "auto" else [])]
    return now | {name: then[name] for name in unknown if name in then}


def _place(facts: "Facts", newest: "Checkpoint | None") -> str:
    from tasks.training.runs import is_complete

    if newest is None:
        return "no checkpoint yet"
    if is_complete(facts, newest):
        return f"finished ({counted(facts['train.epochs'], 'epoch')})"
    return f"epoch {newest.epoch} of {facts.get('train.epochs', '?')}, step {newest.step}"


def _busy(run: "Run") -> str | None:
    """Which process works on a run of this host, or will."""
    from tasks.training.runs import held_by, who

    if holder := who(run):
        return f"{holder} works on it"
    if holder := held_by(run):
        return f"{holder} will go on with it"
    return None


def _relation(name: str, then: "Facts", newest: "Checkpoint | None", now: "Facts", params: Any) -> str:
    """Whether the next training would resume from a run."""
    from tasks.training.fingerprint import differences, fingerprint
    from tasks.training.resume import sources
    from tasks.training.runs import Run, home, is_complete

    current = _with_machine(now, then)
    differing = differences(current, then)
    if not differing:
        done = is_complete(then, newest)
        return "the next run has nothing left to train" if done else "the next run resumes from it"
    if name in [source.folder.name for source in sources(Run(home() / fingerprint(current), current), params)]:
        return "the next run continues from it, unless it has a checkpoint of its own"
    more = f" and {len(differing) - _MOST_DIFFERENCES} more" if len(differing) > _MOST_DIFFERENCES else ""
    return f"differs in {', '.join(_difference(one, then, current) for one in differing[:_MOST_DIFFERENCES])}{more}"


def _difference(name: str, then: "Facts", now: "Facts") -> str:
    if name.startswith(("code.", "data.")):
        return name.partition(".")[2]
    return f"{name} ({then.get(name)} then, {now.get(name)} now)"


def _remove(wanted: Sequence[str], *, everything: bool) -> None:
    from tasks.training.runs import held_by, home, list_runs, remove_run, who

    runs = list_runs(home())
    if "" in wanted:  # all IDs begin with it; an unset variable of a script is empty
        raise UserError("--remove got an empty ID; expected the beginning of one: `train-resnet checkpoints` lists them.")
    for name in wanted:
        found = [run for run in runs if run.folder.name.startswith(name)]
        if len(found) != 1:
            raise UserError(
                f"{len(found) or 'no'} runs have an ID that begins with {name!r}, but it must be one; "
                "`train-resnet checkpoints` lists them."
            )
        remove_run(found[0])
        print(f"removed {found[0].folder.name}")
    for run in runs if everything else ():
        if holder := who(run):
            print(f"left {run.folder.name}: {holder} works on it")
        elif holder := held_by(run):
            print(f"left {run.folder.name}: {holder} will go on with it")
        else:
            remove_run(run)
            print(f"removed {run.folder.name}")
