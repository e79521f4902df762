"""Ends a stage on SIGINT, SIGTERM or SIGHUP, or when DVC, its parent process, dies.

A signal ends a stage with exit code 128 plus its number (130, 143, 129) and one sentence, without a traceback. A second signal
kills it immediately. A stage can delay the end until its work is saved (`noted`), or have it happen without waiting for
Python (`at_once`).

A process inherits ignored and blocked signals from the process that starts it. A shell starts `command &` in a script with
SIGINT ignored, and so do many CI systems. A stage handles SIGINT and SIGTERM anyway: whoever sends them and sees no effect
would send SIGKILL next. SIGHUP stays ignored if it was, because that is what `nohup` asks for.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_POLL_SECONDS = 0.5


class EndedError(BaseException):
    """The stage must end. It is not an `Exception`, so that code which catches errors does not catch it."""

    def __init__(self, number: signal.Signals, more: str = "") -> None:
        """Takes the signal, and the rest of the sentence."""
        super().__init__(f"ended by {number.name}{more}")
        self.code = 128 + number


def _raise(number: signal.Signals) -> None:
    raise EndedError(number)


def _note(number: signal.Signals) -> None:
    """Does nothing: the stage asks for the signal itself."""


_react: Callable[[signal.Signals], None] = _raise
_received: signal.Signals | None = None


@contextmanager
def endable() -> Iterator[None]:
    """Raises `EndedError` in the block on a signal or the death of DVC. For the main thread only."""
    global _received  # noqa: PLW0603 - a process has one set of signal handlers
    _received = None
    before = {number: signal.getsignal(number) for number in SIGNALS}
    if before[signal.SIGHUP] is signal.SIG_IGN:
        del before[signal.SIGHUP]
    over = threading.Event()
    for number in before:
        signal.signal(number, _on_signal)
    blocked = signal.pthread_sigmask(signal.SIG_UNBLOCK, before)
    if "DVC_ROOT" in os.environ:  # a stage that is started by hand may outlive its shell
        threading.Thread(target=_watch_parent, args=(os.getppid(), over), daemon=True).start()
    try:
        yield
    finally:
        over.set()
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        for number, handler in before.items():
            signal.signal(number, handler)


def _nothing(_: EndedError) -> None:
    pass


@contextmanager
def noted(last: Callable[[EndedError], None] = _nothing, more: str = "") -> Iterator[Callable[[], signal.Signals | None]]:
    """Notes a signal instead of raising in the block; yields a function that returns the received signal, or None.

    Before the first call of that function there is no work to save, and a signal ends the process immediately: compiling the
    first step of training takes many seconds.

    Args:
        last: is called before such an immediate end.
        more: the rest of the sentence of an error at the end of the block.

    Raises:
        EndedError: at the end of the block, if a signal was noted and the block did not act on it.
    """

    def received() -> signal.Signals | None:
        global _react  # noqa: PLW0603 - as above
        _react = _note
        return _received

    with at_once(last):
        yield received
    if _received is not None:
        raise EndedError(_received, more)


@contextmanager
def at_once(last: Callable[[EndedError], None] = _nothing) -> Iterator[None]:
    """A signal ends the process immediately in the block.

    For the import of native libraries: an exception during the import is lost, or crashes the process at its end.

    Args:
        last: is called before the end, and cannot prevent it. A second signal does not wait for it.
    """
    saved = os.dup(2)  # the terminal or log, even if standard error is replaced later

    def end(number: signal.Signals) -> None:
        os.write(saved, f"ended by {number.name}\n".encode())
        try:
            last(EndedError(number))
        finally:
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
    """Polls the parent process and treats its death as SIGTERM.

    A process whose parent dies gets another parent. PR_SET_PDEATHSIG would already send a signal when the thread that started
    the process ends.
    """
    while not over.wait(_POLL_SECONDS):
        if os.getppid() != parent:
            if _received is None:  # a second signal would kill it before its work is saved
                os.kill(os.getpid(), signal.SIGTERM)
            return
