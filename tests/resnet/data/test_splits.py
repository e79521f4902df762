"""Splits: disjoint, stratified, by content, and stable."""

import hashlib
import random
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from resnet.data.splits import SPLITS, Shares, assign_splits, torn_groups
from resnet.errors import UserError

CLASSES = ["a", "b"]
TRAINING, VALIDATION, TEST = range(3)


def hashes(images: Sequence[object]) -> npt.NDArray[np.uint8]:
    digests = b"".join(hashlib.sha256(str(image).encode()).digest() for image in images)
    return np.frombuffer(digests, np.uint8).reshape(len(images), 32)


def assign(labels: Sequence[int], images: Sequence[object], seed: int = 0, **options: object) -> list[int]:
    shares = Shares(validation=0.1, test=0.2)
    arguments = (np.array(labels, np.uint16), hashes(images), CLASSES, shares)
    return assign_splits(*arguments, seed=seed, **options).tolist()  # type: ignore[arg-type]


def test_every_class_is_cut_in_about_the_shares() -> None:
    splits = np.array(assign([0] * 4000 + [1] * 1000, range(5000)))
    for of_class in (splits[:4000], splits[4000:]):
        shares = np.bincount(of_class, minlength=3) / len(of_class)
        # Three standard deviations of a share of 0.2 of 1,000 images are 0.038.
        np.testing.assert_allclose(shares, [0.7, 0.1, 0.2], atol=0.038)


def test_the_order_of_the_images_does_not_matter() -> None:
    labels, images = [0] * 100 + [1] * 50, list(range(150))
    before = dict(zip(images, assign(labels, images), strict=True))
    order = random.Random(0).sample(range(150), 150)
    after = assign([labels[i] for i in order], [images[i] for i in order])
    assert dict(zip([images[i] for i in order], after, strict=True)) == before


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("each", [40, 300])
def test_adding_images_moves_no_old_one(seed: int, each: int) -> None:
    labels, images = [0] * each + [1] * each, list(range(2 * each))
    before = assign(labels, images, seed)
    new = each // 5
    after = assign([0] * new + labels + [1] * new, [f"x{n}" for n in range(new)] + images + [f"y{n}" for n in range(new)], seed)
    assert after[new:-new] == before


def test_the_seed_decides() -> None:
    labels, images = [0] * 500 + [1] * 500, range(1000)
    assert assign(labels, images) == assign(labels, images)
    moved = sum(one != two for one, two in zip(assign(labels, images), assign(labels, images, seed=1), strict=True))
    assert 380 < moved < 540  # 1000 * (1 - 0.7^2 - 0.1^2 - 0.2^2) = 460 by chance, standard deviation 16


@pytest.mark.parametrize("images", [3, 4, 7])
@pytest.mark.parametrize("seed", range(10))
def test_small_classes_are_in_every_split(images: int, seed: int) -> None:
    splits = assign([0] * images + [1] * images, range(2 * images), seed)
    assert set(splits[:images]) == set(splits[images:]) == {TRAINING, VALIDATION, TEST}


@pytest.mark.parametrize(("images", "found"), [(0, "0 images"), (1, "1 image "), (2, "2 images")])
def test_a_class_with_too_few_images_is_named(images: int, found: str) -> None:
    with pytest.raises(UserError, match=f"class 'b' has {found}.*at least 3"):
        assign([0] * 50 + [1] * images, range(50 + images))


def test_copies_of_one_image_stay_together_and_do_not_count_as_many() -> None:
    splits = assign([0] * 50 + [1] * 50 + [0] * 50, [*range(100), *range(50)], given=["training", "test", *[None] * 148])
    assert splits[2:50] == splits[102:]
    with pytest.raises(UserError, match="class 'b' has 1 image "):
        assign([0] * 50 + [1] * 9, [*range(50), *["x"] * 9])


def test_groups_stay_together_wherever_their_images_are() -> None:
    generator = random.Random(0)
    groups = [generator.choice([None, *map(str, range(200))]) for _ in range(1000)]
    splits = assign([n % 2 for n in range(1000)], range(1000), groups=groups)
    by_group = {
        name: {split for split, group in zip(splits, groups, strict=True) if group == name} for name in set(groups) - {None}
    }
    assert {len(found) for found in by_group.values()} == {1}
    assert torn_groups(groups, np.array(splits)) == []
    np.testing.assert_allclose(np.bincount(splits) / 1000, [0.7, 0.1, 0.2], atol=0.1)


def test_pairs_and_all_that_hang_on_them_stay_together() -> None:
    chain = [(n, n + 1) for n in range(30)]
    splits = assign([n % 2 for n in range(200)], range(200), together=chain)
    assert len(set(splits[:31])) == 1
    assert set(splits[31:]) == {0, 1, 2}


def test_given_splits_are_kept_and_missing_ones_are_cut_from_training() -> None:
    given = ["training"] * 600 + ["test"] * 100
    labels = [n % 2 for n in range(700)]
    splits = assign(labels, range(700), given=given)
    assert splits[600:] == [TEST] * 100
    assert set(splits[:600]) == {TRAINING, VALIDATION}
    assert 30 < splits.count(VALIDATION) < 95  # 60 by chance, standard deviation 7.3
    everything = ["training"] * 500 + ["validation"] * 100 + ["test"] * 100
    assert assign(labels, range(700), given=everything) == [SPLITS.index(name) for name in everything]


def test_copies_across_given_splits_stay_as_given() -> None:
    given = ["training", "test", *["training"] * 100]
    splits = assign([n % 2 for n in range(102)], ["same", "same", *range(100)], given=given)
    assert splits[1] == TEST
    assert splits[0] != TEST


def test_an_image_without_a_split_goes_with_its_likes() -> None:
    given = [None, "training", "test", *[None] * 100]
    splits = assign([n % 2 for n in range(103)], range(103), given=given, together=[(0, 1), (0, 2)])
    assert splits[:3] == [TEST, TRAINING, TEST]


def test_given_splits_need_training() -> None:
    with pytest.raises(UserError, match="the source gives splits, but none for training: call one train"):
        assign([0, 1], range(2), given=["test", "validation"])


def test_a_class_that_is_not_in_the_given_training_split_is_named() -> None:
    given = ["training"] * 10 + ["test"] * 10
    with pytest.raises(UserError, match="class 'b' is not in the training split of the source"):
        assign([0] * 10 + [0] * 5 + [1] * 5, range(20), given=given)


def test_groups_that_the_source_tears_are_named() -> None:
    assert torn_groups(["a", "b", None, "a", "b"], np.array([0, 1, 2, 0, 2])) == ["b"]
