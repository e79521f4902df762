"""A run's own DVC process: started for the run, ended with it, whatever way the run ends.

The stages' commands are in its process group. That is what lets them be ended: DVC itself does not hand on a SIGTERM.
"""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from flows.dvc_program import GRACE_SECONDS
from resnet.core.errors import UserError
from tasks.stage.git import outside_of_git

_PROGRAM = Path(__file__).with_name("dvc_program.py")


_ending = threading.Event()
_alive: "weakref.WeakSet[DvcProcess]" = weakref.WeakSet()


def interrupt_all() -> None:
    """Ends what runs in other threads' processes, and lets none be started: a signal reaches the main thread alone."""
    _ending.set()
    for process in list(_alive):
        process.interrupt()


class RunEndedError(Exception):
    """The run is being ended from outside."""


class DvcEndedError(Exception):
    """The process that runs DVC is gone, killed for its memory perhaps."""


class DvcError(UserError):
    """What DVC says that went wrong."""


class DvcProcess:
    """Starts when first asked for something; a context that leaves nothing of its process group behind."""

    def __init__(self, folder: Path) -> None:
        """Takes the folder to run in."""
        self._folder = folder
        self._mark = secrets.token_hex(16)  # no stage can print it by chance or on purpose
        self._process: subprocess.Popen[str] | None = None
        self._interrupted = False
        self._kill: threading.Timer | None = None
        _alive.add(self)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._process is None:
            return
        if kind is None or issubclass(kind, Exception):
            self._end(self._process)
        else:  # SIGTERM or Ctrl-C
            self.interrupt()
            self._drain(self._process, print)

    def start(self) -> None:
        """Starts the process, if there is none; it imports DVC while the caller does something else.

        Raises:
            RunEndedError: the run is being ended.
        """
        if self._interrupted or _ending.is_set():
            raise RunEndedError("the run is being ended")
        if self._process is not None:
            if self._process.poll() is None:
                return
            _close_pipes(self._process)
        environment = {
            **outside_of_git(),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "PYTHONUNBUFFERED": "1",  # lines as they happen
        }
        environment.pop("DVC_ROOT", None)  # of a stage or a queue that started this run
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(_PROGRAM), self._mark],
            cwd=self._folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )

    def request(self, do: str, on_line: Callable[[str], None] = lambda line: None, **arguments: Any) -> dict[str, Any]:
        """Has something done, see `flows/dvc_program.py`.

        Args:
            do: what to do.
            on_line: called with each line of output as it comes.
            arguments: of the request; must go into JSON.

        Raises:
            DvcError: DVC could not do it; the text is DVC's.
            DvcEndedError: DVC's process ended; the next request starts another.
            RunEndedError: the run is being ended.
        """
        self.start()
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        last = "it printed nothing"
        with contextlib.suppress(BrokenPipeError):  # it ended in between
            print(json.dumps({"do": do, **arguments}), file=process.stdin, flush=True)
        for line in process.stdout:
            if line.startswith(self._mark):
                return self._checked(json.loads(line.removeprefix(self._mark)))
            if line.strip():
                last = line.rstrip()
                on_line(last)
        if self._interrupted:
            raise RunEndedError("the run is being ended")
        raise DvcEndedError(f"the process that runs DVC ended with code {process.wait()} while it was to {do}: {last}")

    def interrupt(self) -> None:
        """Ends the process group: SIGTERM, then SIGKILL after a while. Can be called from another thread."""
        self._interrupted = True
        if self._process is None:
            return
        self._signal(signal.SIGTERM)
        if self._kill is None:
            self._kill = threading.Timer(GRACE_SECONDS, self._signal, [signal.SIGKILL])
            self._kill.daemon = True
            self._kill.start()

    def _checked(self, answer: dict[str, Any]) -> dict[str, Any]:
        if self._interrupted:
            raise RunEndedError("the run is being ended")
        if "error" in answer:
            raise DvcError(answer["error"])
        return answer

    def _end(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        process.stdin.close()
        self._kill = threading.Timer(GRACE_SECONDS, self._signal, [signal.SIGKILL])
        self._kill.start()
        self._drain(process, lambda line: None)

    def _drain(self, process: subprocess.Popen[str], on_line: Callable[[str], None]) -> None:
        """Reads to the end: it comes when no process of the group is left, since all of them hold the other end."""
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if line.strip() and not line.startswith(self._mark):
                    on_line(line.rstrip())
            process.wait()
        except BaseException:
            self._signal(signal.SIGKILL)
            raise
        finally:
            if self._kill is not None:
                self._kill.cancel()
                self._kill = None
            _close_pipes(process)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)


def _close_pipes(process: subprocess.Popen[str]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
