"""Which servers are accepted, with a stand-in that only answers the request for its version."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version

import pytest
from prefect.settings import PREFECT_API_AUTH_STRING, temporary_settings

from flows import server
from flows.server import local_server, require_server
from resnet.core.errors import UserError

OURS = version("prefect")
MAJOR, MINOR, _ = OURS.split(".")


@pytest.fixture
def answering() -> Iterator[Callable[[bytes], str]]:
    """Starts a server that answers with some bytes; returns its address."""
    started: list[HTTPServer] = []

    def start(answer: bytes, password: str | None = None) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = self.path == "/api/admin/version"
                allowed = self.headers["Authorization"] == password
                self.send_response((200 if found else 404) if allowed else 401)
                self.end_headers()
                self.wfile.write(answer if found else b"")

            def log_message(self, *_: object) -> None:
                """Prints nothing."""

        started.append(HTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=started[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{started[-1].server_port}/api"

    yield start
    for one in started:
        one.shutdown()
        one.server_close()


def test_the_same_version_and_a_later_minor_version_are_accepted(answering: Callable[[bytes], str]) -> None:
    require_server(answering(json.dumps(OURS).encode()))
    require_server(answering(json.dumps(f"{MAJOR}.{int(MINOR) + 1}.0").encode()) + "/")


@pytest.mark.parametrize("theirs", [f"{MAJOR}.{int(MINOR) - 1}.9", f"{int(MAJOR) + 1}.0.0", "2.20.4"])
def test_another_version_is_refused(answering: Callable[[bytes], str], theirs: str) -> None:
    api = answering(json.dumps(theirs).encode())
    with pytest.raises(UserError) as error:
        require_server(api)
    assert (
        str(error.value)
        == f"the Prefect server at {api} has version {theirs}, but this client has {OURS}; install the same version for both."
    )


def test_without_a_prefect_server_the_error_says_so(answering: Callable[[bytes], str], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="^there is no Prefect server on this machine; start one with `prefect server start`.$"):
        require_server(None)
    with pytest.raises(UserError, match=r"^no Prefect server answers at http://127.0.0.1:9/api; start one"):
        require_server("http://127.0.0.1:9/api")
    with pytest.raises(UserError, match=r"is not a Prefect server \(HTTP 404\)"):
        require_server(answering(b'"3.8.8"').replace("/api", "/other"))
    with pytest.raises(UserError, match="is not a Prefect server"):
        require_server(answering(b"{}"))
    monkeypatch.setattr(server, "DEFAULT_API", "http://127.0.0.1:9/api")
    assert local_server() is None


def test_the_server_on_this_machine_is_found(answering: Callable[[bytes], str], monkeypatch: pytest.MonkeyPatch) -> None:
    api = answering(b'"3.8.8"')
    monkeypatch.setattr(server, "DEFAULT_API", api)
    assert local_server() == api


@pytest.mark.parametrize(
    ("given", "words"), [(None, "but none is set"), ("admin:secret", "but the one that is set is wrong"), ("admin:right", "")]
)
def test_a_server_with_a_password_is_found_and_needs_the_password(
    monkeypatch: pytest.MonkeyPatch, answering: Callable[..., str], given: str | None, words: str
) -> None:
    api = answering(json.dumps(OURS).encode(), "Basic YWRtaW46cmlnaHQ=")  # admin:right in Base64
    monkeypatch.setattr(server, "DEFAULT_API", api)
    with temporary_settings({PREFECT_API_AUTH_STRING: given}):
        assert local_server() == api
        if not words:
            require_server(api)
            return
        with pytest.raises(UserError, match=f"requires a password, {words}.*PREFECT_API_AUTH_STRING=USER:PASSWORD") as error:
            require_server(api)
        assert "secret" not in str(error.value)


def test_prefect_cloud_is_not_asked_for_its_version() -> None:
    require_server("https://api.example.invalid/api/accounts/x/workspaces/y")


def test_prefects_server_can_be_imported() -> None:
    # FastAPI 0.160 broke it: "unexpected keyword argument 'min_items'".
    import prefect.server.api.server  # noqa: F401
