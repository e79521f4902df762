"""The recipe benchmark: the arithmetic of its table, and its data sets."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import recipes
from benchmarks.recipe_data import open_data
from benchmarks.recipe_parts import BASE, PARTS
from benchmarks.recipes import epoch_seconds, epochs_of, mean_in_words, table, train


def test_the_interval_is_by_students_t() -> None:
    # The standard deviation is sqrt(7); the 97.5 % quantile of t with two degrees of freedom is 4.303: 4.303 * sqrt(7 / 3).
    assert mean_in_words([1.0, 2.0, 6.0], decimals=2, sign="+") == "+3.00 ± 6.57"
    assert mean_in_words([-1.0, -2.0, -6.0]) == "-3.0 ± 6.6"
    assert mean_in_words([3.0]) == "3.0"


def test_differences_are_taken_seed_by_seed() -> None:
    figures = [("base", 0, 0.5, 10.0), ("part", 0, 0.6, 20.0), ("part", 1, 0.9, 10.0), ("base", 1, 0.8, 10.0)]
    names = ("part", "seed", "accuracy", "processor_seconds")
    rows = [dict(zip(names, row, strict=True)) | {"epochs": 4} for row in figures]
    lines = table(rows).splitlines()
    assert lines[2].startswith("| base | 4 | 65.0 ± ")
    assert lines[2].endswith(" |  | 1.00 |")
    assert lines[3].endswith(" | +10.0 ± 0.0 | 1.50 |")


def test_every_image_is_in_exactly_one_split(tmp_path: Path) -> None:
    splits, classes = open_data("digits", tmp_path)
    assert classes == list("0123456789")
    assert list(map(len, splits)) == [1079, 179, 539]
    counts = np.bincount(np.concatenate([split.labels for split in splits]))
    # Images per digit, from scikit-learn's documentation.
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_classes_are_made_rare_in_training_and_validation_and_not_in_the_test(tmp_path: Path) -> None:
    whole, unequal = (open_data("digits", tmp_path / str(rare), one_in=rare)[0] for rare in (1, 10))
    for split, thin in zip(whole[:2], unequal[:2], strict=True):
        before, after = (np.bincount(one.labels, minlength=10) for one in (split, thin))
        assert after[:5].tolist() == before[:5].tolist()
        assert after[5:].sum() == -(-before[5:].sum() // 10)
    assert whole[2].labels.tolist() == unequal[2].labels.tolist()


def test_the_two_halves_of_the_classes_are_disjoint(tmp_path: Path) -> None:
    (_, first), (splits, second) = (open_data("digits", tmp_path / str(half), half=half) for half in (0, 1))
    assert first + second == list("0123456789")
    assert {int(label) for split in splits for label in split.labels} == set(range(5))


def test_a_slower_part_gets_fewer_epochs_but_at_least_one() -> None:
    seconds = {BASE: 2.0, "flips": 1.9, "variant D": 2.5, "small stem": 50.0}
    assert epochs_of(["flips", BASE, "variant D", "small stem"], 8, seconds.__getitem__) == {
        "flips": 8,
        BASE: 8,
        "variant D": 6,
        "small stem": 1,
    }


def test_the_time_of_an_epoch_is_measured_at_each_size(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds, clock = {16: 1.0, 24: 2.0, 32: 6.0}, [0.0]

    def prepare(splits: Any, classes: Any, changes: dict[str, Any], **options: Any) -> Any:
        (size,) = changes["train.size_schedule"]

        def fit(until: int) -> None:
            clock[0] += seconds[size] + (100 if until == 1 else 0)  # the first epoch includes tracing

        return None, fit

    monkeypatch.setattr(recipes, "prepare", prepare)
    monkeypatch.setattr(time, "process_time", lambda: clock[0])
    assert epoch_seconds([], [], {"train.size_schedule": [16, 24, 32]}, width=4) == 3.0


def test_a_part_changes_the_network_and_it_is_trained_and_evaluated(tmp_path: Path) -> None:
    splits, classes = open_data("digits", tmp_path)
    model, figures = train(splits, classes, PARTS["variant D"], epochs=2, seed=0, width=4, weights="builtin/random")
    assert {"conv1_1_conv", "conv3_block1_0_pool"} <= {layer.name for layer in model.layers}
    assert figures["epochs"] == 2
    assert 0.1 < figures["accuracy"] <= 1
    assert 0 < epoch_seconds(splits, classes, PARTS[BASE], width=4) < figures["processor_seconds"]
