"""Which servers are accepted, with a stand-in that only answers the request for its version."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_AUTH_STRING, temporary_settings

from flows import server
from flows.server import accept_server, local_server, require_server, started_servers
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
    monkeypatch.setattr(server, "started_servers", list)
    with pytest.raises(
        UserError, match="^no Prefect server was found .* just started it, try again in half a minute.* PREFECT_API_URL="
    ):
        require_server(None)
    with pytest.raises(
        UserError, match=r"^no Prefect server answers at http://127.0.0.1:9/api; start one .* half a minute if you have just"
    ):
        require_server("http://127.0.0.1:9/api")
    with pytest.raises(UserError, match=r"is not a Prefect server \(HTTP 404\); the address of one ends with /api; check"):
        require_server(answering(b'"3.8.8"').replace("/api", "/other"))
    with pytest.raises(UserError, match="is not a Prefect server"):
        require_server(answering(b"{}"))
    monkeypatch.setattr(server, "DEFAULT_API", "http://127.0.0.1:9/api")
    assert local_server() is None


def test_the_server_at_the_default_port_is_found(answering: Callable[[bytes], str], monkeypatch: pytest.MonkeyPatch) -> None:
    api = answering(b'"3.8.8"')
    monkeypatch.setattr(server, "DEFAULT_API", api)
    assert local_server() == api


SERVER = """
import http.server, json, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps("3.8.8").encode())
with http.server.HTTPServer((os.environ["HOST"], 0), Handler) as server:
    print(server.server_port, flush=True)
    server.serve_forever()
"""


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., int]]:
    """Starts a program whose command line is that of a server, which only answers; returns its port."""
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(server, "DEFAULT_API", "http://127.0.0.1:9/api")
    program = tmp_path / "prefect"
    program.write_text(SERVER)
    processes: list[subprocess.Popen[bytes]] = []

    def run(*words: str, host: str = "127.0.0.1", **environment: str) -> int:
        command = [sys.executable, str(program), *words]
        variables = os.environ | {"HOST": host} | environment
        processes.append(subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL))
        output = processes[-1].stdout
        assert output is not None
        return int(output.readline())

    yield run
    for process in processes:
        process.kill()
        process.communicate()


def test_a_server_at_any_port_is_found(start: Callable[..., int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert local_server() is None
    start("version")
    start("server", "start", PREFECT_HOME=str(tmp_path / "other"))
    start("prefect.server.api.server:create_app", PREFECT__SERVER_EPHEMERAL="1")  # the temporary one of a flow
    assert local_server() is None
    first = start("server", "start", host="0.0.0.0")
    assert local_server() == f"http://127.0.0.1:{first}/api"
    second = start("prefect.server.api.server:create_app")  # `--background`
    assert started_servers() == sorted(f"http://127.0.0.1:{port}/api" for port in (first, second))
    assert local_server() is None
    for refuse in (require_server, accept_server):
        with pytest.raises(
            UserError, match=r"^2 Prefect servers run on this machine, at .*; choose one with `prefect config set"
        ):
            refuse(None)


def test_a_home_of_prefect_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "started_servers", list)
    (tmp_path / "file").touch()
    monkeypatch.delenv("PREFECT_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    with pytest.raises(
        UserError, match=r"^Prefect keeps its data in .*/file/\.prefect, but .*/file cannot be written: run `exp"
    ):
        accept_server(None)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "new" / "home"))
    accept_server(None)


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
