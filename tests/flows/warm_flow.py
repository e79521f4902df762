"""Runs `flows.train_resnet` in forks of a process that has imported it, which takes two seconds of processor time.

The current folder is the project whose code is run. A line of standard input is a run: a JSON list of the arguments of the
command, the file for its output, and its environment. The exit code is printed when the run has ended.
"""

import gc
import json
import os
import sys

import flows.train_resnet


def main() -> int:
    """Serves until standard input ends; in a fork, runs the flow. Returns the exit code."""
    gc.freeze()
    while line := sys.stdin.readline():
        arguments, log, environment = json.loads(line)
        fork = os.fork()
        if not fork:
            os.environ.update(environment)
            return run(arguments, log)
        print(os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1]), flush=True)
    return 0


def run(arguments: list[str], log: str) -> int:
    """Does what the command does with these arguments; standard output and error go to a file."""
    sys.argv = sys.orig_argv = ["flows.train_resnet", *arguments]
    for path, flags, descriptors in ((os.devnull, os.O_RDONLY, (0,)), (log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, (1, 2))):
        opened = os.open(path, flags)
        for descriptor in descriptors:
            os.dup2(opened, descriptor)
        os.close(opened)
    return flows.train_resnet.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
