"""How a stage is ended from outside."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Protocol

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


AS_A_SHELL = (signal.SIGINT, signal.SIGHUP)  # which a script ignores for `nohup command &`


class Start(Protocol):
    """Starts a process that is in a block and does not look at signals; some are ignored or blocked when it starts."""

    def __call__(
        self, block: str, ignored: Sequence[signal.Signals] = (), blocked: Sequence[signal.Signals] = ()
    ) -> "subprocess.Popen[str]": ...


@pytest.fixture
def started() -> Iterator[Start]:
    processes: list[subprocess.Popen[str]] = []

    def start(
        block: str, ignored: Sequence[signal.Signals] = (), blocked: Sequence[signal.Signals] = ()
    ) -> "subprocess.Popen[str]":
        def inherit() -> None:
            for number in signals.SIGNALS:
                signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

        process = subprocess.Popen(
            [sys.executable, "-c", WAITS.format(block=block)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=inherit,  # noqa: PLW1509 - it takes no lock
        )
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("ignored", [(), AS_A_SHELL])
def test_a_noted_signal_waits_and_a_second_one_ends_the_process_at_once(
    started: Start, ignored: Sequence[signal.Signals]
) -> None:
    process = started("noted()", ignored)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == -signal.SIGINT


@pytest.mark.parametrize(("ignored", "blocked"), [((), ()), (AS_A_SHELL, ()), (signals.SIGNALS, signals.SIGNALS)])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_however_it_was_started_a_signal_ends_the_process(
    started: Start, number: signal.Signals, ignored: Sequence[signal.Signals], blocked: Sequence[signal.Signals]
) -> None:
    process = started("at_once()", ignored, blocked)
    process.send_signal(number)
    assert process.communicate(timeout=30)[1] == f"ended by {number.name}\n"
    assert process.returncode == 128 + number


@pytest.mark.parametrize(
    ("last", "said"), [("lambda error: print(error, flush=True)", "ended by SIGTERM\n"), ("lambda error: 1 / 0", "")]
)
def test_the_last_thing_to_do_is_done_and_cannot_prevent_the_end(started: Start, last: str, said: str) -> None:
    process = started(f"at_once({last})")
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=30) == (said, "ended by SIGTERM\n")
    assert process.returncode == 143


@pytest.mark.parametrize(("ignored", "code"), [((), 129), (AS_A_SHELL, 143)])
def test_nohup_protects_from_sighup_only(started: Start, ignored: Sequence[signal.Signals], code: int) -> None:
    process = started("at_once()", ignored)
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)  # the lower number is handled first where both are pending
    process.communicate(timeout=30)
    assert process.returncode == code


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
    with pytest.raises(EndedError, match="^ended by SIGTERM after the last epoch$") as caught, endable():
        with noted(more=" after the last epoch") as received:
            assert received() is None
            os.kill(os.getpid(), signal.SIGTERM)
            while received() is None:
                time.sleep(0.001)
        raise AssertionError("not reached")
    assert caught.value.code == 143


def test_before_signals_are_noted_the_last_thing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[EndedError] = []

    def leave(code: int) -> None:
        raise SystemExit(code)

    monkeypatch.setattr("os._exit", leave)
    with pytest.raises(SystemExit, match="^143$"), endable(), noted(done.append):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(30)
    assert [str(error) for error in done] == ["ended by SIGTERM"]


def test_what_catches_errors_does_not_catch_the_end() -> None:
    assert not issubclass(EndedError, Exception)
    with endable(), at_once():
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert threading.main_thread().is_alive()
