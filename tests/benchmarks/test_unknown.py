"""The figures of the benchmark of scores for foreign images."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from benchmarks.unknown import auroc, foreign_images, passing, scores, table


def test_the_auroc_is_that_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    known, foreign = generator.normal(1, 1, 70).round(1), generator.normal(0, 1, 50).round(1)
    expected = roc_auc_score(np.repeat([1, 0], [70, 50]), np.concatenate([known, foreign]))
    assert auroc(known, foreign) == pytest.approx(expected)


def test_passing_are_those_at_least_as_high_as_95_of_100_known_images() -> None:
    assert passing(np.arange(100.0), np.array([-1.0, 3.9, 4.0, 50.0])) == 0.5


def test_a_table_has_all_scores_and_each_kind_of_foreign_images() -> None:
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 3

    def outputs(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return features[:, :3] * 4, features

    known = [outputs(np.eye(8)[labels] + 0.1 * generator.normal(size=(60, 8))) for _ in range(3)]
    away = outputs(np.eye(8)[labels + 4] + 0.1 * generator.normal(size=(60, 8)))
    lines = table(known[2], {"far": away, "same": known[1]}, scores(known[0], labels, known[1])).splitlines()
    assert lines[0] == "| score | far | same |"
    assert len(lines) == 2 + 6
    assert lines[-1].startswith("| distance to the nearest class mean, as stored | 1.000 / 0.00 | 0.")


def test_foreign_images_are_the_same_in_every_call() -> None:
    for name in ("digits", "noise"):
        images = foreign_images(name, 16, 3)
        assert images.shape == (3, 16, 16, 3)
        assert images.dtype == np.uint8
        np.testing.assert_array_equal(images, foreign_images(name, 16, 3))
