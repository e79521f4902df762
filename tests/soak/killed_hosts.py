"""One of two hosts that train one network is killed: a row of `docs/survival.md`.

python -m tests.soak.killed_hosts [--trials N]
"""

import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.interrupted import is_alive, kill
from tests.soak.trials import Trial, main
from tests.two_hosts import LOST, TwoHosts

_SECONDS = 15.0  # the approximate duration of an undisturbed run on both
# Seconds within which the other host must end. If its partner was killed before they met, it waits for the 60 s that
# `TinyRun.start` gives them, from the moment at which it has imported TensorFlow.
_LIMIT = 120.0


def trial(run: TwoHosts, expected: str, rng: random.Random, number: int) -> None:
    """Kills the chief or the other host, in turn, at a random moment, and starts both again to the end."""
    killed = number % 2
    seconds = rng.choice([0, 0.3, 60])
    processes = run.start(chief={"seconds": seconds, "pause": 0.02}, other={"pause": 0.02})
    processes[killed].join(rng.uniform(0.2, _SECONDS))
    died = is_alive(processes[killed].pid or 0)
    if died:
        kill(processes[killed], signal.SIGKILL)
    began = time.monotonic()
    codes = run.join(processes, _LIMIT)
    took = time.monotonic() - began
    assert codes[killed] == (-signal.SIGKILL if died else 0), f"the exit codes are {codes}"
    assert codes[1 - killed] in ((0, 1) if died else (0,)), f"the exit codes are {codes}"
    assert "Traceback" not in run.log
    if codes[1 - killed] == 1:
        assert any(words in run.hosts[1 - killed].log for words in LOST), "no sentence"
    print(f"hosts killed, {number}: host {killed}, the other ended after {took:.1f} s with {codes[1 - killed]}", flush=True)
    assert run.complete() == expected, "the outcome differs"
    assert run.written_by_the_other() == []


def killed(trials: int) -> int:
    """Kills one of two hosts again and again; returns the number of trials that passed."""
    survived = 0
    with tempfile.TemporaryDirectory() as folder:
        run = TwoHosts(Path(folder))
        expected = run.complete()
        for number in range(trials):
            run.forget()
            try:
                trial(run, expected, random.Random(number), number)
                survived += 1
            except AssertionError as error:
                print(f"hosts killed, {number}: {error}\n{run.log}", file=sys.stderr, flush=True)
    return survived


ROWS = (
    Trial(
        "SIGKILL to one of two hosts that train one network, and a new start of both",
        20,
        "the other ends with a sentence within 120 s, 60 of which it waits if they have not met; then the same bytes",
        killed,
    ),
)

if __name__ == "__main__":
    sys.exit(main(ROWS))
