"""What a row of `docs/survival.md` is: a fault, how often it is tried, and what must hold each time."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Trial:
    """A row of the table.

    Attributes:
        fault: what is done to the program.
        trials: how often, in the full tier.
        must: what must hold each time.
        run: does it that often, and returns how often it held; says what did not on standard error.
    """

    fault: str
    trials: int
    must: str
    run: Callable[[int], int]


def main(rows: Sequence[Trial]) -> int:
    """The command of a module of rows: prints a line of the table for each; the exit code is 1 if one did not hold."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, help="how often each, instead of the full number")
    parser.add_argument("--only", default="", help="only rows whose fault has this in it")
    arguments = parser.parse_args()
    failed = False
    for row in rows:
        if arguments.only in row.fault:
            trials = min(arguments.trials or row.trials, row.trials)
            survived = row.run(trials)
            failed |= survived != trials
            print(f"| {row.fault} | {trials} | {survived} | {row.must} |", flush=True)
    return int(failed)
