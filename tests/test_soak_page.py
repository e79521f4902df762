"""The page that `make soak` writes: the order of its rows, how new rows replace old ones, and its foot."""

import re
from pathlib import Path

import pytest

from tests.imports import ROOT
from tests.soak import __main__ as soak
from tests.soak.__main__ import PAGE, run, write_page, write_section
from tests.soak.trials import Trial

OLD = "2026-01-01, 4 cores of another processor"


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak, "machine", lambda: {"cores": 3, "processor": "this processor"})


def test_a_row_has_its_trials_the_number_survived_and_when_and_where_it_was_run() -> None:
    line, well = run(Trial("a fault", 10, "hold", lambda trials: trials - 1), 0.5)
    assert re.fullmatch(r"\| a fault \| 5 \| 4 \| hold \| 0 \| \d{4}-\d\d-\d\d, 3 cores of this processor \|", line)
    assert not well
    line, well = run(Trial("a fault", 10, "hold", lambda trials: trials), 0.01)
    assert line.startswith("| a fault | 1 | 1 | hold | 0 | ")
    assert well


def test_new_rows_replace_old_ones_and_the_order_is_kept(tmp_path: Path) -> None:
    page = tmp_path / "survival.md"
    write_page(page, {"b": f"| b | 3 | 3 | hold | 60 | {OLD} |"}, ["a", "b"])
    assert page.read_text("utf-8").endswith("\nTotal: 1 rows, 3 trials, 3 survived, 60 seconds.\n\nNot yet run whole:\n\n- a\n")
    write_page(page, {"a": f"| a | 1001 | 1000 | hold | 61 | {OLD} |"}, ["a", "b"])
    write_page(page, {"b": f"| b | 9 | 9 | hold | 1200 | {OLD} |"}, ["a", "b"])
    rows = [line for line in page.read_text("utf-8").splitlines() if line.startswith("| ")]
    assert rows == [
        "| fault | trials | survived | expected | seconds | run |",
        f"| a | 1001 | 1000 | hold | 61 | {OLD} |",
        f"| b | 9 | 9 | hold | 1200 | {OLD} |",
    ]
    assert page.read_text("utf-8").endswith("\nTotal: 2 rows, 1,010 trials, 1,009 survived, 1,261 seconds.\n")


def test_the_section_after_the_table_stays_until_it_is_written_again(tmp_path: Path) -> None:
    page = tmp_path / "survival.md"
    write_page(page, {"a": f"| a | 1 | 1 | hold | 1 | {OLD} |"}, ["a"])
    whole = page.read_text("utf-8")
    write_section(page, "Killed", "first\n")
    write_section(page, "Killed", "second\n")
    write_page(page, {}, ["a"])
    assert page.read_text("utf-8") == f"{whole}\n## Killed\n\nsecond\n"


def test_a_row_that_this_machine_cannot_run_stays_on_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "survival.md"
    monkeypatch.setattr(soak, "ROOT", tmp_path)
    monkeypatch.setattr(soak, "PAGE", Path("survival.md"))
    rows = [Trial("a", 0, "hold", lambda trials: 1 // 0), Trial("b", 2, "hold", lambda trials: trials)]
    monkeypatch.setattr(soak, "collect", lambda: rows)
    write_page(page, {"a": f"| a | 5 | 5 | hold | 7 | {OLD} |"}, ["a", "b"])
    assert soak.main([]) == 0
    assert f"| a | 5 | 5 | hold | 7 | {OLD} |\n| b | 2 | 2 | hold | 0 | " in page.read_text("utf-8")


def test_the_committed_page_has_a_foot_that_adds_up() -> None:
    lines = (ROOT / PAGE).read_text("utf-8").splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("| ")][1:]
    trials, survived, seconds = (sum(int(row[column]) for row in rows) for column in (1, 2, 4))
    (foot,) = (line for line in lines if line.startswith("Total: "))
    assert foot.startswith(f"Total: {len(rows)} rows, {trials:,} trials, {survived:,} survived, {seconds:,} seconds.")
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d, \d+ cores of .+", row[5]) for row in rows)
