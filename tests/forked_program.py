"""The process of `forks.py`: `forked_program.py MODULE:FUNCTION [MODULE ...]` imports a program, and runs it in forks.

A line of standard input is a run: a JSON list of the command, its folder, its environment, and the files for standard output
and standard error. The exit code is printed when the run has ended.
"""

import ctypes
import gc
import importlib
import json
import os
import signal
import sys


def main(program: str, *modules: str) -> int:
    """Serves until standard input ends; in a fork, runs the program. Returns the exit code."""
    module, _, function = program.partition(":")
    work = getattr(importlib.import_module(module), function)
    for name in modules:
        importlib.import_module(name)
    gc.freeze()
    while line := sys.stdin.buffer.readline():
        fork = os.fork()
        if not fork:
            arguments = enter(*json.loads(line))
            return int(work(arguments) or 0)
        print(os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1]), flush=True)
    return 0


def enter(command: list[str], folder: str, environment: dict[str, str], out: str, err: str) -> list[str]:
    """Makes the fork a process like a new one; returns the arguments of the command."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # a fork does not inherit it, see `like_from_a_shell`
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = sys.orig_argv = command
    written = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    outputs = os.open(out, written), os.open(err, written)
    for descriptor, target in ((os.open(os.devnull, os.O_RDONLY), 0), (outputs[0], 1), (outputs[1], 2)):
        os.dup2(descriptor, target)
        os.close(descriptor)
    return command[1:]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
