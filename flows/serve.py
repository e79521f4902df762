"""Serves the deployments from this folder: `python -m flows.serve`. Each run is a separate process; oldest first.

SIGTERM, SIGHUP or Ctrl-C ends it: it takes no further run, gives its runs time to save their work, and leaves no process. It
does not end with the process that started it, so `nohup python -m flows.serve &` outlives its shell. While the server is gone
it waits, says so, and lets its runs train.
"""

import argparse
import asyncio
import contextlib
import hashlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.exceptions import ObjectNotFound
from prefect.runner import Runner
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, get_current_settings, temporary_settings

from flows.dvc_program import GRACE_SECONDS
from flows.ending import end_children
from flows.locks import find_gpus, held, slot_count
from flows.lost_runs import remove_old_automations, settle
from flows.search import search
from flows.server import require_server
from flows.sweep import sweep
from flows.train_resnet import train_resnet
from flows.workspace import PROJECT
from resnet.core.errors import UserError
from tasks.stage.git import git_or_none

_WATCH_SECONDS = 60.0
_CLOSE_SECONDS = 10.0  # for Prefect to close its connections, which it may try for minutes while the server is gone
_PAUSE_SECONDS = 20.0  # for a server that is there but busy
_REQUEST_SECONDS = 5.0
_RETRY_SECONDS = 0.5
_BUSY = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)  # besides 500 and above
# Kept in the version of each deployment, after the commit.
_PLACE = f"{socket.gethostname()}:{PROJECT}"
_LOCKS = PROJECT / ".dvc" / "tmp" / "flows" / "locks"


class PatientRunner(Runner):
    """Prefect's runner, which ends on a signal however it was started, and outlives an absence of the server.

    Prefect's own handler of SIGTERM kills the runs at once, so that they cannot save their work, and its loop gives up when the
    server does not answer. Its parts have no public names: where a version of Prefect lacks one, Prefect's behaviour remains.
    """

    async def __aenter__(self) -> "PatientRunner":
        await super().__aenter__()
        with contextlib.suppress(AttributeError):
            poller: Any = self._scheduled_run_poller
            poll, propose, resolve = (
                poller._get_and_submit_flow_runs,
                poller._state_proposer.propose_pending,
                poller._resolve_starter,
            )

            async def poll_patiently(*arguments: Any) -> None:
                with contextlib.suppress(httpx.TransportError, httpx.HTTPStatusError):  # `_watch` reports it
                    await poll(*arguments)

            async def propose_unless_ending(run: Any) -> bool:
                return not self.stopping and await propose(run)

            def resolve_isolated(run: Any) -> Any:
                starter = resolve(run)
                # Ctrl-C in a terminal signals the whole group. Here it reaches the runs as one SIGTERM from `end_children`.
                starter._isolate_process_group = True
                return starter

            poller._get_and_submit_flow_runs = poll_patiently
            poller._state_proposer.propose_pending = propose_unless_ending
            poller._resolve_starter = resolve_isolated
        return self

    async def serve(self) -> None:
        """Serves until a signal."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def close() -> None:
            end_children(GRACE_SECONDS + 5)
            _exit_after(_PAUSE_SECONDS + _CLOSE_SECONDS)  # Prefect's client waits for as long as an answer asks it to
            with contextlib.suppress(Exception):  # the deployments count as served for another minute
                _pause(self._deployment_registry.get_deployment_ids())
            _exit_after(_CLOSE_SECONDS)
            loop.call_soon_threadsafe(task.cancel)

        def on_signal(*_: object) -> None:
            if self.stopping:
                return
            self.stopping = True
            with contextlib.suppress(AttributeError):
                self._scheduled_run_poller.stopping = True
            # A thread, so that the runner sees its runs end. SIGINT would not do: it is ignored after `&` in a script.
            threading.Thread(target=close, daemon=True).start()

        self.handle_sigterm = on_signal  # type: ignore[method-assign] # `start` installs it
        for number in (signal.SIGINT, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, on_signal)
        try:
            await self.start()
        except asyncio.CancelledError:
            if not self.stopping:
                raise


def _pause(deployments: Iterable[UUID]) -> None:
    """Pauses deployments, so that `prefect deployment run` can say that nobody serves them.

    A server that refuses the connection is gone, and notices after a minute that nobody serves. A busy one is asked again.
    """
    waiting = list(deployments)
    with (
        temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}),
        get_client(sync_client=True, httpx_settings={"timeout": _REQUEST_SECONDS}) as client,
    ):
        deadline = time.monotonic() + _PAUSE_SECONDS
        while waiting and time.monotonic() < deadline:
            try:
                client.pause_deployment(waiting[0])
                del waiting[0]
            except ObjectNotFound:  # somebody deleted it
                del waiting[0]
            except httpx.ConnectError:
                return
            except httpx.HTTPStatusError as error:
                if error.response.status_code not in _BUSY and not error.response.is_server_error:
                    return  # such as a refused password
                time.sleep(_RETRY_SECONDS)
            except httpx.TransportError:
                time.sleep(_RETRY_SECONDS)


def kept_schedules(name: str) -> list[DeploymentScheduleCreate]:
    """The schedules that a person gave a deployment: to register it again without them would remove them.

    Args:
        name: of the deployment and its flow.
    """
    kept = ("schedule", "active", "max_scheduled_runs", "parameters", "slug")
    with get_client(sync_client=True) as client:
        try:
            found = client.read_deployment_by_name(f"{name}/{name}")
        except ObjectNotFound:
            return []
    return [DeploymentScheduleCreate(**{field: getattr(one, field) for field in kept}) for one in found.schedules]


def refuse_another_place(names: Iterable[str]) -> None:
    """Checks that the deployments are not served from another folder: either folder would take runs meant for the other.

    Args:
        names: of the deployments and their flows.

    Raises:
        UserError: another folder serves one of them.
    """
    with get_client(sync_client=True) as client:
        for name in names:
            try:
                found = client.read_deployment_by_name(f"{name}/{name}")
            except ObjectNotFound:
                continue
            served = getattr(found.status, "value", None) == "READY" and not found.paused and not found.work_pool_name
            _, _, place = (found.version or "").partition(" ")
            if served and ":/" in place and place != _PLACE:
                raise UserError(
                    f"{name} is already served from {place}: end `python -m flows.serve` there (if it was killed, wait a "
                    "minute), or use another server with `prefect config set PREFECT_API_URL=http://HOST:PORT/api`."
                )


@contextlib.contextmanager
def alone(folder: Path, api: str | None) -> Iterator[None]:
    """Holds the lock of the process that serves a folder's deployments on a server.

    Two such processes would share the deployments, and the first one that ends would pause them for both.

    Args:
        folder: for the lock.
        api: the address of the server.

    Raises:
        UserError: another process holds it.
    """

    def refuse() -> None:
        raise UserError(
            "another `python -m flows.serve` serves the deployments from this folder: let it serve, or stop it and wait until "
            "it has ended."
        )

    with held(folder / f"serve-{hashlib.sha256(_same_server(api).encode()).hexdigest()[:12]}.lock", refuse):
        yield


def _same_server(api: str | None) -> str:
    """An address of a server that is the same for the names of this machine, and with or without a slash at the end."""
    place = urlsplit((api or "").rstrip("/"))
    host = "localhost" if place.hostname in ("127.0.0.1", "::1") else place.hostname
    return f"{host}:{place.port}{place.path}"


def _exit_after(seconds: float) -> None:
    """Ends this process if it still lives then."""

    def end() -> None:
        time.sleep(seconds)
        os._exit(0)

    threading.Thread(target=end, daemon=True).start()


def _watch(api: str | None) -> None:
    """Settles lost runs every minute, and says when the server goes and comes back."""
    gone = False
    while True:
        time.sleep(_WATCH_SECONDS)
        try:
            require_server(api)
        except UserError as error:
            if not gone:
                print(f"{error} Until it is back no run starts; those that train go on.", file=sys.stderr, flush=True)
            gone = True
            continue
        if gone:
            print("The Prefect server answers again.", file=sys.stderr, flush=True)
        gone = False
        with contextlib.suppress(Exception):  # the server went in this moment; the next round does it
            settle(PROJECT, print)


def main(arguments: list[str] | None = None) -> int:
    """Serves until a signal; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m flows.serve", description=__doc__)
    parser.add_argument(
        "--limit", type=int, metavar="N", help="number of runs at a time (default: the number of training slots)"
    )
    given = parser.parse_args(arguments)
    api = get_current_settings().api.url
    flows = (train_resnet, sweep, search)
    try:
        if Path.cwd() != PROJECT:  # the runs would look for the code of the flows in the current folder
            raise UserError(f"flows are served from the project's folder, but this is {Path.cwd()}; run `cd {PROJECT}` first.")
        require_server(api)
        limit = given.limit or slot_count()
        with alone(_LOCKS, api):
            refuse_another_place(flow.name for flow in flows)
            _serve(flows, limit, api)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _serve(flows: Iterable[Any], limit: int, api: str | None) -> None:
    """Registers the deployments and serves them until a signal."""
    remove_old_automations()
    settle(PROJECT, print)
    runner = PatientRunner(limit=limit, pause_on_shutdown=False)
    machine = "gpu" if find_gpus() else "cpu"
    commit = git_or_none(PROJECT, "rev-parse", "--short", "HEAD") or "no-commit"
    for flow in flows:
        version = f"{commit} {_PLACE}"
        deployment = flow.to_deployment(flow.name, tags=[machine], schedules=kept_schedules(flow.name), version=version)
        runner.add_deployment(deployment)  # to_deployment is also a coroutine, elsewhere
    served = f"The deployments train-resnet, sweep and search are served from {PROJECT}, {limit} at a time"
    print(f"{served}; Ctrl-C ends this.", flush=True)
    threading.Thread(target=_watch, args=(api,), daemon=True).start()
    asyncio.run(runner.serve())


if __name__ == "__main__":
    sys.exit(main())
