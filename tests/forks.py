"""Runs a program in forks of a process that has imported it: an import of DVC or Prefect takes seconds of processor time."""

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

_PROGRAM = Path(__file__).with_name("forked_program.py")
_LIBC = ctypes.CDLL(None)


def like_from_a_shell() -> None:
    """Makes a process that a test starts react to signals, and end when the tests end, even by SIGKILL.

    After `nohup`, or `&` in a script, the tests ignore SIGHUP and SIGINT, and a process inherits what is ignored.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    _LIBC.prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG, see prctl(2)


class Forks:
    """A process that has imported a program. Each run is a fork, which does what a new process would do after its imports.

    Args:
        program: MODULE:FUNCTION; the function takes the arguments of the command and returns the exit code.
        modules: to import too, which the program imports where it needs them.
        folder: whose code is imported.
        environment: while it is imported.
    """

    def __init__(
        self,
        program: str,
        *modules: str,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._outputs = tempfile.TemporaryDirectory()
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(_PROGRAM), program, *modules],
            cwd=folder,
            env={**(environment or os.environ), **({"PYTHONPATH": str(folder)} if folder else {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            preexec_fn=like_from_a_shell,  # noqa: PLW1509 - no other thread holds a lock
        )

    def run(
        self,
        command: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        *,
        together: bool = False,
        seconds: float = 300,
    ) -> "subprocess.CompletedProcess[str]":
        """Does what `subprocess.run` does.

        Args:
            command: the name of the program and its arguments.
            folder: to run in.
            environment: the whole of it.
            together: adds what goes to standard error to the standard output.
            seconds: that it may take.

        Raises:
            TimeoutError: it takes longer.
        """
        out = Path(self._outputs.name) / "out"
        err = out if together else out.with_name("err")
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = [list(command), str(folder), dict(environment), str(out), str(err)]
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            self._process.kill()  # the kernel then ends the fork
            raise TimeoutError(f"{command} did not end within {seconds} s")
        code = int(self._process.stdout.readline())
        said, errors = (path.read_text("utf-8", "replace") for path in (out, err))
        return subprocess.CompletedProcess(command, code, said, "" if together else errors)

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate()
        self._outputs.cleanup()
