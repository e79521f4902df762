"""Opens pages in a headless Chromium, where one is installed."""

import re
import shutil
import subprocess
from pathlib import Path

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--enable-logging=stderr", "--v=0", "--dump-dom"),
)


def open_page(page: Path, profile: Path) -> tuple[str, list[str]]:
    """Opens a page.

    Args:
        page: the HTML file.
        profile: a folder for Chromium's user data.

    Returns:
        The document after loading, and the messages on the console, which include requests that the page's policy blocks.
    """
    assert CHROMIUM is not None
    result = subprocess.run(
        [CHROMIUM, *_FLAGS, f"--user-data-dir={profile}", page.resolve().as_uri()],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return result.stdout, re.findall(r".*CONSOLE.*", result.stderr)
