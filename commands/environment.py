"""The environment variables that a program inherits: those that are corrected, and those that stop `dvc repro`.

A service, a container or a CI system starts programs with other variables than a person's shell. `train-resnet` and the flows
correct them when they start, for themselves and for what they start. `dvc repro` in a shell is a program of its own, so
`train-resnet check` and `train-resnet doctor` name what makes it fail. The Makefile sets the same for its targets.
"""

import os
import pwd
import subprocess
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path

SHELL = "/bin/sh"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_USER = ("LOGNAME", "USER", "LNAME", "USERNAME")  # in the order of `getpass.getuser`, which DVC calls
_SECONDS = 20.0


def correct_environment(environment: MutableMapping[str, str] = os.environ) -> None:
    """Corrects the variables of this process, which programs that it starts inherit.

    - Requests to this machine use no proxy: a Prefect server runs here, and no proxy reaches it.
    - DVC runs the commands of stages with `SHELL`, which is no shell for service users.
    - DVC asks for the name of the user and the home folder, which a container may not know; Docker too sets HOME=/ then.
    """
    given = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    hosts = [host for host in (part.strip() for part in given.split(",")) if host]
    if "*" not in hosts:
        hosts += [host for host in _LOOPBACK if host not in hosts]
    environment["no_proxy"] = environment["NO_PROXY"] = ",".join(hosts)
    environment["SHELL"] = SHELL
    if not _user_is_named(environment):
        environment["USER"] = str(os.getuid())
    if not _has_home(environment):
        environment["HOME"] = "/"


def inherited() -> dict[str, str]:
    """The variables that this process was started with, before any correction."""
    pairs = (os.fsdecode(pair).partition("=") for pair in Path("/proc/self/environ").read_bytes().split(b"\0"))
    return {name: value for name, _, value in pairs if name}


def obstacles(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What makes `dvc repro` from a shell fail, and the command that corrects it.

    Args:
        environment: the variables of that shell; see `inherited`.
    """
    shell = environment.get("SHELL") or SHELL
    if not _runs_commands(shell):
        yield f"SHELL is {shell}, which runs no commands, but DVC runs the stages with it", f"export SHELL={SHELL}"
    if not _user_is_named(environment):
        yield f"user {os.getuid()} has no name on this machine, but DVC asks for it", f"export USER={os.getuid()}"
    if not _has_home(environment):
        given = f"{environment['HOME']}, which is no folder" if environment.get("HOME") else "not set"
        yield f"HOME is {given}, but DVC looks for its settings there", "export HOME=$PWD/.dvc/tmp"


def _user_is_named(environment: Mapping[str, str]) -> bool:
    return any(environment.get(name) for name in _USER) or _entry() is not None


def _has_home(environment: Mapping[str, str]) -> bool:
    """Whether there is a home folder, or could be; services may have HOME=/dev/null."""
    home = environment.get("HOME")
    return not Path(home).exists() or Path(home).is_dir() if home else _entry() is not None


def _entry() -> pwd.struct_passwd | None:
    """What the machine knows of this user."""
    try:
        return pwd.getpwuid(os.getuid())
    except KeyError:
        return None


def _runs_commands(shell: str) -> bool:
    """Whether a program runs a command as DVC asks it to: /usr/sbin/nologin does not, nor does a restricted shell."""
    try:
        done = subprocess.run(
            [shell, "-c", "exec echo works"], stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.stdout.split() == [b"works"]
