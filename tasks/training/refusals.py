"""How a host of a run that is refused before the hosts have met tells the others, which would wait for it.

A host that waits listens for TensorFlow only, and one that is refused for a wrong parameter has not started TensorFlow. So the
one that is refused listens at its own address for some seconds and tells everybody who connects; the others connect to it again
and again until all have met. Where TensorFlow listens, what it sends is no refusal.
"""

import socket
import threading
import time
from contextlib import suppress

from resnet.core.errors import printable

SECONDS = 10.0  # for which a refused host stays; the others start at the same time, or wait already
_BETWEEN = 0.5  # seconds between two questions
_PATIENCE = 1.0  # seconds for an answer
_SIGN = b"train-resnet refused: "
_MOST = 4000  # bytes of an answer


class Refusals:
    """Asks the other hosts, until `stop`, whether they were refused.

    Args:
        addresses: `host:port` of all hosts.
        index: of this one.
    """

    def __init__(self, addresses: tuple[str, ...], index: int) -> None:
        self._index = index
        self._found: tuple[int, str] | None = None
        self._over = threading.Event()
        for other, address in enumerate(addresses):
            if other != index:
                threading.Thread(target=self._ask, args=(other, address), daemon=True).start()

    @property
    def found(self) -> tuple[int, str] | None:
        """A host that was refused, and the sentence with the reason; None if there is none."""
        return self._found

    def stop(self) -> None:
        """Asks no more."""
        self._over.set()

    def _ask(self, other: int, address: str) -> None:
        while not self._over.wait(_BETWEEN):
            sentence = _answer(address, self._index)
            if sentence is not None:
                self._found = other, sentence
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
    """Tells the other hosts that this one was refused; waits for them for `SECONDS` at most.

    Where TensorFlow listens already, the hosts have met or this one is at the meeting, and nothing is done.

    Args:
        addresses: `host:port` of all hosts.
        index: of this one.
        sentence: the reason.
    """
    text = " ".join(sentence.split()).encode()[: _MOST - len(_SIGN) - 1]
    untold = set(range(len(addresses))) - {index}
    deadline = time.monotonic() + SECONDS
    with suppress(OSError, KeyboardInterrupt), _listening(int(addresses[index].rpartition(":")[2])) as server:
        while untold and (left := deadline - time.monotonic()) > 0:
            server.settimeout(left)
            connection, _ = server.accept()
            with connection, suppress(OSError):
                connection.settimeout(_PATIENCE)
                connection.sendall(_SIGN + text + b"\n")
                heard = connection.recv(16)
                untold -= {int(heard)} if heard.isdigit() else set()


def _listening(port: int) -> socket.socket:
    """A socket that listens at a port of all addresses of this machine, as TensorFlow does."""
    both = socket.has_dualstack_ipv6()
    return socket.create_server(("", port), family=socket.AF_INET6 if both else socket.AF_INET, dualstack_ipv6=both)
