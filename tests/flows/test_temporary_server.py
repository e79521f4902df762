"""The temporary server: the run that has lost it, and the servers that lost their run."""

import os
import threading
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from flows import temporary_server
from flows.run_records import process_mark
from flows.temporary_server import OWNER, Watch, end_orphans


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The child processes 7 and 8; 8 is the server. The set has those that have ended."""
    ended: set[int] = set()
    monkeypatch.setattr(temporary_server, "children", lambda: {7, 8})
    monkeypatch.setattr(temporary_server, "_is_server", lambda number: number in (8, 9))
    monkeypatch.setattr(temporary_server, "has_ended", lambda number: number in ended)
    for name in ("signalled", "server_lost"):
        monkeypatch.setattr(temporary_server, name, threading.Event())
    return ended


def event(name: str) -> threading.Event:
    found: threading.Event = getattr(temporary_server, name)
    return found


def follow(monkeypatch: pytest.MonkeyPatch, watch: Watch) -> list[tuple[int, int]]:
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda *given: killed.append(given))
    watch.follow(0.001)
    return killed


def test_a_run_that_lost_its_server_ends_with_a_sentence(
    ends: set[int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    watch = Watch(threading.Event())
    assert not watch.lost()
    ends |= {7, 8}
    assert follow(monkeypatch, watch) == [(os.getpid(), 15)]
    assert event("server_lost").is_set()
    assert capsys.readouterr().err.startswith("the Prefect server has ended: type the same command again")


def test_a_server_that_ends_with_its_run_is_not_lost(ends: set[int], monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch(threading.Event())
    assert not watch.lost()
    ends |= {7, 8}
    event("signalled").set()  # Ctrl-C reaches the whole group
    assert follow(monkeypatch, watch) == []
    left = threading.Event()
    left.set()
    assert follow(monkeypatch, Watch(left)) == []


def test_a_second_server_takes_the_place_of_one_that_found_its_port_taken(
    ends: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Watch(threading.Event())
    watch.lost()
    ends.add(8)
    assert watch.lost()
    monkeypatch.setattr(temporary_server, "children", lambda: {7, 9})
    assert not watch.lost()


def test_only_servers_of_killed_runs_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    terminated: list[str] = []

    def process(name: str, owner: str | None, **other: Any) -> Any:
        environment = {"PREFECT__SERVER_EPHEMERAL": "1"} | ({} if owner is None else {OWNER: owner})
        facts = {
            "user": os.getuid(),
            "command": ["uvicorn", "prefect.server.api.server:create_app"],
            "env": environment,
        } | other
        return SimpleNamespace(
            uids=lambda: SimpleNamespace(real=facts["user"]),
            cmdline=lambda: facts["command"],
            environ=lambda: facts["env"],
            terminate=lambda: terminated.append(name),
        )

    mine, dead = process_mark(os.getpid()), "1 0 another-boot"
    found = [
        process("of a killed run", dead),
        process("of a run that goes on", mine),
        process("of another program", None),
        process("of another user", dead, user=os.getuid() + 1),
        process("no server", dead, command=["python", "-m", "tasks.train"]),
        process("started to stay", dead, env={OWNER: dead}),
    ]
    monkeypatch.setattr(psutil, "process_iter", lambda: iter(found))
    monkeypatch.setenv(OWNER, "")
    end_orphans()
    assert terminated == ["of a killed run"]
    assert os.environ[OWNER] == mine
