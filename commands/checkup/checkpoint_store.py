"""The store in which several hosts share checkpoints: whether training could use it."""

import os
import threading
import uuid
from collections.abc import Iterator
from contextlib import suppress

from commands.checkup.findings import Finding
from commands.storage_errors import meaning
from resnet.core.buckets import BucketError, without_password
from resnet.core.errors import printable
from tasks.training.moving import VARIABLE
from tasks.training.store import Folder, Store, TakenError, open_store

_SECONDS = 30.0  # for all requests; the clients repeat some of them, and a network disk may never answer
_REMEDY = (
    "correct the address, or the credentials in ~/.aws or the environment, which needs the rights s3:ListBucket, s3:GetObject, "
    "s3:PutObject and s3:DeleteObject; docs/operations.md, A run that moves"
)


def check_checkpoint_store() -> Iterator[Finding]:
    """Whether the store that the environment names can be listed, and an object written, read and removed there."""
    url = os.environ.get(VARIABLE)
    if not url:
        return
    found: list[Finding] = []
    trial = threading.Thread(target=lambda: found.append(_tried(url)), name="doctor", daemon=True)
    trial.start()
    trial.join(_SECONDS)
    yield from found or [_unusable(url, f"it does not answer within {_SECONDS:.0f} s")]


def _tried(url: str) -> Finding:
    name, done = f"train-resnet-doctor-{uuid.uuid4().hex}", "be opened"
    store: Store | None = None
    try:
        store = open_store(url)
        absent = store.top if isinstance(store, Folder) and not store.top.exists() else None
        done = "be listed"
        store.names()
        done = "be written to"
        alone = _creates_once(store, name)
        done = "give back what was written"
        kept = store.read(name) == name.encode()
        done = f"remove an object, so {name} stays there"
        store.remove(name)
    except BucketError as error:
        _try_to_remove(store, name)
        known = meaning(error, VARIABLE)
        return _unusable(url, f"it cannot {done}: {known[0] if known else error}")
    if not kept:
        return _unusable(url, "it gives back other bytes than were written")
    if not alone:
        return _unusable(url, "it ignores `If-None-Match`, so two hosts could train one run")
    if absent:
        with suppress(OSError):  # another host may use it by now
            absent.rmdir()
        return Finding("checkpoints", f"{_named(url)}, a folder that does not exist yet; training will make it")
    return Finding("checkpoints", f"{_named(url)}, which can be read and written to")


def _creates_once(store: Store, name: str) -> bool:
    """Makes an object. Returns whether the store refuses to make it again, which leases need."""
    try:
        store.create(name.encode(), name)
    except TakenError:
        if store.read(name) != name.encode():  # otherwise the answer was lost, and the client asked again
            raise
    try:
        store.create(name.encode(), name)
    except TakenError:
        return True
    return False


def _try_to_remove(store: Store | None, name: str) -> None:
    if store is not None:
        with suppress(BucketError):
            store.remove(name)


def _unusable(url: str, why: str) -> Finding:
    return Finding("checkpoints", f"{_named(url)}, which cannot be used: {printable(why)}", wrong=True, remedy=_REMEDY)


def _named(url: str) -> str:
    return f"{VARIABLE} is {printable(without_password(url))}"
