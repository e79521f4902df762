"""All crashes of short histories: after each system call of the last operation, in each state that the disk may be left in.

python -m tests.simulated.histories          # every sequence of at most four operations
python -m tests.simulated.histories 3        # of at most three
"""

import itertools
import pickle
import sys
import time
from collections.abc import Iterator

from tests.simulated.machine import File
from tests.simulated.replaced import replaced
from tests.simulated.toy import TOYS
from tests.simulated.world import OPERATIONS, World

_THREE_WEEKS = 21 * 86400.0


class _Answers:
    """Gives each sequence of answers in turn: after each sequence, ask `more` whether there is another one."""

    def __init__(self) -> None:
        self._given: list[tuple[int, int]] = []  # answer, and the number of possible ones
        self._next = 0

    def __call__(self, number: int) -> int:
        if self._next == len(self._given):
            self._given.append((0, number))
        self._next += 1
        return self._given[self._next - 1][0]

    def more(self) -> bool:
        while self._given and self._given[-1][0] + 1 == self._given[-1][1]:
            self._given.pop()
        self._next = 0
        if self._given:
            answer, number = self._given[-1]
            self._given[-1] = (answer + 1, number)
        return bool(self._given)


def histories(longest: int) -> Iterator[tuple[str, ...]]:
    """All sequences of operations up to a length."""
    for length in range(1, longest + 1):
        yield from itertools.product(OPERATIONS, repeat=length)


def every_crash(history: tuple[str, ...], seen: set[int]) -> int:
    """Lets the power go after each system call of the last operation, and resumes from each possible state of the disk.

    Args:
        history: the operations.
        seen: the states that were tried already; those of this history are added.

    Returns:
        The number of crashes.

    Raises:
        BrokenError: something does not hold.
    """
    crashes = 0
    for calls in itertools.count(1):
        world = World(lambda number: 0)
        world.move_clock(_THREE_WEEKS)  # there is an old run, which `prune` removes
        for operation in history[:-1]:
            world.finish(world.operate(TOYS[0], operation))
        process = world.operate(TOYS[0], history[-1])
        world.advance(process, calls)
        ended = process.dead
        if not ended:
            world.kill(process)
        crashes += _crashes(world, seen)
        if ended:
            break
    return crashes


def _crashes(world: World, seen: set[int]) -> int:
    machine, answers, crashes = world.machine, _Answers(), 0
    frozen = pickle.dumps((machine.root, machine.pending, world.promised))
    while True:
        root, pending, world.promised = pickle.loads(frozen)
        machine.mount(root, pending)
        machine.choose = answers
        machine.cut_power()
        machine.choose = lambda number: 0
        crashes += 1
        files = sorted((path, node.data if type(node) is File else b"") for path, node in machine.walk())
        state = hash((tuple(files), str(world.promised)))
        if state not in seen:
            seen.add(state)
            world.check()
            process = world.operate(TOYS[0], "resume")
            world.finish(process)
            if process.error is not None:
                world.fail(f"after a power cut it ends with {process.error!r}")
        if not answers.more():
            return crashes


def main() -> int:
    """Tries all."""
    began, seen = time.perf_counter(), set[int]()
    with replaced():
        crashes = [every_crash(history, seen) for history in histories(int(sys.argv[1]) if sys.argv[1:] else 4)]
    states = f"{sum(crashes)} crashes, {len(seen)} states of the disk"
    print(f"{len(crashes)} histories, {states}, {time.perf_counter() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
