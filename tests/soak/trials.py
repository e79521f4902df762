"""A row of `docs/survival.md`: a fault, the number of trials, and the behaviour expected each time."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Trial:
    """A row of the table.

    Attributes:
        fault: what is done to the program.
        trials: the number of trials in a full run; 0 if this machine lacks what they need.
        expected: what must hold in each trial.
        run: runs a number of trials and returns the number that held; reports the others on standard error.
    """

    fault: str
    trials: int
    expected: str
    run: Callable[[int], int]


def main(rows: Sequence[Trial]) -> int:
    """Runs the rows of one module as a command and prints a line for each; the exit code is 1 if a trial did not hold."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, help="trials of each row (default: all)")
    parser.add_argument("--only", default="", help="only rows whose fault contains this")
    arguments = parser.parse_args()
    failed = False
    for row in rows:
        if arguments.only in row.fault:
            trials = min(arguments.trials or row.trials, row.trials)
            survived = row.run(trials) if trials else 0
            failed |= survived != trials
            print(f"| {row.fault} | {trials} | {survived} | {row.expected} |", flush=True)
    return int(failed)
