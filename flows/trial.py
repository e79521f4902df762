"""A trial of a search that prunes, as a Prefect flow: it trains up to an epoch, or to the end.

Each part of a trial is a run of this flow in a checkout of its own; it goes on from the checkpoint at which the part before
paused. Only the last part evaluates, and is an experiment.
"""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows.lost_runs import recorded
from flows.names import describe_trial, naming
from flows.results import Result, lowest_loss, read_history, read_result
from flows.stages import run_logger
from flows.train_resnet import run_stages, show_result
from flows.workspace import Request, opened
from resnet.core.errors import UserError
from resnet.core.words import counted
from tasks.training import pause
from tasks.training.points import read_points


@dataclass(frozen=True)
class Reached:
    """Where a trial is.

    Attributes:
        history: its epochs so far: their columns by name, `val_loss` among them.
        run: the ID of its training run; empty if DVC's cache had its result.
        fresh: whether it had no checkpoint before.
        result: its result; None unless it was evaluated.
    """

    history: list[dict[str, float]]
    run: str
    fresh: bool
    result: Result | None


# Called with what a trial reached before Prefect is told: its server may be lost then.
on_reached: ContextVar[Callable[[Reached], None]] = ContextVar("on_reached", default=lambda reached: None)


@flow(name="trial", flow_run_name=naming(describe_trial), persist_result=False)
def trial(*, rev: str, experiment: str, until: int, last: bool, overrides: dict[str, Any]) -> State[Reached]:
    """Trains a trial up to an epoch.

    Args:
        rev: the Git revision to run.
        experiment: the name of the experiment that it will be.
        until: the epoch.
        last: whether this is the end of training, so that the trial is evaluated and saved.
        overrides: the parameters of the trial.
    """
    request = Request(overrides, rev, experiment)
    return recorded(lambda pin: _run(request, experiment, until, last, pin))


def _run(request: Request, name: str, until: int, last: bool, pin: Callable[[str], None]) -> State[Reached]:
    result = None
    try:
        with opened(request, name, run_logger().info, environment={pause.VARIABLE: str(until)}) as workspace:
            pin(workspace.commit)
            trained = run_stages(workspace, measured=last)
            start = read_points(workspace.record("train")).start
            history = read_history(workspace.root)
            if last:
                result = read_result(workspace.root, workspace.save(name))
                show_result(workspace, request, result, trained)
    except UserError as error:
        return Failed(message=str(error))
    fresh = (start.get("epoch"), start.get("step")) == (1, 0)
    reached = Reached(history, str(start.get("run", "")), fresh, result)
    on_reached.get()(reached)
    words = f"{counted(len(history), 'epoch')}, lowest validation loss {lowest_loss(history):.4f}"
    return Completed(message=words, data=reached)
