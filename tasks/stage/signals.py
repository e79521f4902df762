"""How a stage is ended from outside: SIGINT, SIGTERM, SIGHUP, or the death of the DVC that started it.

A signal makes a stage end with 128 and its number (130, 143, 129) and a sentence, without a traceback. A second one ends it at
once. Where ending has to wait for something, or must not wait for Python, the stage says so: see `noted` and `at_once`.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_POLL_SECONDS = 0.5


class EndedError(BaseException):
    """The stage is to end. Nothing that catches errors should catch it."""

    def __init__(self, number: signal.Signals, more: str = "") -> None:
        """Takes the signal, and what there is to say beside."""
        super().__init__(f"ended by {number.name}{more}")
        self.code = 128 + number


def _raise(number: signal.Signals) -> None:
    raise EndedError(number)


def _note(number: signal.Signals) -> None:
    """Leaves it to who asks."""


_react: Callable[[signal.Signals], None] = _raise
_received: signal.Signals | None = None


@contextmanager
def endable() -> Iterator[None]:
    """While the block lasts, a signal, or the death of DVC, raises `EndedError` in it. In a main thread only."""
    global _received  # noqa: PLW0603 - a process has one set of signal handlers
    _received = None
    # What is ignored from the start stays so: `nohup` ignores SIGHUP.
    before = {number: signal.getsignal(number) for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN}
    over = threading.Event()
    for number in before:
        signal.signal(number, _on_signal)
    if "DVC_ROOT" in os.environ:  # a stage that is started by hand may outlive its shell
        threading.Thread(target=_watch_parent, args=(os.getppid(), over), daemon=True).start()
    try:
        yield
    finally:
        over.set()
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def noted() -> Iterator[Callable[[], signal.Signals | None]]:
    """While the block lasts, a signal is noted; yields a function that says which has come.

    Until that is called for the first time there is no work to put away, and a signal ends the process on the spot: the first
    step of training is compiled for many seconds.

    Raises:
        EndedError: one was noted, and the block came to its end nevertheless.
    """

    def received() -> signal.Signals | None:
        global _react  # noqa: PLW0603 - as above
        _react = _note
        return _received

    with at_once():
        yield received
    if _received is not None:
        raise EndedError(_received)


@contextmanager
def at_once() -> Iterator[None]:
    """While the block lasts, a signal ends the process on the spot.

    For the import of native libraries: an exception in the midst of it is lost, or crashes the process when it ends.
    """
    saved = os.dup(2)  # where a user looks, whatever becomes of standard error

    def end(number: signal.Signals) -> None:
        os.write(saved, f"ended by {number.name}\n".encode())
        os._exit(128 + number)

    try:
        with _reacting(end):
            yield
    finally:
        os.close(saved)


@contextmanager
def _reacting(react: Callable[[signal.Signals], None]) -> Iterator[None]:
    global _react  # noqa: PLW0603 - as above
    before, _react = _react, react
    try:
        yield
    finally:
        _react = before


def _on_signal(number: int, _frame: object) -> None:
    global _received  # noqa: PLW0603 - as above
    _received = signal.Signals(number)
    for one in SIGNALS:
        if signal.getsignal(one) is _on_signal:
            signal.signal(one, signal.SIG_DFL)
    _react(_received)


def _watch_parent(parent: int, over: threading.Event) -> None:
    """A process whose parent dies gets another one. Not PR_SET_PDEATHSIG: it goes by the thread that started the process."""
    while not over.wait(_POLL_SECONDS):
        if os.getppid() != parent:
            if _received is None:  # a second signal would end it before its work is put away
                os.kill(os.getpid(), signal.SIGTERM)
            return
