"""Selects the Prefect server for a command in this folder: the configured one, or else the one that runs on this machine.

`prefect server start` changes no settings. Without this module the next command would not find that server and would start a
temporary one.
"""

import base64
import json
import urllib.error
import urllib.request
from http import HTTPStatus
from importlib.metadata import version

from prefect.settings import get_current_settings

from resnet.core.errors import UserError

DEFAULT_API = "http://127.0.0.1:4200/api"
_SECONDS = 5.0


class PasswordError(UserError):
    """The server requires a password, and the configured one is missing or wrong."""


def local_server() -> str | None:
    """Returns the address of the default port on this machine if a Prefect server answers there."""
    try:
        server_version(DEFAULT_API)
    except PasswordError:
        return DEFAULT_API
    except UserError:
        return None
    return DEFAULT_API


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
        raise UserError(
            f"the server at {api} is not a Prefect server (HTTP {error.code}); check `prefect config view`."
        ) from error
    except (OSError, ValueError) as error:
        raise UserError(f"no Prefect server answers at {api}; start one with `prefect server start`.") from error
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
        raise UserError("there is no Prefect server on this machine; start one with `prefect server start`.")
    if "/workspaces/" in api:
        return  # Prefect Cloud supports every client version, and answers only with an API key
    ours, theirs = version("prefect"), server_version(api)
    if _series(theirs) < _series(ours) or _series(theirs)[0] > _series(ours)[0]:
        raise UserError(
            f"the Prefect server at {api} has version {theirs}, but this client has {ours}; install the same version for both."
        )


def accept_server(api: str | None) -> None:
    """Checks a configured server. None is accepted too: Prefect then starts a temporary one.

    Raises:
        UserError: see `require_server`.
    """
    if api is not None:
        require_server(api)


def _series(text: str) -> tuple[int, int]:
    major, minor = text.split(".")[:2]
    return int(major), int(minor)
