"""The temporary server that Prefect starts for a flow in a shell: ends a run that has lost it, and servers that lost their run.

Prefect starts the server itself, so it cannot be asked to end with its parent. A killed run leaves it behind, with 200 MB.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from flows.ending import children, has_ended, server_lost, signalled
from flows.run_records import is_alive, process_mark

# The mark of the process that a server belongs to: the server inherits it.
OWNER = "TRAIN_RESNET_SERVER_OWNER"
_POLL_SECONDS = 2.0
_APPLICATION = b"prefect.server.api.server:create_app"
_LOST = "the Prefect server has ended: type the same command again, and the run goes on."


def end_orphans() -> None:
    """Ends the temporary servers of this user whose runs were killed. Marks this process as the owner of its own."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):  # it has ended, or a container hides it
            if process.uids().real == os.getuid() and _APPLICATION.decode() in process.cmdline():
                environment = process.environ()
                owner = environment.get(OWNER)
                if owner and "PREFECT__SERVER_EPHEMERAL" in environment and not is_alive(owner):
                    process.terminate()
    os.environ[OWNER] = process_mark(os.getpid()) or ""


@contextmanager
def watched() -> Iterator[None]:
    """Ends the run in the block if its temporary server ends. For the main thread of a program, in the block of `in_time`.

    Prefect's client would repeat each request for eight minutes, and a temporary server does not come back.
    """
    end_orphans()
    left = threading.Event()
    threading.Thread(target=Watch(left).follow, daemon=True).start()
    try:
        yield
    finally:
        left.set()
        if server_lost.is_set():  # again, because Prefect has shown tracebacks since
            print(_LOST, file=sys.stderr, flush=True)


class Watch:
    """Ends this process, as a signal would, when its temporary server has ended.

    Args:
        left: set when the run has ended, and its server ends too.
    """

    def __init__(self, left: threading.Event) -> None:
        self._left = left
        self._servers: set[int] = set()

    def lost(self) -> bool:
        """Whether there was a server, and none runs any more. Prefect starts another one if the first one's port was taken."""
        self._servers |= {number for number in children() - self._servers if _is_server(number)}
        return bool(self._servers) and all(has_ended(number) for number in self._servers)

    def follow(self, seconds: float = _POLL_SECONDS) -> None:
        """Looks at the server until the run has ended.

        Args:
            seconds: between two looks. Two have to agree: a signal to the whole group ends the server too, and arrives here.
        """
        before = False
        while not self._left.wait(seconds):
            now = self.lost()
            if signalled.is_set():
                return
            if now and before:
                print(_LOST, file=sys.stderr, flush=True)
                server_lost.set()
                os.kill(os.getpid(), signal.SIGTERM)
                return
            before = now


def _is_server(number: int) -> bool:
    try:
        return _APPLICATION in Path(f"/proc/{number}/cmdline").read_bytes()
    except OSError:
        return False
