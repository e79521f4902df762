"""The benchmark of wrong labels: its flips and its arithmetic, with a stand-in for the network."""

import argparse

import numpy as np
import pytest

from benchmarks.label_noise import Labels, Pixels, flipped, measure, table

CLASSES = list("012")


def test_the_share_of_labels_is_flipped_to_another_class() -> None:
    labels = np.repeat(np.arange(3, dtype=np.uint16), 100)
    noisy = flipped(labels, 3, 0.05, seed=1)
    changed = np.flatnonzero(noisy != labels)
    assert len(changed) == 15
    assert noisy.max() < 3
    assert {(int(noisy[row]) - int(labels[row])) % 3 for row in changed} == {1, 2}
    assert (flipped(labels, 3, 0.05, seed=1) == noisy).all()


def test_an_audit_by_networks_that_know_everything_regains_all() -> None:
    generator = np.random.default_rng(0)
    labels = np.array([n % 3 for n in range(300)], np.uint16)
    images = generator.integers(0, 256, (300, 32, 32, 3), dtype=np.uint8)
    images[:, 0, 0, 0] = labels  # what the stand-in reads

    def learn(seen: Pixels, known: Labels, splits: np.ndarray, seed: int) -> np.ndarray:
        """Right as often as the labels that it learned from, but for a fixed image of the test split."""
        right = seen[splits == 2, 0, 0, 0].astype(int)
        probabilities = np.full((len(right), 3), 0.05, np.float32)
        probabilities[np.arange(len(right)), right] = 0.9
        wrong = int((known[splits != 2] != seen[splits != 2, 0, 0, 0]).any())
        probabilities[:wrong] = probabilities[:wrong, [1, 2, 0]]
        return probabilities

    row = measure(images, labels, CLASSES, argparse.Namespace(noise=0.1, folds=3), seed=0, learn=learn)
    assert row["flips"] == round(0.1 * row["images"])
    assert row["among_first"] > 0.9
    assert row["clean"] == 1
    assert row["noisy"] < 1
    assert row["suspects_wrong"] <= row["suspects"]


def test_the_table_has_means_over_seeds() -> None:
    base = {"images": 100, "flips": 5, "out_of_fold_accuracy": 0.9, "suspects": 6, "suspects_wrong": 3, "suggested_right": 1.0}
    rows = [
        {**base, "seed": 0, "among_first": 0.6, "noisy": 0.8, "corrected": 0.85, "clean": 0.9},
        {**base, "seed": 1, "among_first": 0.8, "noisy": 0.7, "corrected": 0.8, "clean": 0.9},
    ]
    line = table([{"data": "digits", "epochs": 3, "rows": rows}]).splitlines()[2]
    assert line.startswith("| digits, 3 epochs | 100, 5 | 2 | 90.0 % | 0.70 ± ")
    assert line.endswith(" | 0.50, 0.60 | 75.00 % | 82.50 % | 90.00 % | 0.50 |")
    assert table([{"data": "x", "epochs": 3, "rows": [{**rows[0], "clean": 0.8}]}]).endswith("| nothing was lost |")


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_none_or_all_labels_can_be_flipped(share: float) -> None:
    labels = np.zeros(10, np.uint16)
    assert (flipped(labels, 2, share, seed=0) != labels).mean() == share
