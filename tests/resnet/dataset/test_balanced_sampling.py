"""Epochs in which all classes have the same number of images."""

import numpy as np
import pytest

from resnet.dataset.balanced_sampling import balanced_rows

LABELS = np.array([0] * 14 + [1] * 4 + [3] * 2, np.uint16)  # class 2 has no images


def test_each_class_has_the_same_share_and_the_epoch_its_length() -> None:
    rows = balanced_rows(LABELS, seed=3, epoch=1)
    assert len(rows) == 20
    assert rows.tolist() == sorted(rows)
    uses = np.bincount(LABELS[rows], minlength=4)
    assert sorted(uses[[0, 1, 3]].tolist()) == [6, 7, 7]
    assert uses[2] == 0


def test_the_images_of_a_class_are_used_equally_often() -> None:
    uses = np.bincount(balanced_rows(LABELS, seed=3, epoch=1), minlength=20)
    assert set(uses[:14].tolist()) == {0, 1}
    assert set(uses[14:18].tolist()) <= {1, 2}
    assert set(uses[18:].tolist()) <= {3, 4}


def test_all_images_of_a_frequent_class_have_their_turn() -> None:
    seen = {row for epoch in range(1, 30) for row in balanced_rows(LABELS, 0, epoch).tolist()}
    assert seen == set(range(20))


def test_classes_of_one_size_are_used_as_they_are() -> None:
    assert balanced_rows(np.array([1, 0, 1, 0], np.uint16), 0, 1).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(("seed", "epoch"), [(4, 1), (3, 2)])
def test_an_epoch_depends_on_seed_and_epoch_alone(seed: int, epoch: int) -> None:
    rows = balanced_rows(LABELS, 3, 1).tolist()
    assert balanced_rows(LABELS, 3, 1).tolist() == rows
    assert balanced_rows(LABELS, seed, epoch).tolist() != rows
