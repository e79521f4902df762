"""Folds: a partition of all images that depends on their content alone, with groups and copies on one side."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet.core.errors import UserError
from resnet.preparation.folds import Fold, assign_fold
from tests.resnet.preparation.test_splits import hashes

TRAINING, VALIDATION, TEST = range(3)


def splits_of(
    labels: Sequence[int], number: int, folds: int, images: Sequence[object] | None = None, **options: object
) -> npt.NDArray[np.int8]:
    pixels = hashes(range(len(labels)) if images is None else images)
    classes = [str(label) for label in range(max(labels) + 1)]
    arguments = {"validation_share": 0.1, "seed": 0} | options
    return assign_fold(np.array(labels, np.uint16), pixels, classes, Fold(number, folds), **arguments)  # type: ignore[arg-type]


def fold_numbers(labels: Sequence[int], folds: int, **options: object) -> list[list[int]]:
    """For each image the folds in whose test split it is."""
    tested = np.array([splits_of(labels, number, folds, **options) == TEST for number in range(1, folds + 1)])  # type: ignore[arg-type]
    return [np.flatnonzero(column).tolist() for column in tested.T]


@settings(max_examples=60, deadline=None)
@given(folds=st.integers(2, 12), seed=st.integers(0, 2**31 - 1), classes=st.integers(2, 4), data=st.data())
def test_each_image_is_tested_in_exactly_one_fold(folds: int, seed: int, classes: int, data: st.DataObject) -> None:
    each = data.draw(st.integers(2 * folds, 4 * folds))
    labels = [n % classes for n in range(each * classes)]
    try:
        found = fold_numbers(labels, folds, seed=seed)
    except UserError as error:
        assert folds == 2 and "cannot be divided into 2 folds" in str(error)  # noqa: PT017, PT018
        return
    assert all(len(numbers) == 1 for numbers in found)
    for label in range(classes):
        assert {numbers[0] for row, numbers in enumerate(found) if labels[row] == label} == set(range(folds))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), groups=st.lists(st.integers(0, 40), min_size=120, max_size=120))
def test_a_group_is_tested_as_a_whole(seed: int, groups: list[int]) -> None:
    labels = [n % 2 for n in range(120)]
    names = [str(group) if group < 20 else None for group in groups]
    try:
        found = fold_numbers(labels, 3, seed=seed, groups=names)
    except UserError:  # such as one group of nearly all images
        return
    for group in set(names) - {None}:
        assert len({numbers[0] for numbers, name in zip(found, names, strict=True) if name == group}) == 1


def test_near_duplicates_and_equal_pixels_are_tested_together() -> None:
    images = [*range(60), 5]  # the last has the pixels of the sixth
    labels = [n % 2 for n in range(60)] + [1]
    found = fold_numbers(labels, 4, images=images, together=np.array([[0, 7], [7, 30]]))
    assert found[5] == found[60]
    assert found[0] == found[7] == found[30]


def test_more_images_move_no_others() -> None:
    labels = [n % 2 for n in range(400)]
    before, after = fold_numbers(labels[:300], 5), fold_numbers(labels, 5)
    assert before == after[:300]


# The first six digits of `(printf '0 '; printf %s N | sha256sum | cut -c1-64 | xxd -r -p) | sha256sum`, as a number below 1.
@pytest.mark.parametrize(("image", "position"), [(7, 0x061EFE), (6, 0x3113B8), (2459, 0x4CC55F), (4, 0x6D448A), (3, 0xFE975B)])
def test_a_fold_is_an_interval_of_the_hash(image: int, position: int) -> None:
    labels = [n % 2 for n in range(200)] + [0]
    found = fold_numbers(labels, 5, images=[*range(10_000, 10_200), image])
    assert found[-1] == [5 * position // 0x1000000]


def test_the_validation_split_is_a_share_of_the_other_images() -> None:
    labels = [n % 2 for n in range(4000)]
    for number in (1, 3, 4):
        counts = np.bincount(splits_of(labels, number, 4, validation_share=0.25))
        # 4,000 images in fourths: 1,000 to test, of 3,000 others 750 to validate; three standard deviations are 82 and 71.
        assert abs(counts[TEST] - 1000) < 82
        assert abs(counts[VALIDATION] - 750) < 75


def test_a_small_class_is_in_each_fold_and_always_in_training_and_validation() -> None:
    labels = [0] * 200 + [1] * 5
    for number in range(1, 6):
        splits = splits_of(labels, number, 5)
        assert set(splits[200:]) == {TRAINING, VALIDATION, TEST}
    assert sorted(fold_numbers(labels, 5)[200:]) == [[0], [1], [2], [3], [4]]


@pytest.mark.parametrize("number", [1, 5])
def test_more_folds_than_images_of_a_class_are_refused(number: int) -> None:
    with pytest.raises(UserError) as caught:
        splits_of([0] * 50 + [1] * 4, number, 5)
    assert str(caught.value) == (
        "5 folds need at least as many images of each class that can be in different folds, but class '1' has 4: use at most 4 "
        "folds, add images, or remove such classes, which ingest.min_images_per_class can do."
    )


def test_two_folds_need_two_images_of_a_class_in_each() -> None:
    with pytest.raises(UserError, match=r"^the images of '1' cannot be divided into 2 folds so that"):
        splits_of([0] * 50 + [1] * 3, 1, 2)


@pytest.mark.parametrize("text", ["6/5", "0/5", "1/1", "1/101", "5", "1/5/2", "a/b", "-1/5", "1.0/5", "", "\uff11/\uff15"])
def test_what_is_no_fold_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"^preprocess.fold is .*, but expected is NUMBER/FOLDS with 2 to 100 folds"):
        Fold.parse(text)


def test_a_fold_is_read_and_written() -> None:
    assert Fold.parse("3/12") == Fold(3, 12)
    assert str(Fold(1, 5)) == "1/5"
