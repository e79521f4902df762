"""A Prefect plugin that changes Prefect's own commands in this project's folder only.

`pyproject.toml` enables Prefect's plugins for this folder, and the entry point `prefect.plugins` of the installed project
names this module. It changes five things:

- `prefect deployment run train-resnet` finds the deployment by its name alone; Prefect expects `FLOW/DEPLOYMENT`.
- A server that was started with `prefect server start` is found without further settings, also at another port.
- The pages of a server that is started with `--port` or `--host` ask that server, not the one at Prefect's default address.
- `prefect deployment run --watch` prints why a run failed; Prefect prints the name of the state only.
- Commands that need a server fail with one sentence if there is none. Prefect would start a temporary server, which no other
  process uses.

If a version of Prefect lacks the parts that this module changes, Prefect's own behaviour remains.
"""

import argparse
import functools
import sys
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect.plugins import SetupResult, register_hook
from prefect.settings import get_current_settings

from flows.server import local_server, require_server
from resnet.core.errors import UserError

if TYPE_CHECKING:
    from prefect.client.schemas.responses import DeploymentResponse
    from prefect.plugins import HookContext

_COMMANDS = ("deployment", "deploy", "work-pool", "worker", "flow-run")

Read = Callable[..., Awaitable["DeploymentResponse"]]


@register_hook
def setup_environment(*, ctx: "HookContext") -> SetupResult | None:
    """Sets the address of the server; Prefect calls this hook when it is imported."""
    if sys.argv[1:3] == ["server", "start"]:
        return _pages_of_this_server(ctx)
    api = ctx.api_url or local_server()
    if _is_command():
        try:
            require_server(api)
        except UserError as error:
            sys.exit(str(error))
        accept_bare_names()
        tell_reasons()
    return SetupResult(env={"PREFECT_API_URL": api}) if api and not ctx.api_url else None


def _pages_of_this_server(ctx: "HookContext") -> SetupResult | None:
    """Sets the address that the pages of a new server ask, which Prefect takes from the settings, not from the options."""
    settings = get_current_settings().server
    options = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    options.add_argument("--host", default=settings.api.host)
    options.add_argument("--port", default=settings.api.port)
    given, _ = options.parse_known_args(sys.argv[3:])
    if ctx.api_url or "api_url" in settings.ui.model_fields_set:
        return None
    host = "127.0.0.1" if given.host == "0.0.0.0" else f"[{given.host}]" if ":" in given.host else given.host
    return SetupResult(env={"PREFECT_UI_API_URL": f"http://{host}:{given.port}/api"})


def accept_bare_names() -> None:
    """Makes Prefect's client accept a deployment name without a slash, if only one flow has such a deployment."""
    try:
        from prefect.client.orchestration._deployments.client import DeploymentAsyncClient

        read: Any = _by_any_name(DeploymentAsyncClient.read_deployment_by_name)
        DeploymentAsyncClient.read_deployment_by_name = read  # type: ignore[method-assign]
    except (ImportError, AttributeError):
        return


def tell_reasons() -> None:
    """Makes Prefect's watching of a run print the message of its last state, unless the run was completed."""
    try:
        from prefect.cli import flow_runs_watching

        watch: Any = _with_reason(flow_runs_watching.watch_flow_run)
        flow_runs_watching.watch_flow_run = watch
    except (ImportError, AttributeError):
        return


def _with_reason(watch: Callable[..., Awaitable[Any]]) -> Callable[..., Coroutine[Any, Any, Any]]:
    @functools.wraps(watch)
    async def watch_flow_run(*arguments: Any, **options: Any) -> Any:
        run = await watch(*arguments, **options)
        if run.state is not None and not run.state.is_completed() and run.state.message:
            print(run.state.message, file=sys.stderr)
        return run

    return watch_flow_run


def _by_any_name(read: Read) -> Read:
    @functools.wraps(read)
    async def read_deployment_by_name(self: Any, name: str) -> "DeploymentResponse":
        found = None if "/" in name else await _unique(self, name)
        found = found or await read(self, name)
        if "run" in sys.argv and not await _is_served(self, found):
            print(
                f"{name} is not being served: the run waits for `python -m flows.serve` or a worker. One that was started a "
                "moment ago takes it within seconds.",
                file=sys.stderr,
            )
        return found

    return read_deployment_by_name


async def _is_served(client: Any, found: "DeploymentResponse") -> bool:
    # `flows.serve` pauses its deployments when it ends. If it was killed, the server detects that after a minute.
    if getattr(found.status, "value", None) == "READY" and (found.work_pool_name or not found.paused):
        return True
    if not found.work_pool_name:
        return False
    # A worker's pool is ready when it starts, the deployment only after the worker's first search for runs.
    pool = await client.read_work_pool(found.work_pool_name)
    return getattr(pool.status, "value", None) == "READY"


async def _unique(client: Any, name: str) -> "DeploymentResponse | None":
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName

    hits = await client.read_deployments(deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=[name])))
    if not hits:
        sys.exit(f"there is no deployment {name!r} at {client.api_url}; serve it with `python -m flows.serve`.")
    return hits[0] if len(hits) == 1 else None


def _is_command() -> bool:
    wants_help = {"--help", "-h"} & set(sys.argv)
    word = next((word for word in sys.argv[1:] if not word.startswith("-")), None)
    return Path(sys.argv[0]).name == "prefect" and word in _COMMANDS and not wants_help
