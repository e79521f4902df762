"""Serves the deployments from this folder: `python -m flows.serve`. Runs start in processes of their own, oldest first."""

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
    """Ends the runs that were started here, and waits for them to put away what is theirs."""
    running = [int(number) for number in Path(f"/proc/self/task/{os.getpid()}/children").read_text("ascii").split()]
    for number in running:
        os.kill(number, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS + 5
    while running and time.monotonic() < deadline:
        running = [number for number in running if not _has_ended(number)]
        time.sleep(0.1)


def _has_ended(number: int) -> bool:
    try:
        return bool(os.waitid(os.P_PID, number, os.WEXITED | os.WNOHANG | os.WNOWAIT))  # a look: the runner reaps
    except ChildProcessError:
        return True  # it has


def _on_sigterm(*_: object) -> None:
    """Prefect's own handler kills the runs at once, so that nothing of theirs is put away."""
    end_runs()
    os.kill(os.getpid(), signal.SIGINT)


def main(arguments: list[str] | None = None) -> int:
    """Serves until it is told to stop; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m flows.serve", description=__doc__)
    parser.add_argument("--limit", type=int, metavar="N", help="runs at a time; as many as can train at once unless given")
    parser.add_argument(
        "--lost-after", type=float, default=LOST_AFTER, metavar="SECONDS", help="without a sign of life (default: %(default)g)"
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
