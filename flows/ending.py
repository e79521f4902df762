"""How a run that was started from a shell ends on a signal: within a time limit, and with all processes that it started.

Ctrl-C and `timeout` signal the whole process group, and so also the temporary server that Prefect starts if none is configured.
The run would then report its end to a server that is gone, and Prefect's client repeats a request for eight minutes.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from flows.dvc_program import GRACE_SECONDS

LIMIT = GRACE_SECONDS + 10.0
_EXIT_SECONDS = 3.0  # for Prefect's exit handlers, which try to send the last events and log lines
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

ending = threading.Event()
signalled = threading.Event()  # this process received a signal to end
server_lost = threading.Event()  # the signal was its own: see `flows/temporary_server.py`
_limited = threading.Event()
_settings = contextlib.ExitStack()  # never closed: the settings hold until the process ends


class RunEndedError(Exception):
    """The run is being stopped by a signal."""


@contextmanager
def in_time(seconds: float = LIMIT) -> Iterator[None]:
    """Ends this process at the latest some seconds after a signal. For the main thread of a program that runs one flow.

    SIGTERM and SIGHUP end the block as `SystemExit`, so that Prefect stops its temporary server; they would kill the process
    otherwise. A signal that is ignored stays ignored.

    Args:
        seconds: from the first signal to the end of the block; then this process and its child processes are killed.
    """
    left = threading.Event()
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    # Prefect installs handlers of its own while a flow runs; the pipe gets every signal that has a handler.
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    handlers = {
        number: signal.signal(number, _exit)
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is signal.SIG_DFL
    }
    threading.Thread(target=_limit, args=(reading, seconds, left), daemon=True).start()
    _limited.set()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        os.close(writing)
        _limited.clear()
        left.set()


def be_brief() -> None:
    """Makes Prefect's client repeat a request once only, if this process is about to end: see `in_time`."""
    if _limited.is_set():
        _settings.enter_context(temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 1}))


def children() -> set[int]:
    """The process ids of the child processes of this process, whichever of its threads started them."""
    found: set[int] = set()
    for file in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):  # the thread has ended
            found.update(int(number) for number in file.read_text("ascii").split())
    return found


def end_children(seconds: float) -> None:
    """Ends all child processes of this process: by SIGTERM, and by SIGKILL those that are left after some seconds."""
    deadline = time.monotonic() + seconds
    signalled: set[int] = set()
    while running := {number for number in children() if not has_ended(number)}:
        late = time.monotonic() > deadline
        for number in running if late else running - signalled:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL if late else signal.SIGTERM)
        if late:
            return
        signalled |= running
        time.sleep(0.1)


def has_ended(number: int) -> bool:
    """Whether a child process has ended."""
    try:
        return bool(os.waitid(os.P_PID, number, os.WEXITED | os.WNOHANG | os.WNOWAIT))  # whoever started it reaps it
    except ChildProcessError:
        return True  # it was reaped


def _exit(number: int, _frame: object) -> None:
    sys.exit(_code(number))


def _code(number: int) -> int:
    return 1 if server_lost.is_set() else 128 + number


def _limit(reading: int, seconds: float, left: threading.Event) -> None:
    with open(reading, "rb", buffering=0) as pipe:
        while byte := pipe.read(1):
            if byte[0] in _SIGNALS:
                number = signal.Signals(byte[0])
                signalled.set()
                break
        else:
            return
    if left.wait(seconds):
        time.sleep(_EXIT_SECONDS)
    elif not server_lost.is_set():
        print(f"the run did not end within {seconds:g} s after {number.name}; it is killed.", file=sys.stderr, flush=True)
    end_children(_EXIT_SECONDS)
    os._exit(_code(number))
