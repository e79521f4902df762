"""A host that is refused tells the others, over loopback."""

import socket
import threading
import time
from collections.abc import Iterator
from functools import partial

import pytest

from tasks.training import refusals
from tasks.training.refusals import Refusals, tell
from tests.tasks.training.test_lease import until
from tests.two_hosts import free_ports


@pytest.fixture
def addresses() -> tuple[str, ...]:
    return tuple(f"127.0.0.1:{port}" for port in free_ports(3))


@pytest.fixture
def asking(addresses: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Refusals]]:
    """The hosts 0 and 1, which wait for host 2."""
    monkeypatch.setattr(refusals, "_BETWEEN", 0.01)
    asking = [Refusals(addresses, index) for index in (0, 1)]
    yield asking
    for one in asking:
        one.stop()


def test_all_others_get_the_sentence_and_then_nobody_waits(addresses: tuple[str, ...], asking: list[Refusals]) -> None:
    sentence = "train.accumulate is 1:\nset \x1b[2Jit to 3 \N{GREEK SMALL LETTER ALPHA}."
    began = time.monotonic()
    tell(addresses, 2, sentence)
    assert time.monotonic() - began < refusals.SECONDS
    for one in asking:
        until(partial(getattr, one, "found"))
        assert one.found == (2, "train.accumulate is 1: set \\x1b[2Jit to 3 \N{GREEK SMALL LETTER ALPHA}.")


def test_nobody_is_waited_for_without_end(addresses: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "SECONDS", 0.2)
    tell(addresses, 2, "no")
    with socket.create_server(("127.0.0.1", int(addresses[2].rpartition(":")[2]))):  # it is free again
        pass


def test_hosts_that_are_all_refused_do_not_wait_for_one_another(
    addresses: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "_BETWEEN", 0.01)
    monkeypatch.setattr(refusals, "SECONDS", 600.0)
    telling = [threading.Thread(target=tell, args=(addresses, index, "no"), daemon=True) for index in range(3)]
    for one in telling:
        one.start()
    for one in telling:
        one.join(60)
    assert [one.is_alive() for one in telling] == [False] * 3


def test_a_host_that_was_not_refused_is_told_by_all_that_were(
    addresses: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "_BETWEEN", 0.01)
    monkeypatch.setattr(refusals, "SECONDS", 600.0)
    telling = [threading.Thread(target=tell, args=(addresses, index, "no"), daemon=True) for index in (1, 2)]
    for one in telling:
        one.start()
    telling[0].join(1)
    assert [one.is_alive() for one in telling] == [True] * 2  # host 0 may be about to start
    with Refusals(addresses, 0) as waiting:
        until(lambda: waiting.hosts == {1, 2})
        for one in telling:
            one.join(60)
    assert [one.is_alive() for one in telling] == [False] * 2


@pytest.mark.parametrize("sent", [b"0", b"00", b"1", b"\xff", b""])
def test_a_stranger_ends_no_wait(sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other host has an address of documentation, so nobody here can be that host."""
    (port,) = free_ports(1)
    monkeypatch.setattr(refusals, "SECONDS", 1.0)
    telling = threading.Thread(target=tell, args=(("192.0.2.1:1", f"127.0.0.1:{port}"), 1, "no \udcff"))
    began = time.monotonic()
    telling.start()
    heard: list[bytes] = []

    def visited() -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
                heard.append(connection.makefile("rb").readline())
                connection.sendall(sent)
        except OSError:
            return False
        return True

    until(visited)
    telling.join(60)
    assert heard == [b"train-resnet refused: no \\udcff\n"]
    assert time.monotonic() - began >= 1.0


def test_a_long_sentence_is_cut(addresses: tuple[str, ...], asking: list[Refusals]) -> None:
    tell(addresses, 2, "a" * 10_000)
    until(lambda: asking[0].found)
    assert asking[0].found is not None
    assert set(asking[0].found[1]) == {"a"}


def test_where_another_program_listens_nothing_is_told(addresses: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", int(addresses[2].rpartition(":")[2]))):
        tell(addresses, 2, "no")  # at once: the hosts are at the meeting


@pytest.mark.parametrize("answer", [b"\0\0\x12\4\0\0\0\0\0", b"train-resnet refused: cut", b"HTTP/1.1 400\n", b""])
def test_what_others_send_is_no_refusal(answer: bytes, addresses: tuple[str, ...], asking: list[Refusals]) -> None:
    with socket.create_server(("127.0.0.1", int(addresses[2].rpartition(":")[2]))) as server:
        for _ in range(4):  # each of the two has asked again
            connection, _ = server.accept()
            with connection:
                connection.sendall(answer)
    assert [one.found for one in asking] == [None, None]


def test_who_asks_nothing_does_not_hold_up_the_others(addresses: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "_PATIENCE", 0.1)
    monkeypatch.setattr(refusals, "_BETWEEN", 0.01)
    telling = threading.Thread(target=tell, args=(addresses[1:], 1, "no"))
    telling.start()
    silent: list[socket.socket] = []

    def connected() -> bool:
        try:
            silent.append(socket.create_connection(("127.0.0.1", int(addresses[2].rpartition(":")[2]))))
        except OSError:
            return False
        return True

    until(connected)
    one = Refusals(addresses[1:], 0)
    until(lambda: one.found)
    one.stop()
    telling.join(60)
    silent[0].close()
    assert one.found == (1, "no")
