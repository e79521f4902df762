"""Pairs of images and classes, and what they decide: splits, folds and thumbnails of images with several labels each."""

import numpy as np
import pytest

from resnet.core.errors import UserError
from resnet.core.label_sets import LabelSets
from resnet.images.manifest import Manifest
from resnet.preparation.class_pairs import class_pairs, images_by_class
from resnet.preparation.folds import Fold, assign_fold
from resnet.preparation.prepared_data import choose_pictured
from resnet.preparation.splits import Shares, absent_classes, assign_splits, few_for_validation
from tests.resnet.preparation.test_splits import hashes

SETS = LabelSets.of_numbers([[0, 2], [], [1], [0, 1, 2]], 3)
CLASSES = ["cat", "dog", "owl"]
SHARES = Shares(validation=0.1, test=0.2)
NO_PAIRS = np.empty((0, 2), np.int64)


def random_sets(images: int, classes: int, seed: int = 0) -> tuple[np.ndarray, LabelSets, np.ndarray]:
    """Labels, their sets, and (images, classes) bool: few of the last classes."""
    frequency = np.geomspace(0.5, 4 / images, classes)
    has = np.random.default_rng(seed).random((images, classes)) < frequency
    members, labels = np.unique(has, axis=0, return_inverse=True)
    return labels.reshape(-1).astype(np.uint16), LabelSets(members), has


def test_pairs_are_those_of_the_sets() -> None:
    labels = np.array([3, 1, 0, 2, 0], np.uint16)
    rows, classes = class_pairs(labels, SETS)
    assert [*zip(rows.tolist(), classes.tolist(), strict=True)] == [
        *[(0, 0), (0, 1), (0, 2)],
        *[(2, 0), (2, 2)],
        (3, 1),
        *[(4, 0), (4, 2)],
    ]
    assert images_by_class(labels, SETS, 3).tolist() == [3, 2, 3]
    rows, classes = class_pairs(labels, None)
    assert (rows.tolist(), classes.tolist()) == ([0, 1, 2, 3, 4], [3, 1, 0, 2, 0])
    assert images_by_class(labels, None, 5).tolist() == [2, 1, 1, 1, 0]


def test_pairs_of_many_images_are_those_of_the_matrix() -> None:
    labels, sets, has = random_sets(500, 12)
    rows, classes = class_pairs(labels, sets)
    assert np.array_equal(np.stack([rows, classes]), np.stack(np.nonzero(has)))
    assert np.array_equal(images_by_class(labels, sets, 12), has.sum(axis=0))


@pytest.mark.parametrize("seed", range(5))
def test_each_class_is_in_each_split_and_other_images_stay_where_their_content_says(seed: int) -> None:
    labels, sets, has = random_sets(400, 14, seed)
    classes = [f"{number:02d}" for number in range(14)]
    enough = has.sum(axis=0) >= 4
    labels, sets, has = _without(has[:, enough])
    names = [name for name, kept in zip(classes, enough, strict=True) if kept]
    splits = assign_splits(labels, hashes(range(400)), names, SHARES, seed=seed, label_sets=sets)
    assert not absent_classes(labels, splits, names, sets)
    assert all(has[splits == split].any(axis=0).all() for split in range(3))
    alone = assign_splits(np.zeros(400, np.uint16), hashes(range(400)), ["one"], SHARES, seed=seed)
    assert (splits != alone).sum() <= 10  # moved for a rare class; otherwise content alone decides
    none = ~has.any(axis=1)
    assert np.array_equal(splits[none], alone[none])


def _without(has: np.ndarray) -> tuple[np.ndarray, LabelSets, np.ndarray]:
    members, labels = np.unique(has, axis=0, return_inverse=True)
    return labels.reshape(-1).astype(np.uint16), LabelSets(members), has


def test_a_class_with_too_few_images_is_named_and_not_its_sets() -> None:
    labels = np.array([0] * 30 + [3, 3] + [1] * 5, np.uint16)
    with pytest.raises(UserError, match="class 'dog' has 2 images that can be in different splits, but at least 3"):
        assign_splits(labels, hashes(range(37)), CLASSES, SHARES, seed=0, label_sets=SETS)
    with pytest.raises(UserError, match="5 folds need .* but class 'dog' has 2: "):
        assign_fold(labels, hashes(range(37)), CLASSES, Fold(1, 5), validation_share=0.1, seed=0, label_sets=SETS)


def test_sets_with_one_image_need_no_other_image() -> None:
    labels = np.array([0] * 30 + [3] + [2] * 9, np.uint16)
    splits = assign_splits(labels, hashes(range(40)), CLASSES, SHARES, seed=0, label_sets=SETS)
    assert not absent_classes(labels, splits, CLASSES, SETS)


def test_folds_partition_the_images_and_have_each_class() -> None:
    labels, sets, has = _without(random_sets(300, 6)[2])
    names = [f"{number}" for number in range(6)]
    found = [
        assign_fold(labels, hashes(range(300)), names, Fold(number, 3), validation_share=0.2, seed=0, label_sets=sets)
        for number in (1, 2, 3)
    ]
    assert (np.stack(found) == 2).sum(axis=0).tolist() == [1] * 300
    assert all(has[splits == split].any(axis=0).all() for splits in found for split in range(3))


def test_a_given_split_without_a_class_is_found() -> None:
    labels = np.array([0, 2, 3, 0, 1], np.uint16)
    splits = np.array([0, 0, 1, 2, 2], np.int8)
    assert absent_classes(labels, splits, CLASSES, SETS) == {"test": ["dog"]}


def test_a_small_validation_split_is_counted_in_images() -> None:
    assert few_for_validation([40, 40], 49) is not None
    assert "has 49 images, at least one class has 40" in str(few_for_validation([40, 40], 49))
    assert few_for_validation([40, 40], 50) is None
    assert few_for_validation([40, 4], 50) is not None
    assert few_for_validation([40, 40]) is None


def test_each_class_and_images_of_none_are_pictured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnet.preparation.prepared_data._MAX_THUMBNAILS_OF_A_CLASS", 2)
    labels = np.array([0] * 20 + [3] * 3 + [2] * 4 + [1] * 5, np.uint16)
    names = [f"{row}" for row in range(len(labels))]
    manifest = Manifest(names, labels, [None] * 32, [None] * 32, hashes(range(32)), np.zeros((32, 8), np.uint8))
    pictured = choose_pictured(manifest, 3, NO_PAIRS, np.zeros(32, np.int8), label_sets=SETS)
    has = SETS.of(labels)
    assert (has[pictured].sum(axis=0) >= 2).all()
    assert (labels[pictured] == 1).sum() == 2  # of the empty set
    assert pictured.sum() <= 2 * 4
