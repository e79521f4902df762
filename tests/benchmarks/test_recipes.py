"""The arithmetic of the table of recipes, and its data."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.recipe_data import open_data
from benchmarks.recipes import interval, table


def test_the_interval_is_students() -> None:
    mean, half = interval([1.0, 2.0, 6.0])
    assert mean == 3.0
    # Standard deviation sqrt(7); 4.303 is in every table of t for two degrees of freedom.
    assert half == pytest.approx(4.303 * 7**0.5 / 3**0.5, rel=1e-3)


def test_differences_are_taken_seed_by_seed() -> None:
    figures = [("base", 0, 0.5, 10.0), ("part", 0, 0.6, 20.0), ("part", 1, 0.9, 10.0), ("base", 1, 0.8, 10.0)]
    rows = [{"part": part, "seed": seed, "accuracy": one, "processor_seconds": time} for part, seed, one, time in figures]
    lines = table(rows).splitlines()
    assert lines[2].startswith("| base | 65.0 ± ")
    assert lines[2].endswith(" |  | 1.00 |")
    assert lines[3].endswith(" | +10.0 ± 0.0 | 1.50 |")


def test_fonts_are_not_shared_among_the_splits_of_letters(tmp_path: Path) -> None:
    splits, classes = open_data("letters", tmp_path)
    assert len(classes) == 26
    for split in splits:
        assert np.bincount(split.labels).tolist() == [len(split) // 26] * 26  # whole fonts, large and small letters
    assert sum(map(len, splits)) > 1000


def test_halves_of_the_classes_share_none(tmp_path: Path) -> None:
    (_, first), (splits, second) = (open_data("digits", tmp_path / str(half), half=half) for half in (0, 1))
    assert first + second == list("0123456789")
    assert {int(label) for split in splits for label in split.labels} == set(range(5))
