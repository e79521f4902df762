"""A Prefect task for each stage of `dvc.yaml`: it brings the stage up to date, and says `Cached` if there was nothing to run.

DVC is the only cache: Prefect keeps no results, so that a hit never names a file that is not there.
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

from flows.artifacts import Progress
from flows.dvc_process import DvcError, RunEndedError
from flows.locks import slot
from flows.workspace import Workspace
from resnet.core.errors import UserError


@dataclass(frozen=True)
class Policy:
    """How a stage is run. It decides nothing about what the stage writes, so it is no part of the stage's code.

    Attributes:
        describe: what the UI says of it.
        tags: in the UI; each costs a call to the server, which asks whether there is a limit on the tag.
        retries: after anything but a mistake of the user's.
        slot: whether it wants one of the machine's slots for training.
    """

    describe: str
    tags: tuple[str, ...] = ()
    retries: int = 0
    slot: bool = False


POLICIES = {
    "ingest": Policy("Bring the images of a source in as they are", tags=("network",), retries=2),
    "preprocess": Policy("Decode and resize the images; cut the splits"),
    "build": Policy("Make the network and its first weights"),
    "train": Policy("Train; keep the best weights by the validation split", tags=("gpu",), retries=1, slot=True),
    "evaluate": Policy("Measure on the test split"),
    "render": Policy("Draw the curves and the report"),
}
_RETRY_SECONDS = 5
_STATUS = re.compile(r"exited with (-?\d+)$")


class StageError(Exception):
    """A stage ended with something that is nobody's mistake: killed, or a bug."""


def stage_task(stage: str) -> Callable[..., State[None]]:
    """The Prefect task of a stage.

    Returns:
        A function of the workspace and of the states of the stages that it depends on. It returns the state, or raises
        `UserError` for what the user can mend and `StageError` for the rest.
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
            return Failed(message=str(error))  # a state of our own, since an exception's is its traceback

    def checked(workspace: Workspace, *upstream: State[None]) -> State[None]:
        state = run(workspace, upstream)
        if state.is_failed():
            raise UserError(state.message or f"{stage} failed")
        return state

    return checked


def _is_worth_a_retry(_task: Any, _run: Any, state: State[Any]) -> bool:
    """Nobody's mistake: the state was made of an exception, so there is data in it."""
    return state.data is not None


def bring_up_to_date(workspace: Workspace, stage: str, policy: Policy, logger: Any) -> State[None]:
    """Runs a stage, restores it, or leaves it alone.

    Runs of the same stage on the same inputs wait for each other, and the second finds the outputs of the first.

    Raises:
        UserError: the stage's own sentence.
        StageError: the stage ended otherwise.
    """
    seen = workspace.look(stage)
    waited: list[str] = []

    def on_wait() -> None:
        waited.append(stage)
        logger.info(f"Another run is at {stage} with the same inputs; waiting for it.")

    with ExitStack() as stack:
        if seen["key"]:
            stack.enter_context(workspace.lock(f"{stage}-{seen['key'][:16]}", on_wait))
        if waited:
            seen = workspace.look(stage)
        if seen["unchanged"]:
            return Completed(name="Cached", message="Unchanged: nothing to do.")
        environment = {"DVC_ROOT": str(workspace.home)}  # as `dvc exp run --temp` does: checkpoints outlive the checkout
        if policy.slot and not seen["restorable"]:
            devices = seen["params"].get("params.yaml", {}).get(stage, {}).get("devices", 1)
            environment |= stack.enter_context(slot(lambda: logger.info("Waiting for a free slot for training."), devices))
        ran = _run(workspace, stage, environment, logger)
    return Completed() if ran else Completed(name="Cached", message="Restored from DVC's cache.")


def _run(workspace: Workspace, stage: str, environment: dict[str, str], logger: Any) -> bool:
    last: deque[str] = deque(maxlen=1)
    progress = Progress(stage)

    def on_line(line: str) -> None:
        logger.info(line)
        last.append(line)
        progress.see(line)

    try:
        return workspace.reproduce(stage, environment, on_line)
    except DvcError as error:
        status = _STATUS.search(str(error))
        if status is None:
            raise
        if status[1] == "1" and last and last[0].startswith(f"{stage}: "):
            raise UserError(last[0]) from error
        raise StageError(f"{stage} ended with code {status[1]}: {last[0] if last else 'it printed nothing'}") from error


def run_logger() -> Any:
    """The logger of the run, or one of Python's outside of runs."""
    try:
        return get_run_logger()
    except MissingContextError:
        return logging.getLogger(__name__)
