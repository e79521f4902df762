"""What becomes of a run that is lost, killed together with what started it: `python -m flows.lost_runs` sets it up.

A run that dies alone is seen by `flows.serve` or by its worker. If both die, by a power cut say, nobody is left to tell the
server, and the run stays `Running`. But a run sends a heartbeat every 30 s, so an automation on the server can notice. A run
of a deployment is then scheduled again, once, and goes on as soon as somebody serves it: finished stages are cached, and
training resumes from its checkpoint. Any other run, of a shell, is marked `Crashed`. `flows.serve` sets that up by itself.
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
LOST_AFTER = 300.0  # seconds without a heartbeat; a server that is away for less does no harm
FLOWS = ("train-resnet", "sweep", "search")
_PAGE = 200


def set_up(seconds: float = LOST_AFTER) -> None:
    """Registers the automations with the server, in the place of older ones.

    Args:
        seconds: without a heartbeat after which a run of a deployment is lost; of another run, twice as many.
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
                message="It was lost together with what had started it, and goes on as soon as it is served.",
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
            message="There was no sign of life any more; run it again: what was finished is in DVC's cache.",
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
    except ValueError:  # it is new
        automation.create()
    else:
        automation.update()


def _deployments() -> list[str]:
    """The resources that stand for the deployments of our flows."""
    with get_client(sync_client=True) as client:
        found = client.read_deployments(flow_filter=FlowFilter(name=FlowFilterName(any_=list(FLOWS))), limit=_PAGE)
    return [f"prefect.deployment.{deployment.id}" for deployment in found]


def lost_again() -> bool:
    """Whether this run was lost and scheduled anew more than once: it may be what brings the machine down."""
    if not flow_run.id or (flow_run.run_count or 0) < 3:
        return False
    with get_client(sync_client=True) as client:
        states = client.read_flow_run_states(flow_run.id)
    return sum(state.name == LOST for state in states) > 1


def main(arguments: list[str] | None = None) -> int:
    """Sets it up for the deployments that the server knows; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m flows.lost_runs", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--lost-after", type=float, default=LOST_AFTER, metavar="SECONDS", help="without a sign of life")
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
