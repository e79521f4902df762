"""Random schedules and all short histories on a simulated machine: rows of `docs/survival.md`. See `tests/simulated/`."""

import os
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import islice
from types import ModuleType

from tests.simulated import leases, schedules
from tests.simulated.histories import Found, every_crash, histories
from tests.simulated.replaced import replaced
from tests.simulated.world import BrokenError
from tests.soak.trials import Trial, main

SCHEDULES = 1_000_000
LEASES = 100_000
HISTORIES = 4 + 4**2 + 4**3 + 4**4
_BLOCK = 1000


def _play(module: ModuleType, block: int, last: int) -> list[str]:
    first = block * _BLOCK
    with module.replaced():
        return [f"{module.COMMAND} {seed}: {error}" for seed, error in module.failures(first, min(_BLOCK, last - first))]


def _play_on_machine(block: int, last: int) -> list[str]:
    return _play(schedules, block, last)


def _play_with_leases(block: int, last: int) -> list[str]:
    return _play(leases, block, last)


def _all(play: Callable[[int, int], list[str]], trials: int) -> int:
    """Plays the schedules of the first seeds on all cores; returns the number in which all invariants hold."""
    blocks = range(-(-trials // _BLOCK))
    failed = 0
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for lines in pool.map(play, blocks, [trials] * len(blocks)):
            failed += len(lines)
            print(*lines, sep="\n", end="\n" * bool(lines), file=sys.stderr, flush=True)
    return trials - failed


def short_histories(trials: int) -> int:
    """Tries all crashes of the first histories; returns the number of histories in which all invariants hold."""
    survived, found = 0, Found()
    with replaced():
        for history in islice(histories(4), trials):
            try:
                every_crash(history, found)
                survived += 1
            except BrokenError as error:
                print(error, file=sys.stderr, flush=True)
    print(found, file=sys.stderr, flush=True)
    return survived


ROWS = (
    Trial(
        "random schedules on a simulated machine and disk", SCHEDULES, "every invariant holds", partial(_all, _play_on_machine)
    ),
    Trial("random schedules of hosts that want one run", LEASES, "one goes on, and one can", partial(_all, _play_with_leases)),
    Trial("all power cuts in every history of up to 4 operations", HISTORIES, "every invariant holds", short_histories),
)

if __name__ == "__main__":
    sys.exit(main(ROWS))
