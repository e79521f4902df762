"""Checkpoints in a store that hosts share: a run that is killed on one host goes on on another one and gives the same bytes.

`TRAIN_RESNET_CHECKPOINT_REMOTE=s3://bucket/folder` switches it on. It is a variable of the environment and no parameter,
because it does not decide the bytes. The store has a folder for each run, named by the fingerprint, with the facts of the run,
its newest checkpoints, and the lease (see `tasks/training/lease.py`). A checkpoint has its SHA-256 in its name, and what was
downloaded is compared with it.
"""

import hashlib
import json
import os
import platform
import re
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from resnet.core.buckets import BucketError, without_password
from resnet.core.checksums import sha256
from resnet.core.errors import UserError, printable
from tasks.training.fingerprint import Facts, differences
from tasks.training.lease import Lease
from tasks.training.progress import say
from tasks.training.runs import Run, begun
from tasks.training.store import Store, UnfitError, open_store

if TYPE_CHECKING:
    from resnet.training.checkpoint_files import Checkpoint

VARIABLE = "TRAIN_RESNET_CHECKPOINT_REMOTE"
_FACTS = "facts.json"
_PLACE = "place"
# Beginnings of the names of facts; with `train.accumulate: auto` the memory of the host decides.
_OF_THE_HOST = ("machine.", "version.", "environment.", "precision", "train.accumulate")
_RUN = re.compile(r"[0-9a-f]{16}")
_LEAVING = 60.0  # seconds for the last copy, if training was stopped or has failed
_AT_ONCE = 16  # runs of the store that are read: a bucket takes a tenth of a second for each request
_MOST_COMPARED = 1000  # runs of the store with the one that begins, which takes some ten seconds


@contextmanager
def shared(run: Run) -> Iterator["Shared | None"]:
    """The run in the store that the environment names, reserved for this host in the block; None if it names none.

    Args:
        run: reserved for this process.

    Raises:
        UserError: the store cannot be used, or another host trains the run.
    """
    url = os.environ.get(VARIABLE)
    if not url:
        yield None
        return
    try:
        store = open_store(url)
        with Lease(store, run.folder.name, _place(run), say) as lease:
            made = Shared(store, run, lease)
            try:
                yield made
            except BaseException:
                made.close(_LEAVING)
                raise
            made.close()
    except BucketError as error:
        raise _unusable(url, error) from error


def _unusable(url: str, error: BucketError) -> UserError:
    return UserError(
        f"{VARIABLE} is {without_password(url)}, but that store cannot be used ({error}): correct the address or the "
        "credentials, or unset the variable."
    )


@dataclass(frozen=True)
class StoredRun:
    """A run in the store.

    Attributes:
        name: the ID of the run, which is the fingerprint of its facts.
        facts: as they were found there; empty if they cannot be parsed.
        newest: checkpoint.
        fault: why the store does not give what it has of this run; None if it does.
    """

    name: str
    facts: Facts
    newest: "Checkpoint | None"
    fault: str | None = None


def list_stored() -> Iterator[StoredRun]:
    """The runs in the store that the environment names.

    Raises:
        UserError: the store cannot be used.
    """
    url = os.environ.get(VARIABLE)
    if not url:
        return
    try:
        store = open_store(url)
        yield from _read_runs(store, _runs(store))
    except BucketError as error:
        raise _unusable(url, error) from error


def _runs(store: Store) -> list[str]:
    return [name for name in store.names() if _RUN.fullmatch(name)]


def _read_runs(store: Store, names: Sequence[str]) -> Iterator[StoredRun]:
    """The runs of these names, in their order. One that cannot be read hides no other.

    Raises:
        BucketError: the store itself cannot be used.
    """
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield from pool.map(partial(_read_run, store), names)


def _read_run(store: Store, name: str) -> StoredRun:
    from resnet.training.checkpoint_files import sort

    try:
        newest = next(iter(sort(map(Path, store.names(name)))), None)
        return StoredRun(name, _parsed(store.read(name, _FACTS)), newest)
    except BucketError as error:
        store.names()  # does the store answer at all?
        return StoredRun(name, {}, None, str(error))


def _place(run: Run) -> str:
    """Identifies the folder of a run on this host. A copy of the folder is another place."""
    path = run.folder / _PLACE
    if not path.exists():
        path.write_text(uuid.uuid4().hex, encoding="utf-8")
    here = (path.read_text("utf-8"), platform.node(), str(uuid.getnode()), str(run.folder.resolve()))
    return hashlib.sha256("\n".join(here).encode()).hexdigest()


class Shared:
    """The run in the store; `shared` makes it.

    Args:
        store: that the hosts share.
        run: on this host.
        lease: on the run.
    """

    def __init__(self, store: Store, run: Run, lease: Lease) -> None:
        self._store = store
        self._run = run
        self._lease = lease
        self._wanted = threading.Event()
        self._over = self._failed = False
        self._copied = 0
        self._damaged: set[str] = set()  # in the store
        self._processor_seconds = 0.0
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def fetch(self, runs: Iterator[Run], largest: int) -> None:
        """Downloads the newest checkpoint of the first run that has one, if the store has a newer one than this host.

        Args:
            runs: this run and those that it continues, see `tasks.training.resume.sources`.
            largest: bytes that a checkpoint of them can have.

        Raises:
            BucketError: the store cannot be used.
            UserError: a run that it continues is being trained, or the disk is full.
        """
        from resnet.training.checkpoint_files import list_checkpoints

        for run in runs:
            # A damaged one does not count: the store may have it undamaged.
            newest = next((one for one in list_checkpoints(run.folder) if sha256(one.path) in one.path.name), None)
            newer = [one for one in self._listed(run) if newest is None or _at(one) > _at(newest)]
            if newer:
                with nullcontext() if run.folder == self._run.folder else begun(run.folder.parent, run.facts):
                    any(self._download(run, one.path.name, largest) for one in newer)
            if run.newest is not None:
                return
        self._name_what_differs()

    def copy(self) -> None:
        """A checkpoint was written; a thread copies the newest one to the store while training goes on."""
        self._wanted.set()

    def check(self) -> None:
        """Ends the training if another host has taken the run over.

        Raises:
            UserError: it has.
        """
        if self._lease.taken_by:
            raise UserError(
                f"{self._lease.taken_by} has taken over this run, because this host could not reach the store for too long: "
                "let the run go on there."
            )

    def finish(self) -> None:
        """Waits for the last copy. A complete run keeps one checkpoint in the store, for a longer run that continues it."""
        self.close()
        try:
            for old in self._listed(self._run)[1:]:
                self._store.remove(self._run.folder.name, old.path.name)
        except BucketError as error:
            say(f"train: an old checkpoint stays in the store ({error})")

    def close(self, seconds: float | None = None) -> None:
        """Waits until the newest checkpoint is copied, or its copy has failed.

        Args:
            seconds: for how long at most; without a limit if None.
        """
        self._over = True
        self._wanted.set()
        self._thread.join(seconds)
        if self._thread.is_alive():
            say(f"train: the store did not take the last checkpoint within {seconds:g} s; only this host has it")

    def cost(self) -> dict[str, float]:
        """The number of copies, and the processor time of the thread that makes them."""
        return {"copied": self._copied, "copying_processor_seconds": round(self._processor_seconds, 2)}

    def _listed(self, run: Run) -> "list[Checkpoint]":
        from resnet.training.checkpoint_files import sort

        return sort(map(Path, self._store.names(run.folder.name)))

    def _download(self, run: Run, name: str, largest: int) -> bool:
        """Whether the checkpoint is undamaged, and on this host now."""
        incomplete = run.folder / f".{name}"  # the next start removes what begins with a point
        fault = "it is damaged"
        try:
            for _ in range(2):  # the way here may have damaged it
                self._store.get(incomplete, run.folder.name, name, largest=largest)
                if sha256(incomplete) in name:
                    incomplete.replace(run.folder / name)
                    say(f"train: takes a newer checkpoint of the run {run.folder.name} from the store")
                    return True
            incomplete.unlink()
        except UnfitError as error:
            fault = str(error)
        except BucketError as error:  # of this object, such as one that another host has removed meanwhile?
            self._store.names()
            fault = str(error)
        self._damaged.add(name)
        say(f"train: the checkpoint {name} of the run {run.folder.name} in the store is not used: {fault}")
        return False

    def _name_what_differs(self) -> None:
        """Names what keeps this host from going on with a run of the store that has the same parameters, data and code."""
        names = _runs(self._store)
        for one in _read_runs(self._store, names[:_MOST_COMPARED]):
            others = differences(one.facts, self._run.facts) if one.facts else []
            if others and all(other.startswith(_OF_THE_HOST) for other in others):
                here, there = self._run.facts, one.facts
                found = ", ".join(f"{other} is {here.get(other)} here and {there.get(other)} there" for other in others)
                found = printable(found)  # others write there too
                say(f"train: the store has the run {one.name}, which could go on here if its host were like this one: {found}")
        if (left := len(names) - _MOST_COMPARED) > 0:
            say(f"train: {left:,} of the {len(names):,} runs in the store were not compared with this one")

    def _work(self) -> None:
        over = False
        while not over:
            self._wanted.wait()
            over = self._over  # before the copy: what was written before `close` must be part of it
            self._wanted.clear()
            began = time.thread_time()
            try:
                self._copy_newest()
                self._failed = False
            except (BucketError, OSError) as error:
                if not self._failed:
                    say(f"train: a checkpoint could not be copied to the store ({error}); the next one will be tried too")
                self._failed = True
            self._processor_seconds += time.thread_time() - began

    def _copy_newest(self) -> None:
        from resnet.training.checkpoint_files import KEPT

        newest, run = self._run.newest, self._run.folder.name
        if newest is None or self._lease.taken_by:
            return
        names = self._store.names(run)
        if newest.path.name in names and newest.path.name not in self._damaged:
            return
        if _FACTS not in names:
            self._store.write(json.dumps(self._run.facts, sort_keys=True).encode(), run, _FACTS)
        self._store.put(newest.path, run, newest.path.name)
        self._copied += 1
        self._damaged.discard(newest.path.name)
        for old in self._listed(self._run)[KEPT:]:
            self._store.remove(run, old.path.name)


def _parsed(content: bytes | None) -> Facts:
    try:
        facts = json.loads(content or b"")
    except (ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _at(checkpoint: "Checkpoint") -> tuple[int, int]:
    return checkpoint.epoch, checkpoint.step
