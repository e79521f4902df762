"""A run is killed on one host and goes on on another one that shares only a bucket: a row of `docs/survival.md`.

python -m tests.soak.moved_runs [--trials N]

The hosts are two folders with the same project, each with its own checkpoints. The bucket is an S3 server on loopback.
"""

import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.interrupted import RESUMED, TinyRun, kill
from tests.s3_store import BUCKET, Store
from tests.soak.trials import Trial, main

_INTERVAL = 0.3  # seconds between checkpoints
_PAUSE = 0.02  # seconds after each step


class Hosts:
    """Two hosts with one bucket.

    Args:
        folder: for their projects.
        server: variables of the environment for S3.
    """

    def __init__(self, folder: Path, server: dict[str, str]) -> None:
        first = TinyRun(folder / "a")
        self._both = (first, TinyRun(folder / "b", copy_of=first))
        self._server = server
        self._number = 0
        self.expected = self._both[0].complete()
        assert self._both[1].complete() == self.expected, "the hosts differ"

    def trial(self, rng: random.Random) -> str:
        """Kills the run 1 to 3 times, each time on the other host, and lets it end on the next one; returns what is wrong."""
        self._number += 1
        store = self._server | {"TRAIN_RESNET_CHECKPOINT_REMOTE": f"s3://{BUCKET}/trial-{self._number}"}
        for host in self._both:
            host.forget()
        kills = rng.randint(1, 3)
        for number in range(kills):
            host = self._both[number % 2]
            process = host.start(_INTERVAL, pause=_PAUSE, store=store)
            host.wait_for(max(one.position() for one in self._both) if number else (1, 1))
            time.sleep(rng.uniform(0, 1))
            kill(process, signal.SIGKILL)
            host.join(process)
        last, other = self._both[kills % 2], self._both[(kills - 1) % 2]
        kept = other.kept()
        code = last.join(last.start(_INTERVAL, store=store))
        if code:
            return f"it ended with {code}: {last.log[-700:]}"
        if last.outcome() != self.expected:
            return "the bytes differ"
        found = [(int(epoch), int(step)) for epoch, step in RESUMED.findall(last.log)]
        if kept[1:] and "train: had ended after epoch" not in last.log and found[-1:] < [kept[1]]:
            return f"it went on at {found[-1:]}, but the other host had {kept}"
        return ""


def moved(trials: int) -> int:
    """Moves runs; returns the number that ended with the bytes of an undisturbed one, and lost at most one interval."""
    survived = 0
    with tempfile.TemporaryDirectory() as folder, Store() as store:
        hosts = Hosts(Path(folder), store.environment)
        for number in range(trials):
            wrong = hosts.trial(random.Random(number))
            survived += not wrong
            if wrong:
                print(f"moved run {number}: {wrong}", file=sys.stderr, flush=True)
    return survived


ROWS = (Trial("SIGKILL on one host, resumed on another that shares a bucket", 50, "the same bytes, one interval lost", moved),)

if __name__ == "__main__":
    sys.exit(main(ROWS))
