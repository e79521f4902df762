"""Inherited variables: what is corrected, and what `dvc repro` does not survive."""

import os
import pwd
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest

from commands.environment import correct_environment, inherited, obstacles

LOOPBACK = "127.0.0.1,localhost,::1"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, LOOPBACK),
        ({"NO_PROXY": "example.org"}, f"example.org,{LOOPBACK}"),
        (
            {"no_proxy": " a.org , localhost", "NO_PROXY": "b.org"},
            "a.org,localhost,127.0.0.1,::1",
        ),  # lower case wins, as in curl
        ({"no_proxy": "*"}, "*"),
    ],
)
def test_this_machine_is_exempt_from_proxies(given: dict[str, str], expected: str) -> None:
    environment = dict(given)
    correct_environment(environment)
    assert (environment["no_proxy"], environment["NO_PROXY"]) == (expected, expected)


def test_a_server_on_this_machine_is_reached_despite_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Prints nothing."""

    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "")
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # where nothing listens
    monkeypatch.setenv("SHELL", os.environ.get("SHELL", ""))  # restored after the test
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        addresses = [f"http://{host}:{server.server_port}/" for host in ("127.0.0.1", "localhost")]
        with pytest.raises(httpx.ConnectError):
            httpx.get(addresses[0])
        correct_environment()
        assert [httpx.get(address).status_code for address in addresses] == [204, 204]
        server.shutdown()


def test_dvc_is_started_with_a_shell() -> None:
    environment = {"SHELL": "/usr/sbin/nologin", "HOME": "/home/a", "USER": "a"}
    correct_environment(environment)
    assert environment["SHELL"] == "/bin/sh"
    assert (environment["HOME"], environment["USER"]) == ("/home/a", "a")


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash", ""])
def test_a_shell_that_runs_commands_is_accepted(shell: str) -> None:
    assert list(obstacles({"SHELL": shell, "USER": "a", "HOME": "/"})) == []


@pytest.mark.parametrize("shell", ["/usr/sbin/nologin", "/bin/false", "/bin/true", "/no/such/shell", "/bin"])
def test_a_shell_that_runs_no_commands_is_named(shell: str) -> None:
    ((found, remedy),) = obstacles({"SHELL": shell, "USER": "a", "HOME": "/"})
    assert found.startswith(f"SHELL is {shell}, which runs no commands, but DVC")
    assert remedy == "export SHELL=/bin/sh"


def test_a_user_without_an_entry_gets_a_name_and_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(number: int) -> pwd.struct_passwd:
        raise KeyError(number)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    assert [remedy for _, remedy in obstacles({})] == ["export USER=54321", "export HOME=$PWD/.dvc/tmp"]
    assert list(obstacles({"LOGNAME": "a", "HOME": "/"})) == []
    environment: dict[str, str] = {}
    correct_environment(environment)
    assert (environment["USER"], environment["HOME"]) == ("54321", "/")
    assert list(obstacles(environment)) == []


def test_a_home_that_is_no_folder_is_replaced(tmp_path: Path) -> None:
    environment = {"USER": "a", "HOME": "/dev/null"}
    ((found, remedy),) = obstacles(environment)
    assert found.startswith("HOME is /dev/null, which is no folder, ")
    assert remedy == "export HOME=$PWD/.dvc/tmp"
    correct_environment(environment)
    assert environment["HOME"] == "/"
    assert list(obstacles({"USER": "a", "HOME": str(tmp_path / "made later")})) == []


def test_what_a_program_inherited_is_known_after_a_correction(monkeypatch: pytest.MonkeyPatch) -> None:
    before = inherited()
    monkeypatch.setenv("PATH", "/corrected")
    assert inherited() == before
    assert before["PATH"] != "/corrected"
