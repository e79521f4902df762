"""The lease on a run: who gets it, who is refused, and who must end."""

import json
import os
import platform
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from resnet.core.buckets import BucketError
from resnet.core.errors import UserError
from tasks.training import lease
from tasks.training.lease import Lease
from tasks.training.store import Store, open_store

DEAD = json.dumps({"host": "other", "process": 7, "folder": "/runs", "place": "there", "beat": 3}).encode()


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(lease, "BEAT", 0.02)
    return open_store(str(tmp_path))


def make(store: Store, place: str, said: list[str] | None = None) -> Lease:
    return Lease(store, "run", place, (said if said is not None else []).append)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_lease_changes_while_it_is_held_and_is_given_back(store: Store) -> None:
    with make(store, "here") as held:
        first = store.read("run", "lease-00000001")
        until(lambda: store.read("run", "lease-00000001") != first)
        assert held.taken_by is None
    with make(store, "there"):  # does not wait for it
        assert store.names("run") == ["lease-00000002"]


def test_another_host_is_refused_while_the_holder_lives(store: Store) -> None:
    expected = (
        rf"^process {os.getpid()} on {re.escape(platform.node())} in {re.escape(str(Path.cwd()))} is training this very run; "
    )
    with make(store, "here"), pytest.raises(UserError, match=expected):
        make(store, "there").__enter__()


def test_the_lease_of_a_dead_host_ends_by_itself(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "PATIENCE", 0.3)
    said: list[str] = []
    store.write(DEAD, "run", "lease-00000004")
    with make(store, "here", said):
        assert store.names("run") == ["lease-00000005"]
    assert said == [
        "train: waits up to 0 s for a sign of life of process 7 on other in /runs, which has trained this run",
        "train: process 7 on other in /runs gave no sign of life for 0 s; this host goes on with the run",
    ]


def test_nobody_waits_for_a_killed_process_of_the_same_place(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "PATIENCE", 1e9)
    store.write(DEAD, "run", "lease-00000001")
    with make(store, "there"):
        assert store.names("run") == ["lease-00000002"]


def test_of_two_that_wait_one_gets_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "PATIENCE", 0.0)
    store.write(DEAD, "run", "lease-00000001")
    create = store.create

    def late(content: bytes, *names: str) -> None:
        monkeypatch.setattr(store, "create", create)
        store.write(DEAD, *names)  # the other one was faster
        create(content, *names)

    monkeypatch.setattr(store, "create", late)
    with pytest.raises(UserError, match="^process 7 on other in /runs is training this very run"):
        make(store, "here").__enter__()


def test_a_holder_that_was_cut_off_learns_who_has_the_run(store: Store) -> None:
    with make(store, "here") as held:
        store.write(DEAD, "run", "lease-00000002")
        until(lambda: held.taken_by)
        assert held.taken_by == "process 7 on other in /runs"
    assert "lease-00000002" in store.names("run")


def test_a_store_that_is_away_for_a_while_does_no_harm(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    names, asked = store.names, list[int]()

    def away(*folder: str) -> list[str]:
        asked.append(1)
        if len(asked) < 4:
            raise BucketError("away")
        return names(*folder)

    with make(store, "here") as held:
        first = store.read("run", "lease-00000001")
        monkeypatch.setattr(store, "names", away)
        until(lambda: store.read("run", "lease-00000001") != first)
        assert (len(asked) >= 4, held.taken_by) == (True, None)


def test_a_store_that_does_not_answer_is_not_waited_for_at_the_end(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT", 1e6)
    monkeypatch.setattr(lease, "_LEAVING", 0.2)
    said, answers = list[str](), threading.Event()
    held = make(store, "here", said)
    with held:
        monkeypatch.setattr(store, "write", lambda *_: answers.wait(600))
    assert said == [
        "train: the lease on the run run could not be given back (the store has not answered for 0.2 s); it ends by itself"
    ]
    answers.set()
    held._thread.join(600)


def test_a_lease_that_cannot_be_given_back_ends_by_itself(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise BucketError("away")

    said: list[str] = []
    with make(store, "here", said):
        monkeypatch.setattr(store, "write", fail)
    assert said == ["train: the lease on the run run could not be given back (away); it ends by itself"]


def test_the_name_of_a_holder_cannot_write_to_the_terminal(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with make(store, "here") as held:
        store.write(json.dumps({"host": "x", "process": 7, "folder": "/\x1b[2J\u202e"}).encode(), "run", "lease-00000002")
        until(lambda: held.taken_by)
        assert held.taken_by == "process 7 on x in /\\x1b[2J\\u202e"


def test_a_lease_of_an_earlier_version_has_no_folder(store: Store) -> None:
    with make(store, "here") as held:
        store.write(b'{"host": "x", "process": 7}', "run", "lease-00000002")
        until(lambda: held.taken_by)
        assert held.taken_by == "process 7 on x"


@pytest.mark.parametrize("content", [b"", b"[1]", b"\xff\x00", b"{}"])
def test_a_damaged_lease_has_no_name(content: bytes, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "PATIENCE", 0.1)
    store.write(content, "run", "lease-00000001")
    with make(store, "here") as held:
        store.write(content, "run", "lease-00000009")
        until(lambda: held.taken_by)
        assert held.taken_by == "another host"


def test_a_lease_whose_answer_was_lost_is_our_own(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    create = store.create

    def twice(content: bytes, *names: str) -> None:  # as a client that repeats a request
        create(content, *names)
        create(content, *names)

    monkeypatch.setattr(store, "create", twice)
    with make(store, "here") as held:
        assert held.taken_by is None
