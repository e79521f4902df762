"""Automations for lost runs, which were killed together with the process that started them: `python -m flows.lost_runs`.

If only a run dies, `flows.serve` or its worker reports it. If both die, for example in a power cut, nobody tells the server,
and the run stays `Running`. But a run sends a heartbeat every 30 s, so an automation on the server can detect its absence. It
schedules a run of a deployment once more. That run continues when the deployment is served again: finished stages are cached,
and training resumes from its checkpoint. A run started from a shell is marked `Crashed`. `flows.serve` registers these
automations by itself.
"""

import argparse
import sys
from datetime import timedelta
from typing import Any

from prefect.automations import Automation
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterName
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.runtime import flow_run
from prefect.settings import get_current_settings

from flows.server import require_server
from resnet.core.errors import UserError

LOST = "Lost"
LOST_AFTER = 300.0  # seconds without a heartbeat; a shorter outage of the server loses no run
FLOWS = ("train-resnet", "sweep", "search")
_PAGE = 200


def set_up(seconds: float = LOST_AFTER) -> None:
    """Registers the automations with the server and replaces older ones.

    Args:
        seconds: a run of a deployment is lost after so many seconds without a heartbeat; any other run after twice that time.
    """
    deployments = _deployments()
    if deployments:
        _register(
            "train-resnet: lost runs go on",
            {"prefect.resource.role": "deployment", "prefect.resource.id": deployments},
            seconds,
            ChangeFlowRunState(
                state=StateType.SCHEDULED,
                name=LOST,
                force=False,
                message="The run and the process that started it were lost. It resumes when the deployment is served again.",
            ),
        )
    _register(
        "train-resnet: lost runs have crashed",
        {"prefect.resource.role": "flow", "prefect.resource.name": list(FLOWS)},
        2 * seconds,
        ChangeFlowRunState(
            state=StateType.CRASHED,
            name=None,
            force=False,
            message="The run sent no more heartbeats. Run it again: DVC's cache has the stages that were finished.",
        ),
    )


def _register(name: str, related: dict[str, Any], seconds: float, action: ChangeFlowRunState) -> None:
    automation = Automation(
        name=name,
        trigger=EventTrigger(
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related=related,
            after={"prefect.flow-run.heartbeat"},
            expect={"prefect.flow-run.*"},  # a heartbeat, or any change of state
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=seconds),
        ),
        actions=[action],
    )
    try:
        there: Any = Automation.read(name=name)
        automation.id = there.id
    except ValueError:  # not registered yet
        automation.create()
    else:
        automation.update()


def _deployments() -> list[str]:
    """The resource ids of the deployments of this project's flows."""
    with get_client(sync_client=True) as client:
        found = client.read_deployments(flow_filter=FlowFilter(name=FlowFilterName(any_=list(FLOWS))), limit=_PAGE)
    return [f"prefect.deployment.{deployment.id}" for deployment in found]


def lost_again() -> bool:
    """Whether this run was lost more than once. Such a run may itself be the reason that the machine goes down."""
    if not flow_run.id or (flow_run.run_count or 0) < 3:
        return False
    with get_client(sync_client=True) as client:
        states = client.read_flow_run_states(flow_run.id)
    return sum(state.name == LOST for state in states) > 1


def main(arguments: list[str] | None = None) -> int:
    """Registers the automations for the deployments that the server knows; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m flows.lost_runs", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--lost-after", type=float, default=LOST_AFTER, metavar="SECONDS", help="seconds without a heartbeat")
    given = parser.parse_args(arguments)
    try:
        require_server(get_current_settings().api.url)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    set_up(given.lost_after)
    return 0


if __name__ == "__main__":
    sys.exit(main())
