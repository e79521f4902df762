"""Opens pages in a headless Chromium, where one is installed."""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)
_PATIENCE = 120  # seconds without an answer


class Tab:
    """A tab of a running Chromium, which the DevTools protocol drives over two pipes.

    Attributes:
        requests: the addresses that the page asked for, without its own and without embedded data.
        messages: what the console shows: errors of scripts, and violations of the page's policy.
    """

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._write, self._read = to_browser, from_browser
        self._rest = b""
        self._number, self._session = 0, ""
        self._events: set[str] = set()
        self.requests: list[str] = []
        self.messages: list[str] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")

    def open(self, page: Path, width: int = 1280, *, dark: bool = False) -> None:
        """Loads a page in a window of so many CSS pixels, in the light or in the dark scheme."""
        self.resize(width)
        self.choose_scheme(dark=dark)
        self.requests, self.messages, self._events = [], [], set()
        self._call("Page.navigate", url=page.resolve().as_uri())
        while "Page.loadEventFired" not in self._events:
            self._receive()

    def document(self) -> str:
        """The open page as it is now, as HTML."""
        return str(self.ask("document.documentElement.outerHTML"))

    def resize(self, width: int, height: int = 900) -> None:
        """Changes the size of the window, in CSS pixels. A narrow one is that of a phone, which has no scroll bars."""
        options = {"deviceScaleFactor": 1, "mobile": width < 500}
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, **options)

    def choose_scheme(self, *, dark: bool) -> None:
        """Changes the colour scheme that the page is asked for."""
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self._call("Emulation.setEmulatedMedia", features=features)

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression, of a kind that JSON can express."""
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in answer:
            raise ValueError(json.dumps(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def screenshot(self, *, whole: bool = False) -> bytes:
        """The window, or the whole page, as a PNG file."""
        answer = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return base64.b64decode(answer["data"])

    def choose_medium(self, name: str) -> None:
        """Shows the open page as on `screen` or as on paper, `print`."""
        self._call("Emulation.setEmulatedMedia", media=name)

    def print_page(self) -> bytes:
        """The page on A4 paper, without backgrounds, as a PDF file."""
        return base64.b64decode(self._call("Page.printToPDF", paperWidth=8.27, paperHeight=11.69)["data"])

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        _send(self._write, json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != self._number:
            pass
        if "error" in answer:
            raise ValueError(f"{method}: {answer['error']}")
        result: dict[str, Any] = answer["result"]
        return result

    def _receive(self) -> dict[str, Any]:
        """The next message; an event is noted as well."""
        pieces = [self._rest]
        while b"\0" not in pieces[-1]:
            if not select.select([self._read], [], [], _PATIENCE)[0]:
                raise TimeoutError(f"Chromium said nothing for {_PATIENCE} seconds.")
            piece = os.read(self._read, 1 << 20)
            if not piece:
                raise EOFError("Chromium has ended.")
            pieces.append(piece)
        text, _, self._rest = b"".join(pieces).partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        self._note(message.get("method", ""), message.get("params", {}))
        return message

    def _note(self, event: str, about: dict[str, Any]) -> None:
        self._events.add(event)
        if event == "Network.requestWillBeSent" and about["type"] != "Document":
            address = about["request"]["url"]
            self.requests += [address] * (not address.startswith("data:"))
        elif event == "Log.entryAdded":
            self.messages.append(about["entry"]["text"])
        elif event == "Runtime.exceptionThrown":
            self.messages.append(json.dumps(about["exceptionDetails"]))
        elif event == "Runtime.consoleAPICalled":
            self.messages.append(json.dumps(about["args"]))


def _send(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


def _pipe() -> tuple[int, int]:
    """The ends of a pipe to read from and to write to, both above the descriptors that Chromium uses."""
    low = os.pipe()
    read, write = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in low)
    for end in low:
        os.close(end)
    return read, write


@contextmanager
def browsing(profile: Path) -> Iterator[Tab]:
    """Starts Chromium once for many pages; ends it at the end.

    Args:
        profile: a folder for Chromium's user data.
    """
    assert CHROMIUM is not None
    (theirs, ours), (our_input, their_output) = _pipe(), _pipe()
    script = f'exec "$@" 3<&{theirs} 4>&{their_output}'  # Chromium reads from descriptor 3 and writes to 4
    program = [CHROMIUM, *_FLAGS, "--remote-debugging-pipe", f"--user-data-dir={profile}"]
    process = subprocess.Popen(
        ["/bin/bash", "-c", script, "chromium", *program],
        pass_fds=(theirs, their_output),
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(theirs)
    os.close(their_output)
    try:
        yield Tab(ours, our_input)
    finally:
        os.close(ours)  # Chromium ends when its pipe does
        os.close(our_input)
        try:
            process.wait(_PATIENCE)
        finally:
            process.kill()
