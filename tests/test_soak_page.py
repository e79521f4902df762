"""The page that `make soak` writes: the order of its rows, and how new rows replace old ones."""

from pathlib import Path

from tests.soak.__main__ import run, write_page
from tests.soak.trials import Trial


def test_a_row_has_its_trials_and_the_number_survived() -> None:
    line, well = run(Trial("a fault", 10, "hold", lambda trials: trials - 1), 0.5)
    assert line == "| a fault | 5 | 4 | hold | 0 |"
    assert not well
    assert run(Trial("a fault", 10, "hold", lambda trials: trials), 0.01) == ("| a fault | 1 | 1 | hold | 0 |", True)


def test_new_rows_replace_old_ones_and_the_order_is_kept(tmp_path: Path) -> None:
    page = tmp_path / "survival.md"
    write_page(page, {"b": "| b | 3 | 3 | hold | 60 |"}, ["a", "b"])
    write_page(page, {"a": "| a | 1 | 1 | hold | 60 |"}, ["a", "b"])
    write_page(page, {"b": "| b | 9 | 9 | hold | 120 |"}, ["a", "b"])
    rows = [line for line in page.read_text("utf-8").splitlines() if line.startswith("| ")]
    assert rows == [
        "| fault | trials | survived | expected | seconds |",
        "| a | 1 | 1 | hold | 60 |",
        "| b | 9 | 9 | hold | 120 |",
    ]
    assert "Total: 3 minutes on " in page.read_text("utf-8")
