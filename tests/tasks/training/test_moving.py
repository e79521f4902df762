"""Checkpoints in a store that hosts share: what is copied, what is fetched, and what is said."""

import json
import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from resnet.core.buckets import BucketError
from resnet.core.errors import UserError
from resnet.training.checkpoint_files import list_checkpoints, write_checkpoint
from resnet.training.state import Snapshot
from tasks.training import lease, moving
from tasks.training.fingerprint import Facts
from tasks.training.moving import StoredRun, list_stored, shared
from tasks.training.resume import sources
from tasks.training.runs import Run, begun, home
from tasks.training.store import Folder, Store, open_store
from tests.tasks.training.test_lease import until

FACTS: Facts = {
    "train.epochs": 3,
    "train.restarts": [],
    "machine.processor": "Xeon",
    "version.keras": "3.15.0",
    "train.accumulate": 1,
    "data.classes.json": "12",
}
LARGEST = 1000  # bytes of a checkpoint here, which has some hundred


class Host:
    """A host with a project; the store is a folder."""

    def __init__(self, folder: Path) -> None:
        self.home = home(folder)

    def save(self, run: Run, epoch: int, step: int) -> Path:
        write_checkpoint(run.folder, Snapshot({"a": np.arange(epoch + step, dtype=np.float32)}, {"epoch": epoch, "step": step}))
        assert run.newest is not None
        return run.newest.path


class Params:
    """What `sources` needs."""

    def __init__(self, epochs: int = 3, restarts: list[int] | None = None) -> None:
        self.epochs, self.restarts = epochs, restarts or []


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("TRAIN_RESNET_CHECKPOINT_REMOTE", str(tmp_path / "store"))
    return open_store(str(tmp_path / "store"))


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(moving, "say", lines.append)
    return lines


@pytest.fixture
def host(tmp_path: Path) -> Callable[[str], Host]:
    return lambda name: Host(tmp_path / name)


def positions(run: Run) -> list[tuple[int, int]]:
    return [(one.epoch, one.step) for one in list_checkpoints(run.folder)]


def in_store(store: Store, run: Run) -> list[str]:
    return [name[:15] for name in store.names(run.folder.name) if name.endswith(".safetensors")]


def has(tried: list[str], number: int) -> bool:
    return len(tried) >= number


def is_in(store: Store, run: Run, name: str) -> bool:
    return name in store.names(run.folder.name)


def test_without_the_variable_there_is_no_store(host: Callable[[str], Host], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRAIN_RESNET_CHECKPOINT_REMOTE", raising=False)
    with begun(host("a").home, FACTS) as run, shared(run) as elsewhere:
        assert elsewhere is None


def test_the_newest_two_are_copied_and_another_host_goes_on_from_the_last(
    host: Callable[[str], Host], store: Store, said: list[str]
) -> None:
    first, second = host("a"), host("b")
    with begun(first.home, FACTS) as run, shared(run) as elsewhere:
        assert elsewhere is not None
        for step in (1, 2, 3):
            newest = first.save(run, 1, step)
            elsewhere.copy()
            until(partial(is_in, store, run, newest.name))
        until(lambda: len(in_store(store, run)) == 2)
        assert elsewhere.cost()["copied"] == 3
    assert in_store(store, run) == ["E00001-S0000002", "E00001-S0000003"]
    with begun(second.home, FACTS) as there, shared(there) as elsewhere:
        assert elsewhere is not None
        elsewhere.fetch(sources(there, Params()), LARGEST)
        assert positions(there) == [(1, 3)]
        assert (there.folder / newest.name).read_bytes() == newest.read_bytes()
    assert said == [f"train: takes a newer checkpoint of the run {run.folder.name} from the store"]


def test_what_is_written_before_the_end_is_copied(host: Callable[[str], Host], store: Store) -> None:
    with begun(host("a").home, FACTS) as run, shared(run):
        host("a").save(run, 2, 5)  # as after SIGTERM
    assert in_store(store, run) == ["E00002-S0000005"]


def test_a_complete_run_keeps_one_checkpoint_in_the_store(host: Callable[[str], Host], store: Store) -> None:
    with begun(host("a").home, FACTS) as run, shared(run) as elsewhere:
        assert elsewhere is not None
        host("a").save(run, 3, 5)
        elsewhere.copy()
        until(lambda: in_store(store, run))
        host("a").save(run, 4, 0)
        elsewhere.finish()
    assert in_store(store, run) == ["E00004-S0000000"]


def test_what_this_host_has_is_not_replaced_by_older_ones(host: Callable[[str], Host], store: Store, said: list[str]) -> None:
    first, second = host("a"), host("b")
    with begun(first.home, FACTS) as run, shared(run):
        first.save(run, 1, 7)
    with begun(second.home, FACTS) as run, shared(run) as elsewhere:
        assert elsewhere is not None
        second.save(run, 2, 1)
        elsewhere.fetch(sources(run, Params()), LARGEST)
        assert positions(run) == [(2, 1)]
    assert said == []
    assert in_store(store, run) == ["E00001-S0000007", "E00002-S0000001"]


def two_checkpoints(host: Host, store: Store) -> tuple[Run, Path]:
    """A run with two checkpoints in the store; returns it and the newest one."""
    with begun(host.home, FACTS) as run, shared(run) as elsewhere:
        assert elsewhere is not None
        host.save(run, 1, 1)
        elsewhere.copy()
        until(lambda: in_store(store, run))
        return run, host.save(run, 1, 2)


def test_a_damaged_checkpoint_of_the_store_is_not_used_and_the_one_before_is(
    host: Callable[[str], Host], store: Store, said: list[str]
) -> None:
    run, newest = two_checkpoints(host("a"), store)
    content = bytearray(newest.read_bytes())
    content[-1] ^= 1
    store.write(bytes(content), run.folder.name, newest.name)
    with begun(host("b").home, FACTS) as run, shared(run) as elsewhere:
        assert elsewhere is not None
        elsewhere.fetch(sources(run, Params()), LARGEST)
        assert positions(run) == [(1, 1)]
        assert (
            said[0]
            == f"train: the checkpoint {newest.name} of the run {run.folder.name} in the store is not used: it is damaged"
        )
        host("b").save(run, 1, 2)  # the run comes to the same place
    assert store.read(run.folder.name, newest.name) == newest.read_bytes()


NO_FILE = "is a folder, a FIFO, a socket or a device, and a file is expected"


def sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 40)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (os.mkfifo, NO_FILE),
        (Path.mkdir, NO_FILE),
        (lambda path: path.symlink_to("/dev/zero"), NO_FILE),
        (lambda path: path.symlink_to("nowhere"), "No such file or directory"),
        (lambda path: path.symlink_to(path.name), "Too many levels of symbolic links"),
        (sparse, "has 1,099,511,627,776 bytes or more, and 1,000 at most are expected"),
    ],
)
def test_a_checkpoint_that_cannot_be_one_is_not_read_and_the_one_before_is_used(
    make: Callable[[Path], object], why: str, host: Callable[[str], Host], store: Store, said: list[str], tmp_path: Path
) -> None:
    run, newest = two_checkpoints(host("a"), store)
    there = tmp_path / "store" / run.folder.name / newest.name
    there.unlink()
    make(there)
    with begun(host("b").home, FACTS) as run, shared(run) as elsewhere:
        assert elsewhere is not None
        elsewhere.fetch(sources(run, Params()), LARGEST)
        assert positions(run) == [(1, 1)]
    first, _ = said
    assert first.startswith(f"train: the checkpoint {newest.name} of the run {run.folder.name} in the store is not used: ")
    assert why in first


def test_facts_that_cannot_be_read_keep_no_run_from_beginning(
    host: Callable[[str], Host], store: Store, said: list[str], tmp_path: Path
) -> None:
    (tmp_path / "store/0123456789abcdef").mkdir(parents=True)
    os.mkfifo(tmp_path / "store/0123456789abcdef/facts.json")
    there = {**FACTS, "machine.processor": "EPYC"}  # its ID comes later
    with begun(host("a").home, there) as run, shared(run):
        host("a").save(run, 1, 1)
    with begun(host("b").home, FACTS) as run, shared(run) as elsewhere:
        assert elsewhere is not None
        elsewhere.fetch(sources(run, Params()), LARGEST)
    (line,) = said
    assert "machine.processor is Xeon here and EPYC there" in line


def test_how_many_runs_were_not_compared_is_said(
    host: Callable[[str], Host], store: Store, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "_MOST_COMPARED", 2)
    for number in range(5):
        store.write(b"{}", f"{number:016x}", "facts.json")
    there = json.dumps({**FACTS, "machine.processor": "EPYC"})
    store.write(there.encode(), "f" * 16, "facts.json")  # would be named if it were compared
    with begun(host("a").home, FACTS) as run, shared(run) as elsewhere:  # which is one of seven
        assert elsewhere is not None
        elsewhere.fetch(sources(run, Params()), LARGEST)
    assert said == ["train: 5 of the 7 runs in the store were not compared with this one"]


def test_a_lease_that_cannot_be_read_is_named(host: Callable[[str], Host], store: Store, tmp_path: Path) -> None:
    with begun(host("a").home, FACTS) as run:
        (tmp_path / "store" / run.folder.name).mkdir(parents=True)
        os.mkfifo(tmp_path / "store" / run.folder.name / "lease-00000001")
        with pytest.raises(UserError, match=rf"cannot be used \(lease-00000001 {NO_FILE}\)"):
            shared(run).__enter__()


def test_a_download_that_is_damaged_on_its_way_is_repeated(
    host: Callable[[str], Host], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, newest = two_checkpoints(host("a"), store)
    get, asked = Folder.get, list[str]()

    def flipped(self: Folder, path: Path, *names: str, largest: int) -> None:
        get(self, path, *names, largest=largest)
        asked.append(names[-1])
        if len(asked) == 1:
            path.write_bytes(path.read_bytes()[:-1] + b"?")

    monkeypatch.setattr(Folder, "get", flipped)
    with begun(host("b").home, FACTS) as run, shared(run) as elsewhere:
        assert elsewhere is not None
        elsewhere.fetch(sources(run, Params()), LARGEST)
        assert positions(run) == [(1, 2)]
    assert asked == [newest.name] * 2


def test_a_damaged_checkpoint_of_this_host_is_replaced_by_that_of_the_store(host: Callable[[str], Host], store: Store) -> None:
    _, newest = two_checkpoints(host("a"), store)
    whole = newest.read_bytes()
    newest.write_bytes(whole[:-1] + b"?")
    with begun(host("a").home, FACTS) as run, shared(run) as elsewhere:
        assert elsewhere is not None
        elsewhere.fetch(sources(run, Params()), LARGEST)
    assert newest.read_bytes() == whole


@pytest.mark.parametrize("content", [b'{"train.epochs": 3, "se', b"[1]", b"\xff", b"[" * 100_000])
def test_what_else_is_in_the_store_does_no_harm(
    content: bytes, host: Callable[[str], Host], store: Store, tmp_path: Path
) -> None:
    store.write(content, "0123456789abcdef", "facts.json")
    (tmp_path / "store" / "README.txt").touch()
    with begun(host("a").home, FACTS) as run, shared(run) as elsewhere:
        assert elsewhere is not None
        elsewhere.fetch(sources(run, Params()), LARGEST)
        host("a").save(run, 1, 1)
    assert in_store(store, run) == ["E00001-S0000001"]


def test_a_password_in_the_address_is_not_printed(host: Callable[[str], Host], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAIN_RESNET_CHECKPOINT_REMOTE", "nonsense://me:secret@host/runs")
    with begun(host("a").home, FACTS) as run, pytest.raises(UserError) as found, shared(run):
        pass
    assert "secret" not in str(found.value)
    assert "nonsense://...@host/runs" in str(found.value)


def test_a_relative_path_is_no_store(host: Callable[[str], Host], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAIN_RESNET_CHECKPOINT_REMOTE", "checkpoints")
    with (
        begun(host("a").home, FACTS) as run,
        pytest.raises(UserError, match=r"cannot be used \(expected .* or the full path of a folder\)"),
        shared(run),
    ):
        pass


def test_a_longer_run_continues_a_shorter_one_of_another_host(host: Callable[[str], Host], store: Store) -> None:
    first, second = host("a"), host("b")
    with begun(first.home, FACTS) as shorter, shared(shorter):
        first.save(shorter, 4, 0)
    longer = {**FACTS, "train.epochs": 9, "train.restarts": [3]}
    with begun(second.home, longer) as run, shared(run) as elsewhere:
        assert elsewhere is not None
        elsewhere.fetch(sources(run, Params(9, [3])), LARGEST)
        fetched = run.folder.with_name(shorter.folder.name)
    assert positions(run) == []
    assert positions(Run(fetched, FACTS)) == [(4, 0)]
    assert (fetched / "facts.json").exists()


def test_what_keeps_a_run_of_the_store_from_going_on_here_is_named(
    host: Callable[[str], Host], store: Store, said: list[str]
) -> None:
    there = {**FACTS, "machine.processor": "\x1b[2JXeon"}
    for facts in (there, {**FACTS, "data.classes.json": "13"}):  # the second one has other data
        with begun(host("a").home, facts) as run, shared(run):
            host("a").save(run, 1, 1)
    here = {**FACTS, "machine.processor": "EPYC", "train.accumulate": 2, "version.keras": "3.15.1"}
    with begun(host("b").home, here) as run, shared(run) as elsewhere:
        assert elsewhere is not None
        elsewhere.fetch(sources(run, Params()), LARGEST)
    (line,) = said
    assert line.endswith(
        "which could go on here if its host were like this one: machine.processor is EPYC here and \\x1b[2JXeon there, "
        "train.accumulate is 2 here and 1 there, version.keras is 3.15.1 here and 3.15.0 there"
    )


def test_a_copy_that_fails_is_said_once_and_the_next_one_is_tried(
    host: Callable[[str], Host], store: Store, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put, tried = Folder.put, list[str]()

    def full(self: Folder, path: Path, *names: str) -> None:
        tried.append(path.name)
        if len(tried) < 3:
            raise BucketError("full")
        put(self, path, *names)

    monkeypatch.setattr(Folder, "put", full)
    with begun(host("a").home, FACTS) as run, shared(run) as elsewhere:
        assert elsewhere is not None
        for step in (1, 2, 3):
            host("a").save(run, 1, step)
            elsewhere.copy()
            until(partial(has, tried, step))
    assert said == ["train: a checkpoint could not be copied to the store (full); the next one will be tried too"]
    assert in_store(store, run) == ["E00001-S0000003"]


def test_a_host_that_has_lost_the_run_ends(host: Callable[[str], Host], store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT", 0.02)
    with begun(host("a").home, FACTS) as run, shared(run) as elsewhere:
        assert elsewhere is not None
        elsewhere.check()
        store.write(b'{"host": "other", "process": 7}', run.folder.name, "lease-00000002")

        until(lambda: elsewhere._lease.taken_by)
        with pytest.raises(UserError, match="^process 7 on other has taken over this run"):
            elsewhere.check()
        host("a").save(run, 1, 1)
    assert in_store(store, run) == []  # it belongs to the other one now


def test_a_store_that_cannot_be_used_is_one_sentence(host: Callable[[str], Host], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAIN_RESNET_CHECKPOINT_REMOTE", "/dev/null/store")
    sentence = (
        r"^TRAIN_RESNET_CHECKPOINT_REMOTE is /dev/null/store, but that store cannot be used \(there is no folder /dev/null; "
    )
    with begun(host("a").home, FACTS) as run, pytest.raises(UserError, match=sentence), shared(run):
        pass


def test_a_copy_that_hangs_does_not_keep_a_stopped_training(
    host: Callable[[str], Host], store: Store, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "_LEAVING", 0.2)
    answers = threading.Event()
    monkeypatch.setattr(Folder, "put", lambda *_: answers.wait(600))
    with begun(host("a").home, FACTS) as run, pytest.raises(SystemExit), shared(run) as elsewhere:
        assert elsewhere is not None
        host("a").save(run, 1, 1)
        raise SystemExit(143)
    assert said == ["train: the store did not take the last checkpoint within 0.2 s; only this host has it"]
    answers.set()
    assert elsewhere is not None
    elsewhere._thread.join(600)


def test_the_runs_of_the_store_are_listed(host: Callable[[str], Host], store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    two_checkpoints(host("a"), store)
    with begun(host("a").home, FACTS | {"train.epochs": 4}) as without, shared(without):
        pass
    first, second = sorted(list_stored(), key=lambda one: not one.facts)
    assert (first.facts, first.newest and (first.newest.epoch, first.newest.step)) == (FACTS, (1, 2))
    assert second == StoredRun(second.name, {}, None)
    assert {first.name, second.name} == set(store.names())
    monkeypatch.setenv("TRAIN_RESNET_CHECKPOINT_REMOTE", "/dev/null/store")
    with pytest.raises(UserError, match=r"^TRAIN_RESNET_CHECKPOINT_REMOTE is /dev/null/store, but that store cannot be used"):
        list(list_stored())
    monkeypatch.delenv("TRAIN_RESNET_CHECKPOINT_REMOTE")
    assert list(list_stored()) == []


@pytest.mark.usefixtures("store")
def test_all_runs_are_listed_and_one_that_cannot_be_read_hides_no_other(tmp_path: Path) -> None:
    names = [f"{number:016x}" for number in range(120)]
    for name in names:
        (tmp_path / "store" / name).mkdir(parents=True)
        (tmp_path / "store" / name / "facts.json").write_text('{"train.epochs": 3}', encoding="utf-8")
    (tmp_path / "store" / names[3] / "facts.json").unlink()
    os.mkfifo(tmp_path / "store" / names[3] / "facts.json")
    os.truncate(tmp_path / "store" / names[5] / "facts.json", (1 << 20) + 1)
    found = list(list_stored())
    assert [one.name for one in found] == names
    assert {one.name: one.fault for one in found if one.fault} == {
        names[3]: f"facts.json {NO_FILE}",
        names[5]: "facts.json has 1,048,577 bytes or more, and 1,048,576 at most are expected",
    }


def test_a_store_that_goes_away_is_no_fault_of_its_runs(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(40):
        store.write(b"{}", f"{number:016x}", "facts.json")
    names, asked = Folder.names, list[tuple[str, ...]]()

    def lost(self: Folder, *folder: str) -> list[str]:
        asked.append(folder)
        if len(asked) > 1:
            raise BucketError("stale file handle")
        return names(self, *folder)

    monkeypatch.setattr(Folder, "names", lost)
    with pytest.raises(UserError, match=r"that store cannot be used \(stale file handle\)"):
        list(list_stored())
