"""Random schedules and all short histories on a simulated machine: rows of `docs/survival.md`. See `tests/simulated/`."""

import os
import sys
from concurrent.futures import ProcessPoolExecutor
from itertools import islice

from tests.simulated.histories import Found, every_crash, histories
from tests.simulated.replaced import replaced
from tests.simulated.schedules import COMMAND, failures
from tests.simulated.world import BrokenError
from tests.soak.trials import Trial, main

SCHEDULES = 1_000_000
HISTORIES = 4 + 4**2 + 4**3 + 4**4
_BLOCK = 1000


def _play(block: int, last: int) -> list[str]:
    first = block * _BLOCK
    with replaced():
        return [f"{COMMAND} {seed}: {error}" for seed, error in failures(first, min(_BLOCK, last - first))]


def schedules(trials: int) -> int:
    """Plays the schedules of the first seeds on all cores; returns the number in which all invariants hold."""
    blocks = range(-(-trials // _BLOCK))
    failed = 0
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for lines in pool.map(_play, blocks, [trials] * len(blocks)):
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
    Trial("random schedules on a simulated machine and disk", SCHEDULES, "every invariant holds", schedules),
    Trial("all power cuts in every history of up to 4 operations", HISTORIES, "every invariant holds", short_histories),
)

if __name__ == "__main__":
    sys.exit(main(ROWS))
