"""The DVC process of a run: it starts with the run and ends with it, however the run ends.

The process leads a process group, to which the stages' commands belong too. The whole group is signalled, because DVC does
not forward SIGTERM to a stage's command.
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
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from flows.dvc_program import GRACE_SECONDS
from flows.ending import RunEndedError, ending
from resnet.core.errors import UserError
from tasks.stage.git import git, outside_of_git

_AFTER_KILL = 2.0  # seconds
_LISTING_SECONDS = 60.0  # for the start of DVC, and some more for each experiment, which takes it up to 0.5 s
_EACH_SECONDS = 5.0
_PROGRAM = Path(__file__).with_name("dvc_program.py")
_alive: "weakref.WeakSet[DvcProcess]" = weakref.WeakSet()


def interrupt_all() -> None:
    """Ends the DVC processes of all threads and prevents new ones; Python handles signals in the main thread only."""
    ending.set()
    for process in list(_alive):
        process.interrupt()


class DvcEndedError(Exception):
    """The process that runs DVC ended unexpectedly, for example killed when memory ran out."""


class DvcError(UserError):
    """DVC reported an error; the text is DVC's."""


class DvcProcess:
    """Runs DVC requests in a process of their own.

    As a context manager it starts the process on entry; on exit no process of its process group is left.
    """

    def __init__(self, folder: Path) -> None:
        """Takes the folder in which the process runs."""
        self._folder = folder
        self._mark = secrets.token_hex(16)  # random, so that no output of a stage can pass for an answer
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
        """Starts the process unless it is running. It imports DVC in the background, while the caller continues.

        Raises:
            RunEndedError: the run is being stopped.
        """
        if self._interrupted or ending.is_set():
            raise RunEndedError("the run is being ended")
        if self._process is not None:
            if self._process.poll() is None:
                return
            _close_pipes(self._process)
        environment = {
            **outside_of_git(),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "PYTHONUNBUFFERED": "1",  # the lines of a stage appear as they are printed
        }
        environment.pop("DVC_ROOT", None)  # set if a stage or a queue of DVC started this run
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

    @contextlib.contextmanager
    def at_most(self, seconds: float) -> Iterator[None]:
        """Kills the process if the block takes longer; the request that waits for it raises `DvcEndedError`."""
        timer = threading.Timer(seconds, self._signal, [signal.SIGKILL])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def request(self, do: str, on_line: Callable[[str], None] = lambda line: None, **arguments: Any) -> dict[str, Any]:
        """Sends a request and returns the answer; see `flows/dvc_program.py` for the requests.

        Args:
            do: the name of the request.
            on_line: called with each line of output as soon as it is printed.
            arguments: of the request; must be serialisable as JSON.

        Raises:
            DvcError: DVC reported an error; the text is DVC's.
            DvcEndedError: the process ended; the next request starts another.
            RunEndedError: the run is being stopped.
        """
        self.start()
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        last = "it printed nothing"
        with contextlib.suppress(BrokenPipeError):  # the process has ended; the loop below reports it
            print(json.dumps({"do": do, **arguments}), file=process.stdin, flush=True)
        for line in process.stdout:
            if line.startswith(self._mark):
                return self._checked(json.loads(line.removeprefix(self._mark)))
            if line.strip():
                last = line.rstrip()
                on_line(last)
        if self._interrupted:
            raise RunEndedError("the run is being ended")
        raise DvcEndedError(f"the process that runs DVC ended with code {process.wait()} during the request {do!r}: {last}")

    def interrupt(self) -> None:
        """Sends SIGTERM to the process group, and SIGKILL after `GRACE_SECONDS`. May be called from another thread."""
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
        """Reads the output to its end, which is reached when the last process of the group has ended: each holds the pipe open.

        A process that left the group, such as a daemon of Git's, may hold it open for ever, so the wait is limited.
        """
        reader = threading.Thread(target=self._read_rest, args=(process, on_line), daemon=True)
        reader.start()
        try:
            reader.join(GRACE_SECONDS + _AFTER_KILL)
            if reader.is_alive():
                self._signal(signal.SIGKILL)
            process.wait()
        except BaseException:
            self._signal(signal.SIGKILL)
            raise
        finally:
            if self._kill is not None:
                self._kill.cancel()
                self._kill = None
            if process.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.close()

    def _read_rest(self, process: subprocess.Popen[str], on_line: Callable[[str], None]) -> None:
        assert process.stdout is not None
        with process.stdout as output:  # closed here, because closing a pipe waits for whoever reads it
            for line in output:
                if line.strip() and not line.startswith(self._mark):
                    on_line(line.rstrip())

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)


def list_experiments(home: Path, commits: Iterable[str], dvc: DvcProcess | None = None) -> None:
    """Reads experiments for `dvc exp show`, see `flows/dvc_program.py`, for some minutes at most.

    It only saves time later, so it raises no error, and a disk or a network that hangs does not hold up a run that has ended.

    Args:
        home: the project that has the experiments.
        commits: theirs, or their refs.
        dvc: the process that reads; by default one of its own.
    """
    # The experiments are saved. Who ends the run meanwhile ends it by what comes next.
    with contextlib.suppress(DvcEndedError, RunEndedError, UserError, OSError):
        found = [git(home, "rev-parse", one) for one in commits]
        limit = _LISTING_SECONDS + _EACH_SECONDS * len(found)
        with contextlib.nullcontext(dvc) if dvc else DvcProcess(home) as process, process.at_most(limit):
            process.request("list_experiments", root=str(home), commits=found)


def _close_pipes(process: subprocess.Popen[str]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
