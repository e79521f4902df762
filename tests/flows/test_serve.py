"""`python -m flows.serve`: what it registers, and what it refuses. `test_deployments.py` ends it by signals."""

import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from prefect.client.schemas.objects import DeploymentSchedule, DeploymentStatus
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ObjectNotFound
from prefect.settings import get_current_settings

from flows import serve
from resnet.core.errors import UserError
from tests.imports import ROOT


class FakeFlow:
    """Makes deployments that are only a name, tags and schedules."""

    def __init__(self, name: str) -> None:
        self.name = name

    def to_deployment(self, name: str, tags: list[str], schedules: list[str], version: str) -> tuple[str, list[str], list[str]]:
        commit, _, place = version.partition(" ")
        assert re.fullmatch("[0-9a-f]{7,40}", commit)
        assert place == f"{socket.gethostname()}:{ROOT}"
        return name, tags, schedules


class FakeRunner:
    """Notes the number of runs at a time and the names of the deployments."""

    def __init__(self, events: list[Any]) -> None:
        self.events = events

    def __call__(self, limit: int, pause_on_shutdown: bool) -> "FakeRunner":
        assert not pause_on_shutdown  # it would wait for minutes for a server that is gone
        self.events.append(limit)
        return self

    def add_deployment(self, deployment: tuple[str, list[str], list[str]]) -> None:
        self.events.append(deployment)

    async def serve(self) -> None:
        self.events.append("serve")


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """What `main` does, in order, without a server."""
    noted: list[Any] = []
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(serve, "require_server", lambda api: None)
    monkeypatch.setattr(serve, "_LOCKS", tmp_path)
    for name, flow in (("train_resnet", "train-resnet"), ("sweep", "sweep"), ("search", "search")):
        monkeypatch.setattr(serve, name, FakeFlow(flow))
    monkeypatch.setattr(serve, "refuse_another_place", lambda names: None)
    monkeypatch.setattr(serve, "kept_schedules", lambda name: ["03:00"] if name == "train-resnet" else [])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(serve, "remove_old_automations", lambda: noted.append("remove automations"))
    monkeypatch.setattr(serve, "settle", lambda *_: noted.append("settle"))
    monkeypatch.setattr(serve, "_watch", lambda api: None)
    monkeypatch.setattr(serve, "PatientRunner", FakeRunner(noted))
    monkeypatch.setenv("TRAIN_RESNET_SLOTS", "3")
    return noted


@pytest.fixture
def pausing(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[UUID]]:
    """Pauses deployments of a server that answers each request by one of the errors, or pauses; returns the requests."""

    def pause(deployments: list[UUID], errors: Iterable[Exception | None]) -> list[UUID]:
        asked: list[UUID] = []
        left = iter(errors)

        def answer(deployment: UUID) -> None:
            asked.append(deployment)
            if (error := next(left, None)) is not None:
                raise error

        client = SimpleNamespace(pause_deployment=answer)
        monkeypatch.setattr(serve, "get_client", lambda **_: nullcontext(client))
        monkeypatch.setattr(serve, "_RETRY_SECONDS", 0.0)
        serve._pause(deployments)
        return asked

    return pause


def test_a_busy_server_is_asked_again_to_pause_the_deployments(pausing: Callable[..., list[UUID]]) -> None:
    first, deleted, last = (uuid4() for _ in range(3))
    request = httpx.Request("POST", "http://localhost")
    locked = httpx.HTTPStatusError("the database is locked", request=request, response=httpx.Response(503, request=request))
    errors = [locked, httpx.ReadTimeout("slow"), None, ObjectNotFound(Exception()), locked]
    assert pausing([first, deleted, last], errors) == [first, first, first, deleted, last, last]


def test_a_server_that_is_gone_or_refuses_is_asked_once_to_pause_the_deployments(pausing: Callable[..., list[UUID]]) -> None:
    first, last = uuid4(), uuid4()
    assert pausing([first, last], [httpx.ConnectError("refused")]) == [first]
    request = httpx.Request("POST", "http://localhost")
    refused = httpx.HTTPStatusError("no password", request=request, response=httpx.Response(401, request=request))
    assert pausing([first, last], [refused]) == [first]


def test_the_process_ends_even_if_the_server_never_answers() -> None:
    program = "import time; from flows import serve; serve._exit_after(0.1); time.sleep(600)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, timeout=300, check=False).returncode == 0


def test_a_server_that_stays_busy_is_not_waited_for_without_end(
    pausing: Callable[..., list[UUID]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "_PAUSE_SECONDS", 0.1)
    assert pausing([uuid4()], repeat(httpx.ReadTimeout("slow")))


def test_as_many_runs_at_a_time_as_there_are_slots(events: list[Any]) -> None:
    assert serve.main([]) == 0
    deployments = [("train-resnet", ["cpu"], ["03:00"]), ("sweep", ["cpu"], []), ("search", ["cpu"], [])]
    assert events == ["remove automations", "settle", 3, *deployments, "serve"]


def test_the_deployments_of_a_machine_with_a_gpu_say_so(events: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    assert serve.main([]) == 0
    assert ("search", ["gpu"], []) in events


def test_the_limit_takes_precedence(events: list[Any]) -> None:
    assert serve.main(["--limit", "1"]) == 0
    assert events[2] == 1


def test_another_folder_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], events: list[Any], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert serve.main([]) == 1
    expected = f"flows are served from the project's folder, but this is {tmp_path}; run `cd {ROOT}` first.\n"
    assert capsys.readouterr().err == expected
    assert events == []


def test_without_a_server_nothing_is_registered(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], events: list[Any]
) -> None:
    def refuse(api: str | None) -> None:
        raise UserError("there is no server.")

    monkeypatch.setattr(serve, "require_server", refuse)
    assert serve.main([]) == 1
    assert capsys.readouterr().err == "there is no server.\n"
    assert events == []


def test_a_folder_is_served_once_on_a_server(events: list[Any], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with serve.alone(tmp_path, get_current_settings().api.url):
        assert serve.main([]) == 1
        assert capsys.readouterr().err.startswith("another `python -m flows.serve` serves the deployments from this folder")
        assert events == []
    for one, other in (
        ("http://127.0.0.1:4200/api", "http://localhost:4200/api/"),
        ("http://[::1]:1/api", "http://localhost:1/api"),
    ):
        with serve.alone(tmp_path, one), pytest.raises(UserError, match="another"), serve.alone(tmp_path, other):
            pass
    with serve.alone(tmp_path, "http://127.0.0.1:9/api"):
        assert serve.main([]) == 0
        assert events[-1] == "serve"


def test_an_invalid_number_of_slots_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], events: list[Any]
) -> None:
    monkeypatch.setenv("TRAIN_RESNET_SLOTS", "0")
    assert serve.main([]) == 1
    assert capsys.readouterr().err.startswith("TRAIN_RESNET_SLOTS must be a whole number of at least 1")
    assert events == []


def test_the_schedules_that_a_person_set_are_registered_again(monkeypatch: pytest.MonkeyPatch) -> None:
    nightly = DeploymentSchedule(
        schedule=CronSchedule(cron="0 3 * * *"), active=False, parameters={"rev": "main"}, slug="night"
    )

    def read(name: str) -> SimpleNamespace:
        if name != "train-resnet/train-resnet":
            raise ObjectNotFound(Exception(name))
        return SimpleNamespace(schedules=[nightly])

    @contextmanager
    def client(sync_client: bool) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(read_deployment_by_name=read)

    monkeypatch.setattr(serve, "get_client", client)
    (kept,) = serve.kept_schedules("train-resnet")
    assert (kept.schedule, kept.active, kept.parameters, kept.slug) == (nightly.schedule, False, {"rev": "main"}, "night")
    assert serve.kept_schedules("search") == []


HERE = f"{socket.gethostname()}:{ROOT}"
SERVED = {"version": "1a2b3c4 shelf:/srv/my other", "status": DeploymentStatus.READY, "paused": False, "work_pool_name": None}


@pytest.mark.parametrize(
    ("other", "refused"),
    [
        ({}, True),
        ({"version": f"1a2b3c4 shelf:{ROOT}"}, True),  # the same path on another machine
        ({"version": f"no-commit {HERE}"}, False),  # a restart
        ({"status": DeploymentStatus.NOT_READY}, False),  # the other was killed more than a minute ago
        ({"paused": True}, False),  # the other has ended
        ({"work_pool_name": "pool"}, False),  # of `prefect deploy`
        ({"version": "5d41402abc4b2a76"}, False),  # of an earlier version of this project, which kept no folder
        ({"version": None}, False),
        (None, False),
    ],
)
def test_deployments_that_another_folder_serves_are_not_taken_over(
    monkeypatch: pytest.MonkeyPatch, other: dict[str, Any] | None, refused: bool
) -> None:
    def read(name: str) -> SimpleNamespace:
        if other is None or name != "sweep/sweep":
            raise ObjectNotFound(Exception(name))
        return SimpleNamespace(**SERVED | other)

    @contextmanager
    def client(sync_client: bool) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(read_deployment_by_name=read)

    monkeypatch.setattr(serve, "get_client", client)
    with pytest.raises(UserError) if refused else nullcontext() as error:
        serve.refuse_another_place(["train-resnet", "sweep"])
    if error:
        place = str((SERVED | (other or {}))["version"]).partition(" ")[2]
        assert str(error.value) == (
            f"sweep is already served from {place}: end `python -m flows.serve` there (if it was "
            "killed, wait a minute), or use another server with `prefect config set PREFECT_API_URL=http://HOST:PORT/api`."
        )


def test_nothing_is_registered_while_another_folder_serves(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], events: list[Any]
) -> None:
    def refuse(names: Iterable[str]) -> None:
        assert list(names) == ["train-resnet", "sweep", "search"]
        raise UserError("it is served.")

    monkeypatch.setattr(serve, "refuse_another_place", refuse)
    assert serve.main([]) == 1
    assert capsys.readouterr().err == "it is served.\n"
    assert events == []
