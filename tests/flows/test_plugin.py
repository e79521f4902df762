"""What the plugin changes in Prefect, and when it changes nothing."""

import asyncio
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from prefect.settings import PREFECT_UI_API_URL, temporary_settings
from prefect.states import Completed, Failed

from flows import plugin
from resnet.core.errors import UserError
from tests.imports import ROOT

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State


class Client:
    """Stands in for Prefect's client; has some deployments."""

    api_url = "http://127.0.0.1:4200/api"

    def __init__(self, *found: str, status: str = "READY") -> None:
        self.found = [made(name, status) for name in found]
        self.pool = "READY"
        self.asked: list[str] = []

    async def read_deployments(self, deployment_filter: Any) -> list[Any]:
        assert deployment_filter.name.any_ == ["train-resnet"]
        return self.found

    async def read(self, name: str) -> Any:
        self.asked.append(name)
        return made(f"by {name}", "READY")

    async def read_work_pool(self, name: str) -> Any:
        assert name == "train-resnet-cpu"
        return SimpleNamespace(status=SimpleNamespace(value=self.pool))


def made(name: str, status: str, paused: bool = False, pool: str | None = None) -> SimpleNamespace:
    return SimpleNamespace(name=name, paused=paused, status=SimpleNamespace(value=status), work_pool_name=pool)


def look_up(client: Client, name: str) -> str:
    read = plugin._by_any_name(Client.read)
    found: str = asyncio.run(read(client, name)).name  # type: ignore[arg-type]
    return found


def test_a_unique_name_is_found_without_the_flow() -> None:
    client = Client("train-resnet")
    assert look_up(client, "train-resnet") == "train-resnet"
    assert client.asked == []


@pytest.mark.parametrize("name", ["train-resnet/train-resnet", "train-resnet"])
def test_a_name_with_a_slash_or_of_two_deployments_is_left_to_prefect(name: str) -> None:
    client = Client("train-resnet", "train-resnet")
    assert look_up(client, name) == f"by {name}"


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(SystemExit, match="^there is no deployment 'train-resnet' at http://127.0.0.1:4200/api; serve it with"):
        look_up(Client(), "train-resnet")


@pytest.mark.parametrize(
    ("deployment", "pool", "served"),
    [
        (made("train-resnet", "READY"), "", True),
        (made("train-resnet", "NOT_READY"), "", False),
        (made("train-resnet", "READY", paused=True), "", False),  # `flows.serve` ended a moment ago
        # Of a worker: whether `flows.serve` paused it before does not matter.
        (made("train-resnet", "READY", paused=True, pool="train-resnet-cpu"), "NOT_READY", True),
        (made("train-resnet", "NOT_READY", pool="train-resnet-cpu"), "READY", True),  # it has just been started
        (made("train-resnet", "NOT_READY", pool="train-resnet-cpu"), "NOT_READY", False),
    ],
)
def test_a_deployment_that_is_not_served_is_reported(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    deployment: SimpleNamespace,
    pool: str,
    served: bool,
) -> None:
    monkeypatch.setattr(sys, "argv", ["prefect", "deployment", "run", "train-resnet"])
    client = Client()
    client.found, client.pool = [deployment], pool
    look_up(client, "train-resnet")
    shown = capsys.readouterr().err
    assert shown == "" if served else shown.startswith("train-resnet is not being served: the run waits for ")


@pytest.mark.parametrize(("state", "shown"), [(Failed(message="a sentence."), "a sentence.\n"), (Completed(message="x"), "")])
def test_the_reason_is_printed_when_a_watched_run_has_failed(
    capsys: pytest.CaptureFixture[str], state: "State[Any]", shown: str
) -> None:
    async def watch(run: str) -> Any:
        assert run == "id"
        return SimpleNamespace(state=state)

    assert asyncio.run(plugin._with_reason(watch)("id")).state is state
    assert capsys.readouterr().err == shown


def test_prefects_command_uses_what_prints_the_reason() -> None:
    program = (
        "import flows.plugin; flows.plugin.tell_reasons(); import prefect.cli.deployment; "
        "print(prefect.cli.deployment.watch_flow_run.__wrapped__)"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.startswith("<function watch_flow_run at ")


def test_a_prefect_without_the_changed_parts_keeps_its_own_behaviour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prefect.client.orchestration._deployments.client", None)
    plugin.accept_bare_names()
    monkeypatch.setitem(
        sys.modules, "prefect.client.orchestration._deployments.client", SimpleNamespace(DeploymentAsyncClient=object())
    )
    plugin.accept_bare_names()


def test_a_command_without_a_server_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(api: str | None) -> None:
        assert api is None
        raise UserError("there is no server.")

    monkeypatch.setattr(sys, "argv", ["/somewhere/prefect", "deployment", "run", "train-resnet"])
    monkeypatch.setattr(plugin, "local_server", lambda: None)
    monkeypatch.setattr(plugin, "require_server", refuse)
    with pytest.raises(SystemExit, match="^there is no server.$"):
        plugin.setup_environment(ctx=SimpleNamespace(api_url=None))  # type: ignore[arg-type]
    monkeypatch.setattr(sys, "argv", ["/somewhere/prefect", "version"])
    assert plugin.setup_environment(ctx=SimpleNamespace(api_url=None)) is None  # type: ignore[arg-type]


def test_a_server_on_this_machine_is_used_unless_another_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin, "local_server", lambda: "http://127.0.0.1:4200/api")
    result = plugin.setup_environment(ctx=SimpleNamespace(api_url=None))  # type: ignore[arg-type]
    assert result is not None
    assert result.env == {"PREFECT_API_URL": "http://127.0.0.1:4200/api"}
    assert plugin.setup_environment(ctx=SimpleNamespace(api_url="http://other/api")) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], "http://127.0.0.1:4200/api"),
        (["--port", "4411"], "http://127.0.0.1:4411/api"),
        (["--background", "--port=4411", "--host", "0.0.0.0", "--no-services"], "http://127.0.0.1:4411/api"),
        (["--host", "::1"], "http://[::1]:4200/api"),
    ],
)
def test_the_pages_of_a_new_server_ask_that_server(options: list[str], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin, "local_server", lambda: "http://127.0.0.1:4200/api")  # another one that runs already
    monkeypatch.setattr(sys, "argv", ["/somewhere/prefect", "server", "start", *options])
    with temporary_settings(restore_defaults=[PREFECT_UI_API_URL]):
        result = plugin.setup_environment(ctx=SimpleNamespace(api_url=None))  # type: ignore[arg-type]
        assert result is not None
        assert result.env == {"PREFECT_UI_API_URL": expected}
        assert plugin.setup_environment(ctx=SimpleNamespace(api_url="http://proxy/api")) is None  # type: ignore[arg-type]
    with temporary_settings({PREFECT_UI_API_URL: "http://proxy/api"}):
        assert plugin.setup_environment(ctx=SimpleNamespace(api_url=None)) is None  # type: ignore[arg-type]


def test_the_entry_point_is_installed() -> None:
    found = entry_points(group="prefect.plugins")
    assert [entry.value for entry in found if entry.name == "train-resnet"] == ["flows.plugin"], "run `make setup`"


def test_outside_the_project_prefect_is_unchanged(tmp_path: Path) -> None:
    program = "import sys, prefect; print('flows.plugin' in sys.modules)"
    places = {str(ROOT): "True", str(tmp_path): "False"}
    for place, expected in places.items():
        result = subprocess.run([sys.executable, "-c", program], cwd=place, capture_output=True, text=True, check=True)
        assert result.stdout.strip() == expected
