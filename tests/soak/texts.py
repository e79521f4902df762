"""A row of `docs/survival.md` about texts of users: each is the name of a class, of files, of an experiment, and a parameter.

python -m tests.soak.texts [--trials N]
"""

import sys
import tempfile
from pathlib import Path

import pytest

from tests.hostile.texts import TEXTS
from tests.imports import ROOT
from tests.soak.trials import Trial, main


class _Failed:
    """Takes note of the texts with which a test fails, and of tests that are about all of them."""

    def __init__(self) -> None:
        self.texts: set[str] = set()
        self.of_all = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            text = dict(report.user_properties).get("text")
            if isinstance(text, str):
                self.texts.add(text)
            else:
                self.of_all = True


def inert(trials: int) -> int:
    """The tests of `tests/test_hostile_texts.py`, which are about every text; they take seconds."""
    failed = _Failed()
    with tempfile.TemporaryDirectory() as folder:
        options = [
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:xdist",
            "-o",
            "addopts=--import-mode=importlib",
            f"--basetemp={folder}/t",
        ]
        code = pytest.main([*options, str(Path(ROOT, "tests", "test_hostile_texts.py"))], plugins=[failed])
    if code and not failed.texts:
        return 0
    return 0 if failed.of_all else trials - len(failed.texts & set(TEXTS[:trials]))


ROWS = (Trial("hostile texts", len(TEXTS), "inert in shells, YAML, HTML, Git and logs", inert),)

if __name__ == "__main__":
    sys.exit(main(ROWS))
