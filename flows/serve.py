"""Serves the deployments from this folder: `python -m flows.serve`. Each run is a separate process; oldest first."""

import argparse
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from prefect import serve
from prefect.runner import Runner
from prefect.settings import get_current_settings

from flows.dvc_program import GRACE_SECONDS
from flows.locks import slot_count
from flows.lost_runs import LOST_AFTER, set_up
from flows.server import require_server
from flows.sweep import sweep
from flows.train_resnet import train_resnet
from resnet.core.errors import UserError


def end_runs() -> None:
    """Sends SIGTERM to the runs that this process started, and waits until they have cleaned up."""
    running = [int(number) for number in Path(f"/proc/self/task/{os.getpid()}/children").read_text("ascii").split()]
    for number in running:
        os.kill(number, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS + 5
    while running and time.monotonic() < deadline:
        running = [number for number in running if not _has_ended(number)]
        time.sleep(0.1)


def _has_ended(number: int) -> bool:
    try:
        return bool(os.waitid(os.P_PID, number, os.WEXITED | os.WNOHANG | os.WNOWAIT))  # leaves the reaping to Prefect's runner
    except ChildProcessError:
        return True  # the runner has reaped it


def _on_sigterm(*_: object) -> None:
    """Replaces Prefect's handler, which kills the runs at once, so that they could not clean up."""
    end_runs()
    os.kill(os.getpid(), signal.SIGINT)


def main(arguments: list[str] | None = None) -> int:
    """Serves until SIGTERM or Ctrl-C; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m flows.serve", description=__doc__)
    parser.add_argument(
        "--limit", type=int, metavar="N", help="number of runs at a time (default: the number of training slots)"
    )
    parser.add_argument(
        "--lost-after",
        type=float,
        default=LOST_AFTER,
        metavar="SECONDS",
        help="seconds without a heartbeat after which a run is lost (default: %(default)g)",
    )
    given = parser.parse_args(arguments)
    try:
        require_server(get_current_settings().api.url)
        limit = given.limit or slot_count()
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    Runner.handle_sigterm = _on_sigterm  # type: ignore[assignment, method-assign]
    deployments: list[Any] = [train_resnet.to_deployment("train-resnet"), sweep.to_deployment("sweep")]
    for deployment in deployments:
        deployment.apply()
    set_up(given.lost_after)
    serve(*deployments, limit=limit)
    return 0


if __name__ == "__main__":
    sys.exit(main())
