"""A tiny run on two hosts: two processes of this machine, each with a copy of the project, that talk over loopback."""

import json
import socket
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from tests.interrupted import TinyRun

# What a host says when another one is gone: while they meet, and later.
LOST = ("did not meet within", "has ended or cannot be reached any more")
# What is there on a host that is not the chief: its inputs and hashes of them, which save time, and a file of Git.
CACHED = {"hashes.json", "initial.keras", ".gitignore"}


class TwoHosts:
    """Two folders to train in, as two machines have them.

    Attributes:
        hosts: the chief and the other one.
    """

    def __init__(self, folder: Path) -> None:
        chief = TinyRun(folder / "chief")
        self.hosts = chief, TinyRun(folder / "other", copy_of=chief)
        self.set(accumulate="2")

    def set(self, **values: str) -> None:
        """Changes parameters of both."""
        for host in self.hosts:
            host.set(**values)

    def forget(self) -> None:
        """Removes all results."""
        for host in self.hosts:
            host.forget()

    def start(self, chief: dict[str, Any] | None = None, other: dict[str, Any] | None = None) -> list[ForkServerProcess]:
        """Starts both, with options of `TinyRun.start`."""
        workers = [f"127.0.0.1:{port}" for port in free_ports(2)]
        return [
            host.start(tf_config=config(workers, index), **(options or {}))
            for index, (host, options) in enumerate(zip(self.hosts, (chief, other), strict=True))
        ]

    def join(self, processes: list[ForkServerProcess], seconds: float = 120) -> tuple[int, ...]:
        """Waits for both; returns their exit codes."""
        return tuple(host.join(process, seconds) for host, process in zip(self.hosts, processes, strict=True))

    def complete(self) -> str:
        """Trains to the end; returns the hash of the results."""
        assert self.join(self.start()) == (0, 0), self.log
        return self.hosts[0].outcome()

    @property
    def log(self) -> str:
        """The output of all processes of both."""
        return "\n".join(f"-- host {index}\n{host.log}" for index, host in enumerate(self.hosts))

    def written_by_the_other(self) -> list[str]:
        """Names of results and checkpoints in the folder of the host that is not the chief."""
        folder = self.hosts[1].folder
        places = (self.hosts[1].checkpoints, folder / "reports", folder / "live", folder / "models")
        return sorted({path.name for place in places for path in place.rglob("*")} - CACHED)


def config(workers: list[str], index: int) -> str:
    """The text of `TF_CONFIG`."""
    return json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}})


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens at."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
