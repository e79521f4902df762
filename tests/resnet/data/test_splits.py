"""Splits: disjoint, stratified, by content."""

import random
from collections import Counter

import pytest

from resnet.data.splits import SPLITS, assign_splits
from resnet.errors import UserError

CLASSES = ["a", "b"]
LABELS = [0] * 100 + [1] * 50
DIGESTS = [f"{number:064x}" for number in range(150)]


def assign(labels: list[int], digests: list[str], validation: float = 0.1, test: float = 0.2, seed: int = 0) -> list[str]:
    return assign_splits(labels, digests, CLASSES, validation_share=validation, test_share=test, seed=seed)


def test_every_class_is_cut_in_the_shares() -> None:
    counts = Counter(zip(LABELS, assign(LABELS, DIGESTS), strict=True))
    assert counts == {
        (0, "training"): 70,
        (0, "validation"): 10,
        (0, "test"): 20,
        (1, "training"): 35,
        (1, "validation"): 5,
        (1, "test"): 10,
    }


def test_the_order_of_the_images_does_not_matter() -> None:
    before = dict(zip(DIGESTS, assign(LABELS, DIGESTS), strict=True))
    order = random.Random(0).sample(range(150), 150)
    after = assign([LABELS[i] for i in order], [DIGESTS[i] for i in order])
    assert dict(zip([DIGESTS[i] for i in order], after, strict=True)) == before


def test_the_seed_decides() -> None:
    assert assign(LABELS, DIGESTS, seed=0) == assign(LABELS, DIGESTS, seed=0)
    moved = sum(one != two for one, two in zip(assign(LABELS, DIGESTS), assign(LABELS, DIGESTS, seed=1), strict=True))
    assert 30 < moved < 110  # 150 * (1 - 0.7^2 - 0.1^2 - 0.2^2) = 69 by chance


def test_images_of_the_same_content_stay_together() -> None:
    twice = assign(LABELS + LABELS, DIGESTS + DIGESTS)
    assert twice[:150] == twice[150:]


@pytest.mark.parametrize("images", [3, 4, 7])
def test_small_classes_are_in_every_split(images: int) -> None:
    labels, digests = [0] * images + [1] * images, DIGESTS[: 2 * images]
    splits = assign(labels, digests)
    assert set(splits[:images]) == set(splits[images:]) == set(SPLITS)


@pytest.mark.parametrize(("images", "found"), [(0, "0 different images"), (1, "1 different image,"), (2, "2 different images")])
def test_a_class_with_too_few_images_is_named(images: int, found: str) -> None:
    with pytest.raises(UserError, match=f"class 'b' has {found}.*at least 3"):
        assign([0] * 50 + [1] * images, DIGESTS[: 50 + images])


def test_an_image_under_two_labels_is_refused() -> None:
    with pytest.raises(UserError, match=f"the same image is in class 'a' and in class 'b' \\(SHA-256 {DIGESTS[3]}\\)"):
        assign([*LABELS, 1], [*DIGESTS, DIGESTS[3]])


def test_copies_of_one_image_do_not_count_as_many() -> None:
    with pytest.raises(UserError, match="class 'b' has 1 different image,"):
        assign([0] * 50 + [1] * 9, [*DIGESTS[:50], *["f" * 64] * 9])
