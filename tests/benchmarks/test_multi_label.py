"""The benchmark of several labels: its grids and its table, and that it runs."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import multi_label
from benchmarks.multi_label import Logits, Recipe, grids, make_arrays, ours, table
from resnet.training.loop import DivergedError
from tests.pictures import two_classes


def test_a_grid_shows_the_classes_that_it_is_labelled_with() -> None:
    labels = np.arange(6, dtype=np.uint16) % 3
    images = np.full((6, 4, 4, 3), 0, np.uint8) + 10 * (labels.astype(np.uint8)[:, np.newaxis, np.newaxis, np.newaxis] + 1)
    found, truth = grids(images, labels, 3, 50, seed=0)
    assert found.shape == (50, 8, 8, 3)
    assert {int(row.sum()) for row in truth} == {1, 2, 3}
    for image, row in zip(found, truth, strict=True):
        assert {int(value) // 10 - 1 for value in np.unique(image) if value} == set(np.flatnonzero(row).tolist())


def test_the_table_compares_seed_by_seed() -> None:
    rows = [
        {"contender": name, "rate": 0.001, "smoothing": 0.1, "seed": seed, "validation": 0.5, "test": figure}
        for name, figures in (("ours", (0.61, 0.63)), ("timm", (0.60, 0.60)))
        for seed, figure in enumerate(figures)
    ]
    assert "| ours | 0.001 | 0.1 | 62.0 ± " in table(rows)
    assert "| timm | 0.001 | 0.1 | 60.0 ± 0.0 | ours +2.0 ± " in table(rows)


def test_a_training_that_diverges_counts_as_the_lowest() -> None:
    arrays = {f"{name}_truth": np.array([[True, False], [False, True]]) for name in ("validation", "test")}
    right = np.eye(2, dtype=np.float32)
    found = {10.0: {}, 0.1: {"validation": right, "test": right}}

    def learn(recipe: Recipe, seed: int) -> Logits:
        return found[recipe.rate]

    assert multi_label._figures(arrays, learn, Recipe(10.0, 0.0), 0) == {"validation": 0.0, "test": 0.0}
    assert multi_label._figures(arrays, learn, Recipe(0.1, 0.0), 0) == {"validation": 1.0, "test": 1.0}


def test_a_loss_that_is_not_finite_gives_no_logits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def diverge(*_: object, **__: object) -> None:
        raise DivergedError("the loss became nan.")

    monkeypatch.setattr("resnet.training.loop.Trainer.fit", diverge)
    arrays, _ = make_arrays(str(two_classes(tmp_path / "photos", each=40)), 32, 64)
    assert ours(arrays, 1, Recipe(0.1, 0.0), 0) == {}


def test_it_runs_without_a_peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    source, results = two_classes(tmp_path / "photos", each=40), tmp_path / "found.json"
    options = ["--size", "32", "--images", "64", "--epochs", "1", "--seeds", "0", "--rates", "0.001", "--json", str(results)]
    monkeypatch.setattr(sys, "argv", ["multi_label", str(source), *options])
    assert multi_label.main() == 0
    found = json.loads(results.read_text("utf-8"))
    assert (found["classes"], found["images"]) == (2, {"training": 64, "validation": 16, "test": 32})
    assert 0 < found["rows"][0]["test"] <= 1
    assert "| ours | 0.001 |" in capsys.readouterr().out
