"""A store that hosts share: a folder, and a bucket of an S3 server on loopback."""

import os
import platform
from collections.abc import Iterator
from pathlib import Path

import pytest

from resnet.core.buckets import BucketError
from tasks.training.store import LARGEST_READ, TakenError, UnfitError, open_store
from tests.s3_store import BUCKET
from tests.s3_store import Store as Server


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, str]]:
    with Server() as server:
        yield server.environment


@pytest.fixture(params=["folder", "bucket"])
def url(request: pytest.FixtureRequest, tmp_path: Path, server: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    return str(tmp_path / "store") if request.param == "folder" else f"s3://{BUCKET}/{tmp_path.name}"


def test_what_is_written_is_read(url: str, tmp_path: Path) -> None:
    store = open_store(url)
    assert store.names() == store.names("run") == []
    assert store.read("run", "facts") is None
    store.write(b"old", "run", "facts")
    store.write(b"new", "run", "facts")
    assert store.read("run", "facts") == b"new"
    (tmp_path / "large").write_bytes(bytes(range(256)) * 1000)
    store.put(tmp_path / "large", "run", "large")
    store.get(tmp_path / "copy", "run", "large", largest=256_000)
    assert (tmp_path / "copy").read_bytes() == (tmp_path / "large").read_bytes()
    with pytest.raises(UnfitError, match="^large has 256,000 bytes or more, and 255,999 at most are expected$"):
        store.get(tmp_path / "copy", "run", "large", largest=255_999)
    assert not (tmp_path / "copy").exists()
    assert (store.names(), store.names("run")) == (["run"], ["facts", "large"])
    store.remove("run", "facts")
    store.remove("run", "facts")
    assert open_store(f"{url}/").names("run") == ["large"]


def test_what_is_read_into_memory_has_a_limit(url: str) -> None:
    store = open_store(url)
    store.write(bytes(LARGEST_READ), "run", "facts")
    assert store.read("run", "facts") == bytes(LARGEST_READ)
    store.write(bytes(LARGEST_READ + 1), "run", "facts")
    with pytest.raises(UnfitError, match="^facts has 1,048,577 bytes or more, and 1,048,576 at most are expected$"):
        store.read("run", "facts")
    store.write(b"", "run", "facts")
    assert store.read("run", "facts") == b""


def test_a_file_without_an_end_is_not_read_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "large").write_bytes(bytes(3_000_000))
    # Some file systems, such as /proc, say 0 bytes.
    monkeypatch.setattr(os, "fstat", lambda _: os.stat_result([0] * 10))
    with pytest.raises(UnfitError, match="^large has 1,048,577 bytes or more"):
        open_store(str(tmp_path)).read("large")
    with pytest.raises(UnfitError, match="^large has 2,097,152 bytes or more, and 1,500,000 at most"):
        open_store(str(tmp_path)).get(tmp_path / "copy", "large", largest=1_500_000)
    assert not (tmp_path / "copy").exists()


def test_a_file_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "store").touch()
    with pytest.raises(BucketError, match="^it is a file, and a folder is expected$"):
        open_store(str(tmp_path / "store"))


def test_one_of_two_creates_an_object(url: str) -> None:
    first, second = open_store(url), open_store(url)
    first.create(b"mine", "run", "lease")
    with pytest.raises(TakenError, match="^lease exists$"):
        second.create(b"yours", "run", "lease")
    assert second.read("run", "lease") == b"mine"


def test_a_bucket_that_is_not_there_is_one_line(server: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(BucketError, match=r"^The specified bucket does not exist$"):
        open_store("s3://nowhere/runs").create(b"mine", "run", "lease")


def test_a_server_that_is_not_there_is_one_line(server: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(BucketError, match=r'^Could not connect to the endpoint URL: "http://127.0.0.1:9"$'):
        open_store(f"s3://{BUCKET}").names()


@pytest.mark.parametrize("url", ["nonsense://bucket", "s3://"])
def test_an_address_without_a_meaning_is_one_line(url: str) -> None:
    with pytest.raises(BucketError, match="^[^\n]+[^.]$"):
        open_store(url).create(b"mine", "run", "lease")


def test_leftovers_of_killed_processes_go_and_those_of_living_ones_stay(tmp_path: Path) -> None:
    here = platform.node()
    left, living = tmp_path / "run" / f".{here}-4194305-large", tmp_path / "run" / f".{here}-{os.getpid()}-other"
    left.parent.mkdir()
    left.touch()
    living.touch()
    open_store(str(tmp_path)).write(b"new", "run", "facts")
    assert sorted(path.name for path in left.parent.iterdir()) == sorted([living.name, "facts"])


def test_a_folder_whose_disk_is_not_mounted_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(BucketError, match=f"^there is no folder {tmp_path}/disk; mount the disk"):
        open_store(f"{tmp_path}/disk/checkpoints")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_examined_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BucketError, match="File name too long"):
        open_store(f"{tmp_path}/{'a' * 300}/checkpoints")
