"""A Prefect task for each stage of `dvc.yaml`. It brings the stage up to date; its state is `Cached` if nothing had to run.

DVC is the only cache. Prefect keeps no results, so a cache hit never refers to a file that does not exist.
"""

import logging
import re
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.exceptions import MissingContextError
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed

from flows.dvc_process import DvcError
from flows.ending import RunEndedError
from flows.locks import slot
from flows.training_progress import TrainingProgress
from flows.workspace import Workspace
from resnet.core.errors import UserError
from tasks.training import pause
from tasks.training.points import read_points

PAUSED = "Paused"  # the name of the state


@dataclass(frozen=True)
class Policy:
    """How a stage is run. It does not affect what the stage writes, so it is not part of the code of the stage.

    Attributes:
        describe: the description in the UI.
        tags: in the UI; each costs a call to the server, which checks for a limit on the tag.
        retries: after a failure that is not a `UserError`.
        slot: whether it needs one of the machine's slots for training.
    """

    describe: str
    tags: tuple[str, ...] = ()
    retries: int = 0
    slot: bool = False


POLICIES = {
    "ingest": Policy("Copy the images of a source unchanged", tags=("network",), retries=2),
    "preprocess": Policy("Decode and resize the images; assign them to splits"),
    "build": Policy("Make the network and its initial weights"),
    "train": Policy("Train; keep the weights that are best on the validation split", tags=("gpu",), retries=1, slot=True),
    "evaluate": Policy("Evaluate on the test split"),
    "render": Policy("Draw the curves and the report"),
}
_RETRY_SECONDS = 5
_STATUS = re.compile(r"exited with (-?\d+)$")


class StageError(Exception):
    """A stage was killed, or failed because of a bug."""


class StagePausedError(Exception):
    """Training paused after the epoch that the run asked for."""


def stage_task(stage: str) -> Callable[..., State[None]]:
    """The Prefect task of a stage.

    Returns:
        A function of the workspace and of the states of the stages that it depends on. It returns the state, which has the name
        `PAUSED` if training paused as asked. It raises `UserError` for what the user can correct and `StageError` for all other
        failures.
    """
    policy = POLICIES[stage]

    @task(
        name=stage,
        task_run_name=stage,
        description=policy.describe,
        tags=policy.tags,
        retries=policy.retries,
        retry_delay_seconds=_RETRY_SECONDS,
        retry_condition_fn=_is_worth_a_retry,
        cache_policy=NO_CACHE,
        persist_result=False,
    )
    def run(workspace: Workspace, upstream: tuple[State[None], ...]) -> State[None]:
        try:
            return bring_up_to_date(workspace, stage, policy, run_logger())
        except (UserError, RunEndedError) as error:
            return Failed(message=str(error))  # the state of an exception would be its traceback
        except StagePausedError as paused:
            return Completed(name=PAUSED, message=str(paused))

    def checked(workspace: Workspace, *upstream: State[None]) -> State[None]:
        state = run(workspace, upstream)
        if state.is_failed():
            raise UserError(state.message or f"{stage} failed")
        return state

    return checked


def _is_worth_a_retry(_task: Any, _run: Any, state: State[Any]) -> bool:
    """Only a state of an exception has data; the states of `UserError` are made above, without data."""
    return state.data is not None


def bring_up_to_date(workspace: Workspace, stage: str, policy: Policy, logger: Any) -> State[None]:
    """Runs a stage, restores its outputs from the cache, or does nothing if they are up to date.

    If several runs have the same stage with the same inputs, one runs it, and the others wait and use its outputs.

    Raises:
        UserError: with the sentence that the stage printed.
        StageError: the stage failed in another way.
        StagePausedError: training paused as asked.
    """
    seen = workspace.look(stage)
    waited: list[str] = []

    def on_wait() -> None:
        waited.append(stage)
        logger.info(f"Another run is running {stage} with the same inputs; waiting for it.")

    with ExitStack() as stack:
        if seen["key"]:
            stack.enter_context(workspace.lock(f"{stage}-{seen['key'][:16]}", on_wait))
        if waited:
            seen = workspace.look(stage)
        if seen["unchanged"]:
            return Completed(name="Cached", message="Unchanged: nothing to do.")
        environment = {
            **workspace.environment,
            "DVC_ROOT": str(workspace.home),
        }  # as in `dvc exp run --temp`: checkpoints outlive the checkout
        if policy.slot and not seen["restorable"]:
            devices = seen["params"].get("params.yaml", {}).get(stage, {}).get("devices", 1)
            environment |= stack.enter_context(slot(lambda: logger.info("Waiting for a free slot for training."), devices))
        ran = _run(workspace, stage, environment, logger)
    return Completed() if ran else Completed(name="Cached", message="Restored from DVC's cache.")


def _run(workspace: Workspace, stage: str, environment: dict[str, str], logger: Any) -> bool:
    last: deque[str] = deque(maxlen=1)

    def on_line(line: str) -> None:
        words, _, advice = line.partition(f", because {pause.VARIABLE} is set")
        if advice and pause.VARIABLE in workspace.environment:
            last.append(words)  # nobody is to unset what the run itself has set, and the state of the stage says the rest
            return
        logger.info(line)
        last.append(line)

    try:
        with TrainingProgress(workspace.record(stage), stage) as progress:
            return workspace.reproduce(stage, environment | progress.environment, on_line)
    except DvcError as error:
        status = _STATUS.search(str(error))
        if status is None:
            raise
        if int(status[1]) == pause.CODE and read_points(workspace.record(stage)).end.get("outcome") == "paused":
            asked = pause.VARIABLE in workspace.environment
            raise (StagePausedError if asked else UserError)(last[0] if last else f"{stage} paused") from error
        if status[1] == "1" and last and last[0].startswith(f"{stage}: "):
            raise UserError(last[0]) from error
        raise StageError(f"{stage} ended with code {status[1]}: {last[0] if last else 'it printed nothing'}") from error


def run_logger() -> Any:
    """The logger of the run, or a standard one outside of runs."""
    try:
        return get_run_logger()
    except MissingContextError:
        return logging.getLogger(__name__)
