"""Plays schedules by their seeds: many of them, or one again."""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

from tests.simulated.world import BrokenError

Play = Callable[[int], list[str]]  # plays the schedule of a seed, returns what was done, and raises `BrokenError`


def failing(play: Play, first: int, count: int) -> Iterator[tuple[int, BrokenError]]:
    """The seeds that fail, with the reasons."""
    for seed in range(first, first + count):
        try:
            play(seed)
        except BrokenError as error:
            yield seed, error


def run(
    play: Play, replaced: Callable[[], AbstractContextManager[None]], module: str, text: str, arguments: Sequence[str] | None
) -> int:
    """Plays what the command line says; the exit code is 1 if a schedule fails.

    Args:
        play: one.
        replaced: a context in which the program uses what is simulated.
        module: that is run.
        text: its docstring.
        arguments: of the command line.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=text.partition("\n")[0])
    parser.add_argument("--seed", type=int, help="of the schedule to play again")
    parser.add_argument("--count", type=int, default=1000, help="number of schedules (default: 1000)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default: 0)")
    given = parser.parse_args(arguments)
    with replaced():
        if given.seed is not None:
            try:
                print("\n".join(play(given.seed)))
            except BrokenError as broken:
                print(*getattr(broken, "__notes__", []), f"seed {given.seed} failed: {broken}", sep="\n")
                return 1
            print(f"seed {given.seed}: every invariant held")
            return 0
        began, failed = time.perf_counter(), 0
        for seed, error in failing(play, given.first, given.count):
            failed += 1
            print(f"python -m {module} --seed {seed}: {error}", flush=True)
        rate = given.count / (time.perf_counter() - began)
        print(f"{given.count} schedules, {failed} failed, {rate:.0f} per second", file=sys.stdout)
    return int(failed > 0)
