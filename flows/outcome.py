"""What the list of runs shows about a run that has ended: its accuracy in the name and the tags, and the next command.

Prefect's list shows the name, the state and the tags of a run, but no message and no figures.
"""

import json
from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext

from flows.names import describe_run
from flows.results import Result
from flows.workspace import HOME, is_away
from tasks.stage.record import RUN_JSON


def message(result: Result, in_place: bool) -> str:
    """The sentence of a run that was completed; it ends in the next command."""
    name = result.experiment
    figures = result.named_accuracy() or "no test accuracy"
    if in_place:  # its files are in the project's folder already
        next_command = f"open reports/index.html, or compare with the last commit by `train-resnet compare HEAD {name}`"
    else:
        next_command = f"`{command_for_files(name)}` for its files, or `train-resnet compare HEAD {name}`"
    return f"Experiment {name}: {figures}. Next: {next_command}"


def command_for_files(experiment: str, *, elsewhere: bool | None = None) -> str:
    """What brings the files of an experiment into the work tree at home.

    Args:
        experiment: its name.
        elsewhere: whether a worker's run made it; by default, whether this is one.
    """
    elsewhere = is_away(HOME) if elsewhere is None else elsewhere
    pull = f"dvc exp pull origin {experiment} && " if elsewhere else ""
    return f"{pull}dvc exp apply {experiment}"


def tags(root: Path, result: Result, trained: State[None]) -> list[str]:
    """The experiment, the accuracy, and `gpu`, `cpu` or `cached`: what trained in this run, if anything.

    Args:
        root: the work tree of the run.
        result: of the run.
        trained: the state of the task `train`.
    """
    place = "cached" if trained.name == "Cached" else "gpu" if _used_gpus(root) else "cpu"
    return [tag for tag in (result.experiment, result.short_accuracy(), place) if tag]


def _used_gpus(root: Path) -> bool:
    try:
        return bool(json.loads((root / RUN_JSON).read_text("utf-8"))["stages"]["train"]["gpus"])
    except (OSError, ValueError, LookupError, TypeError):  # a revision with another record
        return False


def show(result: Result, found: list[str]) -> None:
    """Adds the tags to the present run, and the accuracy to its name unless a person gave the name."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return
    run = context.flow_run
    accuracy = result.short_accuracy()
    name = f"{run.name}: {accuracy}" if accuracy and run.name == describe_run(context.parameters or {}) else run.name
    with get_client(sync_client=True) as client:
        client.update_flow_run(run.id, name=name, tags=[*run.tags, *(tag for tag in found if tag not in run.tags)])
