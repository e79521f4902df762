"""How a host of a run that is refused before the hosts have met tells the others, which would wait for it.

A host that waits listens for TensorFlow only, and one that is refused for a wrong parameter has not started TensorFlow. So the
one that is refused listens at its own port for some seconds and tells everybody who connects; the others connect to it again
and again until all have met. Where TensorFlow listens, what it sends is no refusal.

As TensorFlow's servers, this one has no password: whoever reaches the port can read the sentence. Only the answers of the other
hosts count, by their addresses, so a stranger cannot end the wait. Hosts that are all refused, as for one wrong parameter of
all, ask each other too, and none of them waits any longer.
"""

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Self

from resnet.core.errors import printable

SECONDS = 10.0  # for which a refused host stays; the others start at the same time, or wait already
_BETWEEN = 0.5  # seconds between two questions
_PATIENCE = 1.0  # seconds for an answer
_SIGN = b"train-resnet refused: "
_MOST = 4000  # bytes of an answer
_AT_ONCE = 32  # connections that are listened to
_LOOK = 0.1  # seconds between two looks whether all have answered


class Refusals:
    """Asks the other hosts whether they were refused, until `stop` or the end of the context.

    Args:
        addresses: `host:port` of all hosts.
        index: of this one.
    """

    def __init__(self, addresses: tuple[str, ...], index: int) -> None:
        self._index = index
        self._found: dict[int, str] = {}
        self._over = threading.Event()
        for other, address in enumerate(addresses):
            if other != index:
                threading.Thread(target=self._ask, args=(other, address), daemon=True).start()

    @property
    def found(self) -> tuple[int, str] | None:
        """A host that was refused, and the sentence with the reason; None if there is none."""
        return next(iter(self._found.copy().items()), None)

    @property
    def hosts(self) -> set[int]:
        """All hosts that were refused, as far as they have answered."""
        return {*self._found.copy()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Asks no more."""
        self._over.set()

    def _ask(self, other: int, address: str) -> None:
        while not self._over.wait(_BETWEEN):
            sentence = _answer(address, self._index)
            if sentence is not None:
                self._found[other] = sentence
                return


def _answer(address: str, index: int) -> str | None:
    """The refusal of the host at an address; None if it was not refused, or does not listen."""
    host, _, port = address.rpartition(":")
    with suppress(OSError), socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE) as connection:
        with connection.makefile("rb") as file:
            line = file.readline(_MOST)
        if line.startswith(_SIGN) and line.endswith(b"\n"):
            connection.sendall(b"%d" % index)
            return printable(line.removeprefix(_SIGN).strip().decode(errors="replace"))
    return None


def tell(addresses: tuple[str, ...], index: int, sentence: str) -> None:
    """Tells the other hosts that this one was refused; waits for `SECONDS` at most for those that were not refused too.

    Where TensorFlow listens already, the hosts have met or this one is at the meeting, and nothing is done.

    Args:
        addresses: `host:port` of all hosts.
        index: of this one.
        sentence: the reason.
    """
    text = " ".join(sentence.split()).encode(errors="backslashreplace")[: _MOST - len(_SIGN) - 1]
    untold = set(range(len(addresses))) - {index}
    known = {other: _addresses_of(addresses[other]) for other in untold}

    def hear(connection: socket.socket, peer: str) -> None:
        with connection, suppress(OSError):
            heard = connection.recv(16)
            if heard.isdigit() and _plain(peer) in known.get(int(heard), ()):
                untold.discard(int(heard))

    deadline = time.monotonic() + SECONDS
    with (
        suppress(OSError, KeyboardInterrupt),
        ThreadPoolExecutor(_AT_ONCE) as threads,
        _listening(int(addresses[index].rpartition(":")[2])) as server,
        Refusals(addresses, index) as others,
    ):
        server.settimeout(_LOOK)
        while untold - others.hosts and time.monotonic() < deadline:
            with suppress(TimeoutError):
                connection, peer = server.accept()
                connection.settimeout(_PATIENCE)
                with suppress(OSError):
                    connection.sendall(_SIGN + text + b"\n")  # it fits into the buffer of the kernel
                threads.submit(hear, connection, peer[0])


def _addresses_of(address: str) -> set[IPv4Address | IPv6Address]:
    """The addresses of a host; none if its name is not known here."""
    host, _, port = address.rpartition(":")
    with suppress(OSError):
        return {_plain(str(found[4][0])) for found in socket.getaddrinfo(host.strip("[]"), int(port))}
    return set()


def _plain(address: str) -> IPv4Address | IPv6Address:
    """An address without its zone; that of IPv4 also where it came through a socket of IPv6."""
    found = ip_address(address.partition("%")[0])
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


def _listening(port: int) -> socket.socket:
    """A socket that listens at a port of all addresses of this machine, as TensorFlow does."""
    both = socket.has_dualstack_ipv6()
    return socket.create_server(("", port), family=socket.AF_INET6 if both else socket.AF_INET, dualstack_ipv6=both)
