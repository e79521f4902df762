"""How a stage is ended from outside."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from tasks.stage import signals
from tasks.stage.signals import EndedError, at_once, endable, noted
from tests.imports import ROOT

WAITS = """
import time
from tasks.stage.signals import at_once, endable, noted
with endable(), {block} as received:
    if received:
        received()
    print("ready", flush=True)
    end = time.monotonic() + 30
    while time.monotonic() < end:
        time.sleep(0.01)
"""


def started(block: str, **environment: str) -> "subprocess.Popen[str]":
    """A process that is in a block and does not look at signals."""
    process = subprocess.Popen(
        [sys.executable, "-c", WAITS.format(block=block)],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_a_noted_signal_waits_and_a_second_one_ends_the_process_at_once() -> None:
    process = started("noted()")
    process.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=1) == -signal.SIGINT
    process.communicate()


def test_where_python_must_not_be_interrupted_a_signal_ends_the_process() -> None:
    process = started("at_once()")
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=1)[1] == "ended by SIGTERM\n"
    assert process.returncode == 143


def test_a_signal_that_was_ignored_from_the_start_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        process = started("at_once()")
    finally:
        signal.signal(signal.SIGHUP, before)
    process.send_signal(signal.SIGHUP)
    time.sleep(0.1)
    assert process.poll() is None
    process.kill()
    process.communicate()


def test_the_death_of_the_parent_is_a_sigterm_where_dvc_is_the_parent() -> None:
    program = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', {WAITS.format(block='at_once()')!r}], stdout=subprocess.PIPE)\n"
        "child.stdout.readline(); print(child.pid, flush=True); time.sleep(30)"
    )
    for dvc in ({"DVC_ROOT": "."}, {}):
        environment = {name: value for name, value in os.environ.items() if name != "DVC_ROOT"}
        parent = subprocess.Popen(
            [sys.executable, "-c", program], cwd=ROOT, env=environment | dvc, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
        parent.communicate()
        if dvc:
            deadline = time.monotonic() + 30
            while is_alive(child) and time.monotonic() < deadline:
                time.sleep(0.05)
            assert not is_alive(child)
        else:
            time.sleep(1.5)  # three polls, if it polled
            assert is_alive(child)
            os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize(("received", "sent"), [(None, [signal.SIGTERM]), (signal.SIGINT, [])])
def test_the_death_of_the_parent_is_no_second_signal(
    received: signal.Signals | None, sent: list[signal.Signals], monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[int] = []
    monkeypatch.setattr(signals, "_received", received)
    monkeypatch.setattr(signals, "_POLL_SECONDS", 0.001)
    monkeypatch.setattr("os.kill", lambda _, number: found.append(number))
    signals._watch_parent(os.getppid() + 1, threading.Event())
    assert found == sent


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{process}/stat") as file:  # noqa: PTH123
        return file.read().rpartition(")")[2].split()[0] != "Z"


def test_a_signal_that_was_noted_too_late_is_not_lost() -> None:
    with pytest.raises(EndedError, match="^ended by SIGTERM$") as caught, endable():
        with noted() as received:
            assert received() is None
            os.kill(os.getpid(), signal.SIGTERM)
            while received() is None:
                time.sleep(0.001)
        raise AssertionError("not reached")
    assert caught.value.code == 143


def test_what_catches_errors_does_not_catch_the_end() -> None:
    assert not issubclass(EndedError, Exception)
    with endable(), at_once():
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert threading.main_thread().is_alive()
