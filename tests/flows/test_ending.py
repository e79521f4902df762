"""How a program that runs a flow ends on a signal, with its child processes; the waits of its other threads."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from prefect.settings import get_current_settings

from flows.ending import be_brief
from tests.flows.quick import wait_for
from tests.forks import like_from_a_shell
from tests.imports import ROOT

# A program in the block of `in_time`, with a child process that ignores SIGTERM.
PROGRAM = """
import subprocess, sys, threading, time
from flows.ending import in_time
child = subprocess.Popen([sys.executable, "-c", '''
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(flush=True)
signal.pause()
'''], stdout=subprocess.PIPE)
child.stdout.readline()
with in_time({seconds}):
    try:
        print(child.pid, flush=True)
        time.sleep(600)
    except BaseException as error:
        print(type(error).__name__, flush=True)
        {then}
"""


def end(number: signal.Signals, then: str, seconds: float) -> tuple[int, str, str]:
    """Signals the program; returns its exit code, what it printed after the signal, and its errors."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(seconds=seconds, then=then)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=like_from_a_shell,  # noqa: PLW1509 - no other thread holds a lock
    )
    assert process.stdout is not None
    child = int(process.stdout.readline())
    process.send_signal(number)
    try:
        out, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    wait_for(lambda: not Path(f"/proc/{child}").exists())
    return process.returncode, out, errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_program_that_waits_for_ever_after_a_signal_is_killed_with_its_children(number: signal.Signals) -> None:
    code, out, errors = end(number, "time.sleep(600)", 1)
    assert code == 128 + number
    assert out == ("KeyboardInterrupt\n" if number == signal.SIGINT else "SystemExit\n")
    assert errors == f"the run did not end within 1 s after {number.name}; it is killed.\n"


def test_the_exit_handlers_have_a_limit_too() -> None:
    # A thread that is no daemon is waited for, as are those with which Prefect sends its last events.
    code, _, errors = end(signal.SIGTERM, "threading.Thread(target=time.sleep, args=(600,)).start(); raise", 600)
    assert (code, errors) == (128 + signal.SIGTERM, "")


def test_without_a_signal_nothing_changes() -> None:
    program = (
        "import signal; from flows.ending import in_time\n"
        "before = [signal.getsignal(one) for one in (15, 1)]\n"
        "with in_time(0): pass\n"
        "assert [signal.getsignal(one) for one in (15, 1)] == before\n"
        "import time; time.sleep(1); print('goes on')"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout == "goes on\n"


def test_a_process_that_stays_keeps_its_retries() -> None:
    before = get_current_settings().client.max_retries
    be_brief()  # after Ctrl-C in a notebook, for example
    assert get_current_settings().client.max_retries == before


def test_children_are_ended_whatever_thread_started_them() -> None:
    program = (
        "import subprocess, sys, threading; from flows.ending import children, end_children\n"
        "def start(): subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); done.wait()\n"
        "done = threading.Event(); thread = threading.Thread(target=start, daemon=True); thread.start()\n"
        "while not children(): pass\n"
        "(child,) = children(); end_children(60)\n"
        "print(open(f'/proc/{child}/stat').read().split()[2] if child in children() else 'Z')"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    assert result.stdout == "Z\n"  # ended; its parent's code may have reaped it
