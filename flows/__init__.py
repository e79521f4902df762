"""Prefect: the stages of `dvc.yaml` as a flow. Each run is a DVC experiment. Imports `tasks/`; nothing imports this package.

Importing it corrects inherited environment variables, and sets those that Prefect reads when it is imported. It also makes
Prefect's home folder, which holds the database, the settings and the stored results, accessible to its owner only.
"""

import contextlib
import os
from pathlib import Path

from commands.environment import correct_environment

correct_environment()
# Prefect's client sends usage data unless told not to; pyproject.toml has the switch for the server.
os.environ.setdefault("DO_NOT_TRACK", "1")
# The wait doubles from 2 s on: eight retries tolerate a server outage of eight minutes; the default of five, one minute.
os.environ.setdefault("PREFECT_CLIENT_MAX_RETRIES", "8")


def restrict_to_owner(home: Path) -> None:
    """Makes a folder accessible to its owner only, creating it if necessary; Prefect itself leaves the mode to the umask.

    A folder of another user is left as it is.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = home.stat()
    if found.st_uid == os.getuid() and found.st_mode & 0o077:
        home.chmod(0o700)


with contextlib.suppress(OSError):  # Prefect reports by itself why it cannot work there
    restrict_to_owner(Path(os.environ.get("PREFECT_HOME") or "~/.prefect").expanduser())
