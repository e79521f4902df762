"""A browser without a window, where the machine has one, to look at pages with."""

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

    Returns:
        The document after it was loaded, and what the page had to say to the console: a request that its policy forbids, too.
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
