"""The simulated machine loses what POSIX allows to lose, and nothing else."""

import errno
import random
from collections.abc import Callable

import pytest
from filelock import Timeout

from tests.simulated.machine import File, Lock, Machine, contents
from tests.simulated.paths import on


def after_power_cuts(work: Callable[[Machine], None]) -> set[frozenset[tuple[str, bytes]]]:
    """All that can be found after some work and a power cut, by path; folders have no content."""
    found = set()
    for seed in range(300):
        machine = Machine(random.Random(seed).randrange)
        on(machine, "/a").write_bytes(b"old")
        machine.settle()
        work(machine)
        machine.cut_power()
        found.add(frozenset((path, node.data if type(node) is File else b"") for path, node in machine.walk()))
    return found


def state(**files: bytes) -> frozenset[tuple[str, bytes]]:
    return frozenset((f"/{name}", content) for name, content in files.items())


def sync(machine: Machine, path: str) -> None:
    node = machine.find(path) if path else machine.root
    assert node is not None
    machine.sync(node)


def test_what_is_synced_stays() -> None:
    def work(machine: Machine) -> None:
        on(machine, "/b").write_bytes(b"new")
        sync(machine, "/b")
        sync(machine, "")

    assert after_power_cuts(work) == {state(a=b"old", b=b"new")}


def test_a_file_that_is_synced_without_its_folder_is_whole_or_has_no_name() -> None:
    def work(machine: Machine) -> None:
        on(machine, "/b").write_bytes(b"new")
        sync(machine, "/b")

    assert after_power_cuts(work) == {state(a=b"old", b=b"new"), state(a=b"old")}


def test_a_rename_before_a_sync_may_give_an_empty_file_or_zeros() -> None:
    def work(machine: Machine) -> None:
        on(machine, "/b").write_bytes(b"new")
        on(machine, "/b").replace(on(machine, "/a"))
        sync(machine, "")

    assert after_power_cuts(work) >= {state(a=b""), state(a=b"\0\0\0"), state(a=b"new")}
    assert all(len(found) == 1 for found in after_power_cuts(work))


def test_renames_are_whole_and_may_be_kept_without_earlier_ones() -> None:
    def work(machine: Machine) -> None:
        for name in ("b", "c"):
            on(machine, f"/{name}").write_bytes(name.encode())
            sync(machine, f"/{name}")
        sync(machine, "")
        on(machine, "/b").replace(on(machine, "/d"))
        on(machine, "/c").replace(on(machine, "/e"))

    both = {(first, second) for first in "bd" for second in "ce"}
    assert after_power_cuts(work) == {state(a=b"old", **{one: b"b", other: b"c"}) for one, other in both}


def test_after_a_failed_sync_the_pages_are_lost_and_the_next_sync_says_nothing() -> None:
    def work(machine: Machine) -> None:
        on(machine, "/a").write_bytes(b"new")
        machine.failing = 1
        with pytest.raises(OSError) as error:  # noqa: PT011 - its number is compared
            sync(machine, "/a")
        assert error.value.errno == errno.EIO
        sync(machine, "/a")

    assert state(a=b"old") in after_power_cuts(work)


def test_a_full_disk_takes_a_part() -> None:
    machine = Machine(lambda number: 0)
    machine.room = 5
    with pytest.raises(OSError) as error:  # noqa: PT011 - its number is compared
        on(machine, "/b").write_bytes(b"12345678")
    assert error.value.errno == errno.ENOSPC
    assert on(machine, "/b").read_bytes() == b"1234"


def test_a_text_may_be_cut_between_its_lines_and_within_a_word() -> None:
    assert {b"one\n", b"one\ntw", b"", b"\0" * 9} <= set(contents(b"", b"one\ntwo12"))


def test_a_killed_process_does_nothing_more_and_releases_its_locks() -> None:
    machine = Machine(lambda number: 0)

    def main() -> None:
        Lock(machine, "/lock", 1).acquire()
        try:
            on(machine, "/b").write_bytes(b"12")
        finally:
            on(machine, "/a").write_bytes(b"cleaned up")

    def take() -> None:
        Lock(machine, "/lock", 3).acquire()

    first = machine.start(main)
    machine.advance(first, 5)  # the lock is taken and the file open
    second = machine.start(take)
    machine.advance(second, 100)
    assert isinstance(second.error, Timeout)
    first.kill()
    assert sorted(path for path, _ in machine.walk()) == ["/b", "/lock"]
    third = machine.start(take)
    machine.advance(third, 100)
    assert third.error is None
