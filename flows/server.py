"""Which Prefect server a command in this folder talks to: the one that is configured, or the one that runs on this machine.

`prefect server start` configures nothing, so that the next command would not find its server and start a temporary one.
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
    """A server wants a password, and has not got it or got a wrong one."""


def local_server() -> str | None:
    """The address of the server on this machine's default port, if a Prefect server answers there."""
    try:
        server_version(DEFAULT_API)
    except PasswordError:
        return DEFAULT_API
    except UserError:
        return None
    return DEFAULT_API


def server_version(api: str) -> str:
    """The version of the server at an address.

    Raises:
        UserError: nothing answers there, or something else than Prefect, or it wants another password.
    """
    request = urllib.request.Request(f"{api.rstrip('/')}/admin/version", headers=_password())
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
            found = json.load(answer)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == HTTPStatus.UNAUTHORIZED:
            raise PasswordError(
                f"the Prefect server at {api} wants a password, and {'another one' if _password() else 'none is set'}: "
                "`prefect config set PREFECT_API_AUTH_STRING=USER:PASSWORD`."
            ) from error
        raise UserError(
            f"what answers at {api} is no Prefect server (HTTP {error.code}); see `prefect config view`."
        ) from error
    except (OSError, ValueError) as error:
        raise UserError(f"no Prefect server answers at {api}; start one with `prefect server start`.") from error
    if not isinstance(found, str):
        raise UserError(f"what answers at {api} is no Prefect server; see `prefect config view`.")
    return found


def _password() -> dict[str, str]:
    """The header that Prefect's own client sends, if it is set to."""
    secret = get_current_settings().api.auth_string
    if secret is None:
        return {}
    return {"Authorization": f"Basic {base64.b64encode(secret.get_secret_value().encode()).decode()}"}


def require_server(api: str | None) -> None:
    """Refuses a command that needs a server.

    Args:
        api: the address that Prefect is set to, if it is set to one.

    Raises:
        UserError: there is no server, or it is too old or too new for this client.
    """
    if api is None:
        raise UserError("there is no Prefect server on this machine; start one with `prefect server start`.")
    if "/workspaces/" in api:
        return  # Prefect Cloud, which suits every client and wants a key
    ours, theirs = version("prefect"), server_version(api)
    if _series(theirs) < _series(ours) or _series(theirs)[0] > _series(ours)[0]:
        raise UserError(
            f"the Prefect server at {api} is of version {theirs} and this client of {ours}; bring them to one version."
        )


def accept_server(api: str | None) -> None:
    """Refuses a server that is no good; having none is well, because Prefect starts a temporary one then.

    Raises:
        UserError: see `require_server`.
    """
    if api is not None:
        require_server(api)


def _series(text: str) -> tuple[int, int]:
    major, minor = text.split(".")[:2]
    return int(major), int(minor)
