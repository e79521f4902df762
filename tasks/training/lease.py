"""A lease on a run in a store that several hosts share: one of them trains the run, and if it dies, another one may.

A lease is an object `lease-00000003`. Whoever holds it changes it every few seconds. Who finds a lease watches it: if it
changes, its holder is alive; if it stays the same for `PATIENCE` seconds, its holder is dead or cut off. Then the next number
can be created, which only one host can do. So no two clocks are compared. A lease that is given back stays, marked, because
numbers must not begin again. Before each change the holder looks for a higher number: then it was cut off for so long that
another host has taken the run over, and it ends. Leases of this kind are described by Gray and Cheriton
(https://doi.org/10.1145/74850.74870).

Two hosts may train one run for some seconds, until the first one notices. That harms nothing: they compute the same bytes, and
checkpoints are named by their content.
"""

import json
import os
import platform
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from resnet.core.buckets import BucketError
from resnet.core.errors import UserError, printable
from tasks.training.store import Store, TakenError

BEAT = 10.0  # seconds between two changes
PATIENCE = 60.0  # seconds without a change after which the holder counts as dead
_LEAVING = 10.0  # seconds in which the lease can be given back; otherwise it ends by itself
_NAME = re.compile(r"lease-(\d{8})")


class Lease:
    """The lease on a run, held in the block.

    Args:
        store: that the hosts share.
        run: the name of its folder there.
        place: identifies the folder of the run on this host, which this process has locked. A lease of the same place belongs
            to a process that was killed, so nobody waits for it.
        say: is told that it waits.
    """

    def __init__(self, store: Store, run: str, place: str, say: Callable[[str], None]) -> None:
        self._store = store
        self._run = run
        self._place = place
        self._folder = str(Path.cwd())  # tells two clones on one host apart
        self._say = say
        self._number = self._beats = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._taken_by: str | None = None

    def __enter__(self) -> Self:
        """Takes the lease.

        Raises:
            UserError: another host holds it.
            BucketError: the store cannot be used.
        """
        newest = self._newest()
        if newest and self._is_alive(newest):
            raise self._refusal(newest)
        self._number = newest + 1
        content = self._content()
        try:
            self._store.create(content, self._run, _name(self._number))
        except TakenError:
            # It is our own if the answer was lost and the client has asked again.
            if self._store.read(self._run, _name(self._number)) != content:
                raise self._refusal(self._number) from None
        # Between the two requests others may have held this number and a higher one, and removed this one.
        latest = self._newest()
        if latest > self._number:
            raise self._refusal(latest)
        self._remove_older()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        self._thread.join(_LEAVING)
        if self._thread.is_alive():
            self._not_given_back(f"the store has not answered for {_LEAVING:g} s")

    @property
    def taken_by(self) -> str | None:
        """The host that has taken the run over; None while this one holds the lease."""
        return self._taken_by

    def _newest(self) -> int:
        numbers = [int(match[1]) for match in map(_NAME.fullmatch, self._store.names(self._run)) if match]
        return max(numbers, default=0)

    def _is_alive(self, number: int) -> bool:
        """Watches a lease until it changes or its holder counts as dead."""
        seen, since, told = self._store.read(self._run, _name(number)), time.monotonic(), False
        while not self._is_free(seen) and time.monotonic() - since < PATIENCE:
            time.sleep(BEAT / 10)
            if not told and time.monotonic() - since > BEAT:
                self._say(
                    f"train: waits up to {PATIENCE:.0f} s for a sign of life of {_holder(seen)}, which has trained this run"
                )
                told = True
            now = self._store.read(self._run, _name(number))
            if now != seen and not self._is_free(now):
                return True
            seen = now
        if not self._is_free(seen):
            self._say(f"train: {_holder(seen)} gave no sign of life for {PATIENCE:.0f} s; this host goes on with the run")
        return False

    def _is_free(self, content: bytes | None) -> bool:
        """Whether a lease was given back, or is that of a process of this place, which was killed, or is no longer there."""
        facts = _facts(content)
        return content is None or facts.get("given_back") is True or facts.get("place") == self._place

    def _refusal(self, number: int) -> UserError:
        holder = _holder(self._store.read(self._run, _name(number)))
        return UserError(
            f"{holder} is training this very run; wait until it has finished, or end it with SIGTERM, which saves its work."
        )

    def _content(self, *, given_back: bool = False) -> bytes:
        self._beats += 1
        here = {"host": platform.node(), "process": os.getpid(), "folder": self._folder, "place": self._place}
        return json.dumps({**here, "beat": self._beats, "given_back": given_back}).encode()

    def _not_given_back(self, why: object) -> None:
        self._say(f"train: the lease on the run {self._run} could not be given back ({why}); it ends by itself")

    def _keep(self) -> None:
        """Changes the lease until another host has taken it, or gives it back at the end."""
        while not self._over.wait(BEAT):
            try:
                newest = self._newest()
                if newest > self._number:
                    self._taken_by = _holder(self._store.read(self._run, _name(newest)))
                    return
                self._store.write(self._content(), self._run, _name(self._number))
            except BucketError:
                continue  # the store may be away for a while
        try:
            self._store.write(self._content(given_back=True), self._run, _name(self._number))
        except BucketError as error:
            self._not_given_back(error)

    def _remove_older(self) -> None:
        for name in self._store.names(self._run):
            match = _NAME.fullmatch(name)
            if match and int(match[1]) < self._number:
                self._store.remove(self._run, name)


def _name(number: int) -> str:
    return f"lease-{number:08d}"


def _facts(content: bytes | None) -> dict[str, Any]:
    try:
        facts = json.loads(content or b"")
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}


def _holder(content: bytes | None) -> str:
    facts = _facts(content)
    if not {"process", "host"} <= facts.keys():
        return "another host"
    where = f" in {facts['folder']}" if "folder" in facts else ""
    return printable(f"process {facts['process']} on {facts['host']}{where}")
