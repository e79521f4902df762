"""Hostile texts as names of classes, files and experiments, and as parameters: a row of `docs/survival.md`.

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
    """A pytest plugin that collects the texts with which a test failed; `of_all` is set if a test of all texts failed."""

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
    """Runs `tests/test_hostile_texts.py`; returns the number of texts that pass."""
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
