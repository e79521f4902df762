"""What the doctor finds about the store of checkpoints: a bucket of an S3 server on loopback, and a folder."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands.checkup import checkpoint_store
from commands.checkup.checkpoint_store import check_checkpoint_store
from commands.checkup.findings import Finding
from resnet.core.buckets import BucketError
from tasks.training.store import Folder
from tests.s3_store import BUCKET, Fault, Store

ALWAYS = 10**6
URL = f"s3://{BUCKET}/checkpoints"
NAMED = f"TRAIN_RESNET_CHECKPOINT_REMOTE is {URL}"


@pytest.fixture
def bucket(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The server; at its end nothing is left there."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", store.url)
    monkeypatch.setenv("TRAIN_RESNET_CHECKPOINT_REMOTE", URL)
    yield store
    assert store.names() == []


def the_one() -> Finding:
    (found,) = check_checkpoint_store()
    return found


def test_without_the_variable_there_is_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRAIN_RESNET_CHECKPOINT_REMOTE", raising=False)
    assert list(check_checkpoint_store()) == []


def test_a_bucket_that_can_be_used(bucket: Store) -> None:
    assert the_one() == Finding("checkpoints", f"{NAMED}, which can be read and written to")


@pytest.mark.parametrize(
    ("passed", "said"),
    [
        (0, "it cannot be listed: access is denied to these credentials"),
        (1, "it cannot be written to: access is denied to these credentials"),
    ],
)
def test_a_right_that_is_missing_is_named(passed: int, said: str, bucket: Store) -> None:
    with bucket.failing(Fault("AccessDenied", after=passed, count=ALWAYS)):
        found = the_one()
    assert (found.wrong, found.found) == (True, f"{NAMED}, which cannot be used: {said}")
    assert "s3:DeleteObject" in found.remedy


def test_a_bucket_that_does_not_exist(bucket: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAIN_RESNET_CHECKPOINT_REMOTE", "s3://elsewhere")
    assert the_one().found.endswith("is s3://elsewhere, which cannot be used: it cannot be written to: there is no such bucket")


def test_a_password_in_the_address_is_not_printed(bucket: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAIN_RESNET_CHECKPOINT_REMOTE", "s3://me:secret@elsewhere")
    found = the_one()
    assert found.found.endswith(
        "is s3://...@elsewhere, which cannot be used: it cannot be listed: no bucket can have this name"
    )


def test_a_server_that_does_not_answer_is_not_waited_for(bucket: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint_store, "_SECONDS", 1.0)
    with bucket.failing(Fault("hang", count=ALWAYS)):
        assert the_one().found == f"{NAMED}, which cannot be used: it does not answer within 1 s"
    for thread in threading.enumerate():
        if thread.name == "doctor":  # goes on now, and removes what it writes
            thread.join(60)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRAIN_RESNET_CHECKPOINT_REMOTE", str(tmp_path / "store"))
    return tmp_path / "store"


def test_a_folder_that_can_be_used_is_empty_afterwards(folder: Path) -> None:
    folder.mkdir()
    assert the_one() == Finding("checkpoints", f"TRAIN_RESNET_CHECKPOINT_REMOTE is {folder}, which can be read and written to")
    assert list(folder.iterdir()) == []


def test_a_folder_that_does_not_exist_is_said_to_be_new(folder: Path) -> None:
    named = f"TRAIN_RESNET_CHECKPOINT_REMOTE is {folder}, a folder that does not exist yet; training will make it"
    assert the_one() == Finding("checkpoints", named)
    assert not folder.exists()


def test_a_file_is_no_store(folder: Path) -> None:
    folder.touch()
    assert the_one().found.endswith(": it cannot be opened: it is a file, and a folder is expected")


def test_a_disk_that_is_not_mounted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAIN_RESNET_CHECKPOINT_REMOTE", "/no/such/disk/runs")
    assert the_one().found.endswith(": it cannot be opened: there is no folder /no/such/disk; mount the disk, or make it")


def test_a_storage_that_makes_an_object_twice_does_not_keep_two_hosts_apart(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Folder, "create", Folder.write)
    assert the_one().found.endswith("cannot be used: it ignores `If-None-Match`, so two hosts could train one run")
    assert list(folder.iterdir()) == []


def test_an_object_that_cannot_be_removed_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise BucketError("Access Denied")

    monkeypatch.setattr(Folder, "remove", refuse)
    found = the_one()
    (left,) = folder.iterdir()
    assert found.found.endswith(f"it cannot remove an object, so {left.name} stays there: Access Denied")


def test_an_answer_that_was_lost_is_no_fault_of_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create, lost = Folder.create, [True]

    def made_twice(self: Folder, content: bytes, *names: str) -> None:
        create(self, content, *names)
        if lost and lost.pop():
            create(self, content, *names)  # as a client does that got no answer

    monkeypatch.setattr(Folder, "create", made_twice)
    monkeypatch.setenv("TRAIN_RESNET_CHECKPOINT_REMOTE", str(tmp_path))
    assert not the_one().wrong
