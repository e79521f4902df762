"""Prefect: the stages of `dvc.yaml` as a flow, each run an experiment. Imports `tasks/`; nothing imports this.

Importing any module of it settles what Prefect reads from the environment when it is imported itself, and sees to it that
nobody else can read or write where Prefect keeps its database, its settings and what it stores of runs.
"""

import contextlib
import os
from pathlib import Path

# Prefect's client reports its use unless told not to; the server's own switch is in pyproject.toml.
os.environ.setdefault("DO_NOT_TRACK", "1")
# How a lost run is noticed, see flows/lost_runs.py; 30 s is the least.
os.environ.setdefault("PREFECT_FLOWS_HEARTBEAT_FREQUENCY", "30")
# With waits that double from 2 s on, a server may be away for eight minutes and no run is lost; five times are one minute.
os.environ.setdefault("PREFECT_CLIENT_MAX_RETRIES", "8")


def keep_private(home: Path) -> None:
    """Takes a folder of this user's away from everybody else; Prefect makes it as the umask has it."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = home.stat()
    if found.st_uid == os.getuid() and found.st_mode & 0o077:
        home.chmod(0o700)


with contextlib.suppress(OSError):  # Prefect will say why it cannot work there
    keep_private(Path(os.environ.get("PREFECT_HOME") or "~/.prefect").expanduser())
