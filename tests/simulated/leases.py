"""Random schedules of hosts that want one run, with the program's own lease on a simulated store.

python -m tests.simulated.leases --seed 17          # plays one again and prints what happens
python -m tests.simulated.leases --count 100000     # plays many; the exit code is 1 if one fails

A host may be killed, cut off from the store, or not scheduled for minutes. A request may take effect although its answer is
lost. In a fair schedule none of this happens for longer than a beat, and then one host trains at any time.
"""

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from resnet.core.buckets import BucketError
from resnet.core.errors import UserError
from tasks.training import lease
from tasks.training.lease import BEAT, PATIENCE, Lease
from tasks.training.store import TakenError
from tests.simulated.machine import Machine, Process
from tests.simulated.seeds import failing, run
from tests.simulated.world import BrokenError

COMMAND = "python -m tests.simulated.leases --seed"
PLACES = ("a", "b", "c")
_CALM = 50  # rounds of a beat each, in which everything that waits comes to its end


class Store:
    """The store as one host sees it.

    Args:
        hosts: that share it.
        place: of the host.
    """

    def __init__(self, hosts: "Hosts", place: str) -> None:
        self._hosts = hosts
        self._place = place

    def _request(self, effect: Callable[[], Any]) -> Any:
        hosts = self._hosts
        hosts.machine.call()
        away = self._place in hosts.cut_off
        if away and hosts.rng.random() < 0.5:
            raise BucketError("no answer")
        result = effect()
        if away:
            raise BucketError("the answer is lost")
        hosts.machine.call()
        return result

    def names(self, *folder: str) -> list[str]:
        return list(self._request(lambda: sorted(self._hosts.objects)))

    def read(self, *names: str) -> bytes | None:
        found: bytes | None = self._request(lambda: self._hosts.objects.get(names[-1]))
        return found

    def write(self, content: bytes, *names: str) -> None:
        self._request(lambda: self._hosts.objects.update({names[-1]: content}))

    def create(self, content: bytes, *names: str) -> None:
        def effect() -> None:
            if names[-1] in self._hosts.objects:
                raise TakenError("exists")
            self._hosts.objects[names[-1]] = content

        self._request(effect)

    def remove(self, *names: str) -> None:
        self._request(lambda: self._hosts.objects.pop(names[-1], None))


class Hosts:
    """The hosts, their processes, and who believes that it holds the lease.

    Args:
        rng: decides what the outside world decides.
    """

    current: "Hosts"

    def __init__(self, rng: random.Random) -> None:
        Hosts.current = self
        self.rng = rng
        self.machine = Machine(lambda number: int(rng.random() * number))
        self.objects: dict[str, bytes] = {}
        self.cut_off: set[str] = set()
        self.running: dict[str, Process] = {}
        self.held: dict[Process, Lease] = {}
        self.ends: set[Process] = set()
        self.log: list[str] = []

    def start(self, place: str) -> None:
        """Starts the training on a host, which has no other process of it."""
        self.running[place] = self.machine.start(lambda: self._train(place))

    def _train(self, place: str) -> None:
        running = self.machine.running
        assert running is not None
        process = running.process
        with Lease(Store(self, place), "run", place, lambda line: None) as held:  # type: ignore[arg-type] # a stand-in
            self.held[process] = held
            running.wait(lambda: process in self.ends or held.taken_by is not None)
            del self.held[process]

    def holders(self) -> list[str]:
        """The places whose process believes that it holds the lease."""
        return [
            place
            for place, process in self.running.items()
            if not process.dead and process in self.held and self.held[process].taken_by is None
        ]

    def alive(self) -> list[str]:
        """The places with a process."""
        return [place for place, process in self.running.items() if not process.dead]

    def pass_time(self, seconds: float) -> None:
        """Everybody runs on, while some seconds pass."""
        self.machine.clock += seconds
        for place in self.alive():
            self.machine.advance(self.running[place], 1000)

    def kill_all(self) -> None:
        """Ends all processes; what stays suspended would never be freed."""
        for place in self.alive():
            self.running[place].kill()

    def check(self, fair: bool) -> None:
        """Raises `BrokenError` if something does not hold."""
        holders = self.holders()
        if fair and len(holders) > 1:
            raise BrokenError(f"{' and '.join(holders)} train at the same time")
        for process in self.running.values():
            if process.dead and process.error and not isinstance(process.error, UserError | BucketError):
                raise BrokenError(f"a process ends with {process.error!r}")

    def settle(self) -> None:
        """Everybody reaches the store again: at most one goes on. When all have ended, a new one gets the lease."""
        self.cut_off.clear()
        for _ in range(_CALM):
            self.pass_time(BEAT / 2)
        if len(self.holders()) > 1:
            raise BrokenError(f"{' and '.join(self.holders())} go on training")
        self.kill_all()
        self.start("d")
        for _ in range(_CALM):
            self.pass_time(BEAT / 2)
        if self.holders() != ["d"]:
            raise BrokenError(f"nobody gets the lease: {self.running['d'].error!r}")


def play(seed: int) -> list[str]:
    """Plays the schedule of a seed; each third one is fair. Returns what was done.

    Raises:
        BrokenError: something does not hold.
    """
    rng = random.Random(seed)
    hosts, fair = Hosts(rng), seed % 3 == 0
    try:
        for _ in range(rng.randint(5, 40)):
            act(hosts, rng, fair)
            hosts.check(fair)
        hosts.settle()
    except BrokenError as error:
        error.add_note("\n".join(hosts.log))
        raise
    finally:
        hosts.kill_all()
    return hosts.log


def act(hosts: Hosts, rng: random.Random, fair: bool) -> None:
    """Does one thing."""
    place, seconds = rng.choice(PLACES), rng.choice([0.1, BEAT / 2, BEAT] if fair else [0.1, BEAT, PATIENCE, 3 * PATIENCE])
    name = rng.choice(["start", "run", "time", "time", "end", "kill", *([] if fair else ["alone", "cut off", "reconnect"])])
    process = hosts.running.get(place)
    is_alive = process is not None and not process.dead
    hosts.log.append(f"{name} {place} {seconds}")
    if name == "start" and not is_alive:
        hosts.start(place)
    elif name == "time":
        hosts.pass_time(seconds)
    elif name == "cut off":
        hosts.cut_off.add(place)
    elif name == "reconnect":
        hosts.cut_off.discard(place)
    elif process is not None and is_alive:
        if name == "alone":  # the others are not scheduled
            hosts.machine.clock += seconds
            hosts.machine.advance(process, rng.randint(1, 30))
        elif name == "run":
            hosts.machine.advance(process, rng.randint(1, 30))
        elif name == "kill":
            process.kill()
        elif name == "end":
            hosts.ends.add(process)


@contextmanager
def replaced() -> Iterator[None]:
    """In the block, leases use the machine of the latest `Hosts`."""
    with mock.patch.multiple(lease, threading=_Threading, time=_Time):
        yield


class _Time:
    """Stands in for the module."""

    @staticmethod
    def monotonic() -> float:
        return Hosts.current.machine.clock

    @staticmethod
    def sleep(seconds: float) -> None:
        _wait(lambda: False, seconds)


def _wait(until: Callable[[], bool], seconds: float) -> None:
    machine = Hosts.current.machine
    assert machine.running is not None
    machine.call()
    end = machine.clock + seconds
    machine.running.wait(lambda: until() or machine.clock >= end)


class _Event:
    def __init__(self) -> None:
        self._is_set = False

    def set(self) -> None:
        self._is_set = True

    def wait(self, timeout: float) -> bool:
        _wait(lambda: self._is_set, timeout)
        return self._is_set


class _Thread:
    def __init__(self, target: Callable[[], None], daemon: bool) -> None:
        self._target = target

    def start(self) -> None:
        running = Hosts.current.machine.running
        assert running is not None
        self._thread = running.process.spawn(self._target)

    def join(self, seconds: float) -> None:
        _wait(self._has_ended, seconds)

    def is_alive(self) -> bool:
        return not self._has_ended()

    def _has_ended(self) -> bool:
        return self._thread.ended


class _Threading:
    """Stands in for the module."""

    Event, Thread = _Event, _Thread


def failures(first: int, count: int) -> Iterator[tuple[int, BrokenError]]:
    """The seeds that fail, with the reasons."""
    return failing(play, first, count)


def main(arguments: list[str] | None = None) -> int:
    """Plays what the command line says."""
    return run(play, replaced, "tests.simulated.leases", __doc__ or "", arguments)


if __name__ == "__main__":
    sys.exit(main())
