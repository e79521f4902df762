"""`python -m flows.serve`: what it registers, what it refuses, and how it ends its runs."""

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from prefect.runner import Runner

from flows import serve
from resnet.core.errors import UserError
from tests.imports import ROOT

# A run that cleans up when it gets SIGTERM; `_on_sigterm` must wait for that and leave the exit code to be read.
ENDS_A_RUN = """
import subprocess, sys
from flows.serve import _on_sigterm
RUN = '''
import signal, sys, time
def stop(*_):
    time.sleep(0.5)
    print("cleaned up", flush=True)
    sys.exit(3)
signal.signal(signal.SIGTERM, stop)
print("ready", flush=True)
signal.pause()
'''
run = subprocess.Popen([sys.executable, "-c", RUN], stdout=subprocess.PIPE, text=True)
run.stdout.readline()
try:
    _on_sigterm()
except KeyboardInterrupt:
    code = run.poll()
    run.kill()  # if it was not waited for
    print(code, run.stdout.read().strip())
"""


class FakeFlow:
    """Notes the names of its deployments."""

    def __init__(self, events: list[Any]) -> None:
        self.events = events

    def to_deployment(self, name: str) -> Any:
        return SimpleNamespace(apply=lambda: self.events.append(f"apply {name}"))


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What `main` does, in order, without a server."""
    noted: list[Any] = []
    monkeypatch.setattr(serve, "require_server", lambda api: None)
    monkeypatch.setattr(serve, "train_resnet", FakeFlow(noted))
    monkeypatch.setattr(serve, "sweep", FakeFlow(noted))
    monkeypatch.setattr(serve, "set_up", lambda seconds: noted.append(f"automations after {seconds:g} s"))
    monkeypatch.setattr(serve, "serve", lambda *deployments, limit: noted.append((len(deployments), limit)))
    monkeypatch.setattr(Runner, "handle_sigterm", Runner.handle_sigterm)  # `main` replaces it
    monkeypatch.setenv("TRAIN_RESNET_SLOTS", "3")
    return noted


def test_as_many_runs_at_a_time_as_there_are_slots(events: list[Any]) -> None:
    assert serve.main([]) == 0
    # The automations need the deployments, so those are registered first.
    assert events == ["apply train-resnet", "apply sweep", "automations after 300 s", (2, 3)]
    assert Runner.handle_sigterm is serve._on_sigterm


def test_the_options_take_precedence(events: list[Any]) -> None:
    assert serve.main(["--limit", "1", "--lost-after", "60"]) == 0
    assert events[2:] == ["automations after 60 s", (2, 1)]


def test_without_a_server_nothing_is_registered(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], events: list[Any]
) -> None:
    def refuse(api: str | None) -> None:
        raise UserError("there is no server.")

    monkeypatch.setattr(serve, "require_server", refuse)
    assert serve.main([]) == 1
    assert capsys.readouterr().err == "there is no server.\n"
    assert events == []


def test_an_invalid_number_of_slots_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], events: list[Any]
) -> None:
    monkeypatch.setenv("TRAIN_RESNET_SLOTS", "0")
    assert serve.main([]) == 1
    assert capsys.readouterr().err.startswith("TRAIN_RESNET_SLOTS must be a whole number of at least 1")
    assert events == []


def test_sigterm_lets_the_runs_clean_up_before_the_server_process_stops() -> None:
    # In a process of its own: all child processes are ended, also a server that other tests use.
    result = subprocess.run([sys.executable, "-c", ENDS_A_RUN], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.stdout == "3 cleaned up\n", result.stderr
