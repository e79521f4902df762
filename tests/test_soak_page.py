"""The page of `make soak`: rows in their order, newer ones in the place of older ones."""

from pathlib import Path

from tests.soak.__main__ import run, write_page
from tests.soak.trials import Trial


def test_a_row_is_a_line_with_its_trials_and_what_survived() -> None:
    line, well = run(Trial("a fault", 10, "hold", lambda trials: trials - 1), 0.5)
    assert line == "| a fault | 5 | 4 | hold | 0 |"
    assert not well
    assert run(Trial("a fault", 10, "hold", lambda trials: trials), 0.01) == ("| a fault | 1 | 1 | hold | 0 |", True)


def test_newer_lines_take_the_place_of_older_ones(tmp_path: Path) -> None:
    page = tmp_path / "survival.md"
    write_page(page, {"b": "| b | 3 | 3 | hold | 60 |"}, ["a", "b"])
    write_page(page, {"a": "| a | 1 | 1 | hold | 60 |"}, ["a", "b"])
    write_page(page, {"b": "| b | 9 | 9 | hold | 120 |"}, ["a", "b"])
    rows = [line for line in page.read_text("utf-8").splitlines() if line.startswith("| ")]
    assert rows == ["| fault | trials | survived | must | seconds |", "| a | 1 | 1 | hold | 60 |", "| b | 9 | 9 | hold | 120 |"]
    assert "3 minutes in all" in page.read_text("utf-8")
