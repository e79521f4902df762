"""Selects the Prefect server for a command in this folder: the configured one, or else the one that runs on this machine.

`prefect server start` changes no settings, and keeps no record of its port. Without this module the next command would not
find that server and would start a temporary one.
"""

import base64
import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path

import psutil
from prefect.settings import get_current_settings

from resnet.core.errors import UserError

DEFAULT_API = "http://127.0.0.1:4200/api"
_SECONDS = 5.0


class PasswordError(UserError):
    """The server requires a password, and the configured one is missing or wrong."""


def local_server() -> str | None:
    """Returns the address of the Prefect server on this machine.

    It is the server at the default port, or else the only one that this user started with the same `PREFECT_HOME`.
    """
    if _answers(DEFAULT_API):
        return DEFAULT_API
    found = [api for api in started_servers() if _answers(api)]
    return found[0] if len(found) == 1 else None


def _answers(api: str) -> bool:
    try:
        server_version(api)
    except PasswordError:
        return True
    except UserError:
        return False
    return True


def started_servers() -> list[str]:
    """Addresses of the servers that this user started on this machine with the same `PREFECT_HOME`, whatever their ports."""
    found: set[str] = set()
    for process in psutil.process_iter():
        try:
            if process.uids().real == os.getuid() and _is_server(process.cmdline(), process.environ()):
                found.update(_addresses(process))
        except (psutil.Error, OSError):  # it has ended, or a container hides it
            continue
    return sorted(found)


def _is_server(command: list[str], environment: Mapping[str, str]) -> bool:
    """Whether a process is a server of the same home that was started to stay, in the foreground or the background."""
    foreground = any(Path(word).name == "prefect" for word in command) and "server start" in " ".join(command)
    background = "prefect.server.api.server:create_app" in command and "PREFECT__SERVER_EPHEMERAL" not in environment
    return (foreground or background) and _home(environment) == _home(os.environ)


def _home(environment: Mapping[str, str]) -> str:
    """Prefect's home folder, with the database of its server."""
    home = environment.get("PREFECT_HOME") or "~/.prefect"
    user = environment.get("HOME") or os.path.expanduser("~")  # noqa: PTH111 - without an error where there is none
    return os.path.realpath(f"{user}{home[1:]}" if home.startswith("~/") else home)


def _addresses(process: psutil.Process) -> Iterator[str]:
    for connection in process.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN:
            host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(connection.laddr.ip, connection.laddr.ip)
            host = f"[{host}]" if ":" in host and not host.startswith("[") else host
            yield f"http://{host}:{connection.laddr.port}/api"


def server_version(api: str) -> str:
    """Asks a server for its version.

    Raises:
        UserError: nothing answers at the address, or the answer is not from Prefect.
        PasswordError: the server requires another password.
    """
    request = urllib.request.Request(f"{api.rstrip('/')}/admin/version", headers=_password())
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
            found = json.load(answer)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == HTTPStatus.UNAUTHORIZED:
            problem = "the one that is set is wrong" if _password() else "none is set"
            raise PasswordError(
                f"the Prefect server at {api} requires a password, but {problem}; "
                "run `prefect config set PREFECT_API_AUTH_STRING=USER:PASSWORD`."
            ) from error
        hint = "" if api.rstrip("/").endswith("/api") else "; the address of one ends with /api"
        raise UserError(
            f"the server at {api} is not a Prefect server (HTTP {error.code}){hint}; check `prefect config view`."
        ) from error
    except (OSError, ValueError) as error:
        raise UserError(
            f"no Prefect server answers at {api}; start one with `prefect server start`, or try again in half a minute if you "
            "have just started it."
        ) from error
    if not isinstance(found, str):
        raise UserError(f"the server at {api} is not a Prefect server; check `prefect config view`.")
    return found


def _password() -> dict[str, str]:
    """The header that Prefect's own client sends if a password is set."""
    secret = get_current_settings().api.auth_string
    if secret is None:
        return {}
    return {"Authorization": f"Basic {base64.b64encode(secret.get_secret_value().encode()).decode()}"}


def require_server(api: str | None) -> None:
    """Checks that there is a server that this client can use.

    Args:
        api: the configured address, if any.

    Raises:
        UserError: there is no server, or its version does not fit this client.
    """
    if api is None:
        refuse_several()
        raise UserError(
            "no Prefect server was found on this machine; start one with `prefect server start` (if you have just started it, "
            "try again in half a minute), or name one with `prefect config set PREFECT_API_URL=http://HOST:PORT/api`."
        )
    if "/workspaces/" in api:
        return  # Prefect Cloud supports every client version, and answers only with an API key
    ours, theirs = version("prefect"), server_version(api)
    if _series(theirs) < _series(ours) or _series(theirs)[0] > _series(ours)[0]:
        raise UserError(
            f"the Prefect server at {api} has version {theirs}, but this client has {ours}; install the same version for both."
        )


def refuse_several() -> None:
    """Raises `UserError` if several servers run on this machine, and none is configured or at the default port."""
    found = started_servers()
    if len(found) > 1:
        raise UserError(
            f"{len(found)} Prefect servers run on this machine, at {', '.join(found)}; choose one with "
            f"`prefect config set PREFECT_API_URL={found[0]}`."
        )


def accept_server(api: str | None) -> None:
    """Checks a configured server. None is accepted too: Prefect then starts a temporary one.

    Raises:
        UserError: see `require_server`; or a temporary server could not keep its database.
    """
    if api is not None:
        require_server(api)
        return
    refuse_several()
    home = Path(_home(os.environ))
    existing = next(folder for folder in (home, *home.parents) if folder.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise UserError(
            f"Prefect keeps its data in {home}, but {existing} cannot be written: run `export PREFECT_HOME=FOLDER` with a "
            "folder of your own."
        )


def _series(text: str) -> tuple[int, int]:
    major, minor = text.split(".")[:2]
    return int(major), int(minor)
