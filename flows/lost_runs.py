"""Settles lost runs, whose processes were killed together with the process that started them: `python -m flows.lost_runs`.

If only a run dies, `flows.serve` or its worker reports it. If both die, for example in a power cut, nobody tells the server,
and the run stays `Running`. The record of a run in its folder (`flows/run_records.py`) shows this for certain. `flows.serve`
settles the lost runs of its folder when it starts and every minute, each run does so when it starts, and so does this program.

A lost run becomes `Crashed`, with the name `Lost`, and stays so. A run of a deployment is submitted again as a new run of the
same name, at the commit of the lost one. Finished stages are cached, and training resumes from its checkpoint.
"""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateName,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import State, StateType
from prefect.client.schemas.responses import SetStateStatus
from prefect.context import FlowRunContext
from prefect.exceptions import ObjectNotFound
from prefect.runtime import deployment, flow_run
from prefect.settings import get_current_settings
from prefect.states import Cancelled, Crashed, Failed

from flows.ending import be_brief, ending
from flows.run_records import Record, create, ended, is_alive, process_mark
from flows.sentences import hide_tracebacks
from flows.server import require_server
from flows.worker_checks import check_machine, prepare_kernels
from flows.worker_home import arrive
from flows.workspace import HOME, PROJECT, is_away
from resnet.core.errors import UserError

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

LOST = "Lost"
_KEY = "again-"  # of a run that was submitted again: this and the id of the lost one
# What an earlier version registered: they could not see a run's present state, and ran finished runs again.
_OLD_AUTOMATIONS = ("train-resnet: lost runs go on", "train-resnet: lost runs have crashed")

_AGAIN = (
    "The process of the run and the process that started it were killed, for example in a power cut; a new run of the same "
    "name continues it."
)
_TWICE = (
    "The run was submitted again after it was lost, and was lost once more: it may be what brings the machine down. Check the "
    "machine's memory and its log, then submit the run again."
)
_CHANGEABLE = (
    "The process of the run and the process that started it were killed, for example in a power cut. The run used uncommitted "
    "files, which may have changed since: check them, then submit the run again; DVC's cache has the stages that were finished."
)
_CHILD = "The process of the sweep, search or audit that this run belongs to was killed."
_SHELL = "The process of the run was killed; start the run again: DVC's cache has the stages that were finished."


def recorded(work: Callable[[Callable[[str], None]], State[Any]], home: Path = HOME) -> State[Any]:
    """Runs the body of a flow and keeps a record of the run, so that it can be settled if its process is killed.

    Args:
        work: the body. It gets a function that it calls with the hash of the commit of the run, and returns the final state.
        home: the project.
    """
    hide_tracebacks()
    context = FlowRunContext.get()
    child = context is not None and context.flow_run is not None and context.flow_run.parent_task_run_id is not None
    if is_away(home) and not child:
        try:
            check_machine(PROJECT, flow_run.tags)
            arrive(PROJECT, home)
            prepare_kernels()
        except UserError as error:
            return Failed(message=str(error))
    if not flow_run.id:  # outside of Prefect
        return work(lambda commit: None)
    parent = process_mark(os.getppid()) if deployment.id else None
    record = create(home, str(flow_run.id), api=get_current_settings().api.url, parent=parent)
    try:
        if not child:
            _settle_others(home)
        state = work(lambda commit: record.note(commit=commit))
    except BaseException as error:
        kind = StateType.FAILED if isinstance(error, Exception) else StateType.CRASHED
        record.note(final=[kind.value, f"The run ended by {type(error).__name__}: {error}"])
        be_brief()
        raise
    record.note(final=[state.type.value, state.message])
    if ending.is_set():  # the other threads of a search: the signal is an exception in the main thread only
        be_brief()
    return state


def _settle_others(home: Path) -> None:
    """Settles the lost runs of the folder. This run goes on if that fails: they are settled by a later run or `flows.serve`."""
    try:
        settle(home)
    except Exception as error:
        print(f"lost runs of this folder could not be settled ({type(error).__name__}: {error})", file=sys.stderr)


def settle(home: Path = HOME, say: Callable[[str], None] = lambda sentence: None) -> None:
    """Tells the server how the runs of a folder ended, where it does not know.

    Args:
        home: the project.
        say: called with a sentence for each run whose state was set.
    """
    with get_client(sync_client=True) as client:
        for record in ended(home):
            try:
                number = UUID(record.run)
            except ValueError:  # not a record of a run
                continue
            try:
                run = client.read_flow_run(number)
            except ObjectNotFound:
                if record.facts.get("api") == get_current_settings().api.url:  # it was deleted; otherwise another server has it
                    record.remove()
                continue
            if _settled(client, record, run, say):
                record.remove()


def _settled(client: SyncPrefectClient, record: Record, run: "FlowRun", say: Callable[[str], None]) -> bool:
    """Sets the final state of a run whose process has ended; False if another process will do it."""
    state = run.state
    if state is None or state.is_final():
        if state is not None and state.is_crashed() and state.name == LOST:  # whoever set it was killed before the next line
            _submit_again(client, record, run)
        return True
    final = record.facts.get("final")
    parent = record.facts.get("parent")
    if final:  # the server was gone when the run ended
        new: State[Any] = State(type=StateType(final[0]), message=final[1])
    elif isinstance(parent, str) and is_alive(parent):
        return False
    elif state.is_cancelling():
        new = Cancelled(message="The process of the run was killed before the run was cancelled.")
    elif state.is_running():
        new = Crashed(name=LOST, message=_reason(record, run))
    else:  # scheduled again by the user
        return True
    # Without force, the server refuses to replace a final state by this one, even if the final one has come since it was read.
    if client.set_flow_run_state(run.id, new).status == SetStateStatus.ACCEPT:
        say(f"{run.name}: {new.name}. {new.message}")
        if new.name == LOST:
            _submit_again(client, record, run)
    return True


def _reason(record: Record, run: "FlowRun") -> str:
    if run.parent_task_run_id is not None:
        return _CHILD
    if run.deployment_id is None:
        return _SHELL
    if _was_submitted_again(run):
        return _TWICE
    return _AGAIN if _can_be_repeated(record, run) else _CHANGEABLE


def key_of_successor(lost: UUID) -> str:
    """The idempotency key of the run that continues a lost one."""
    return f"{_KEY}{lost}"


def _was_submitted_again(run: "FlowRun") -> bool:
    return (run.idempotency_key or "").startswith(_KEY)


def _can_be_repeated(record: Record, run: "FlowRun") -> bool:
    return "commit" in record.facts and not (run.parameters.get("in_place") or run.parameters.get("include_changes"))


def _submit_again(client: SyncPrefectClient, record: Record, run: "FlowRun") -> None:
    """Submits a run once more; the server makes only one run for each key, however often it is asked."""
    if run.deployment_id is None or _was_submitted_again(run) or not _can_be_repeated(record, run):
        return
    client.create_flow_run_from_deployment(
        run.deployment_id,
        # The schema of the deployment has no null.
        parameters={key: value for key, value in run.parameters.items() if value is not None} | {"rev": record.facts["commit"]},
        name=run.name,
        tags=run.tags,
        idempotency_key=key_of_successor(run.id),
        work_queue_name=run.work_queue_name,
        job_variables=run.job_variables,
    )


def remove_old_automations() -> None:
    """Removes the automations that an earlier version registered, and ends the finished runs that they scheduled again."""
    with get_client(sync_client=True) as client:
        found = [one for name in _OLD_AUTOMATIONS for one in client.read_automations_by_name(name)]
        for automation in found:
            client.delete_automation(automation.id)
        if not found:
            return
        scheduled = FlowRunFilterState(
            type=FlowRunFilterStateType(any_=[StateType.SCHEDULED]), name=FlowRunFilterStateName(any_=[LOST])
        )
        for run in client.read_flow_runs(flow_run_filter=FlowRunFilter(state=scheduled)):
            states = sorted(client.read_flow_run_states(run.id), key=lambda state: state.timestamp)
            final = [state for state in states if state.is_final()]
            if final:
                last = State(type=final[-1].type, name=final[-1].name, message=final[-1].message)
                client.set_flow_run_state(run.id, last, force=True)


def main(arguments: list[str] | None = None) -> int:
    """Settles the lost runs of this folder; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m flows.lost_runs", description=(__doc__ or "").partition("\n")[0])
    parser.parse_args(arguments)
    try:
        require_server(get_current_settings().api.url)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    settle(say=print)
    return 0


if __name__ == "__main__":
    sys.exit(main())
