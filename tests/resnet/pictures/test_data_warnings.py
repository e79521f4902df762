"""Which warnings the data report has, and where each threshold is."""

from typing import Any

import pandas as pd
import pytest

from resnet.pictures.data_warnings import DataWarning, constant_answer, data_warnings
from resnet.preparation.splits import few_for_validation

NO_PAIRS = {"leaks": 0, "leaked_test_images": 0, "other_labels": 0}


def table(**classes: tuple[int, int, int]) -> pd.DataFrame:
    """Classes with their numbers of images for training, validation and test."""
    frame = pd.DataFrame(classes.values(), index=list(classes), columns=["training", "validation", "test"])
    return frame.assign(images=frame.sum(axis=1))


SOUND = table(a=(5, 25, 10), b=(5, 25, 10))


def warnings(
    classes: pd.DataFrame = SOUND,
    *,
    rejected: int = 0,
    ratio: float = 1,
    astride: tuple[str, ...] = (),
    **pairs: int,
) -> list[DataWarning]:
    files = {"accepted": int(classes["images"].sum()), "rejected": rejected, "duplicate": 1, "ignored": 1}
    balance: dict[str, Any] = {"ratio": ratio}
    return data_warnings(files, classes, balance, {"astride": list(astride)}, NO_PAIRS | pairs)


def test_sound_data_have_none() -> None:
    assert warnings() == []


def test_leaks_into_the_test_split_come_before_those_into_validation() -> None:
    (found,) = warnings(leaks=5, leaked_test_images=3)
    assert found.section == "leaks"
    assert found.text == (
        "3 of 20 test images (15.0\u00a0%) have a near-duplicate in the training or validation split. The accuracy on these 3 "
        "images says little about new images; that on the other 17 is not affected."
    )
    (found,) = warnings(leaks=20, leaked_test_images=19)
    assert found.text.endswith("; that on the other one is not affected.")
    (found,) = warnings(leaks=1)
    assert found.text.startswith("1 near-duplicate pair across training and validation;")


def test_warnings_of_the_accuracy_are_those_of_leaks_into_the_test_split_of_groups_and_of_imbalance() -> None:
    found = warnings(
        table(a=(20, 30, 9), b=(20, 30, 10)), leaks=5, leaked_test_images=3, other_labels=1, astride=("p",), ratio=20
    )
    assert [one.section for one in found if one.of_accuracy] == ["leaks", "splits", "classes"]
    assert "prefer macro F1" in [one.text for one in found if one.of_accuracy][2]
    assert not any(one.of_accuracy for one in warnings(leaks=1))  # between training and validation


def test_a_sentence_has_the_first_names() -> None:
    assert DataWarning("x", "3 groups:", ["a", "b", "c"]).sentence == "3 groups: a, b, c."
    assert DataWarning("x", "Many:", [*"abcdefghij"]).sentence == "Many: a, b, c, d, e, f, g, h and 2 more."
    assert DataWarning("x", "A pair.").sentence == "A pair."


def test_pairs_with_two_labels_may_be_wrong() -> None:
    (found,) = warnings(other_labels=2)
    assert found == DataWarning("leaks", "2 near-duplicate pairs with two different labels: one of them may be wrong.")


def test_groups_in_two_splits_are_named() -> None:
    assert warnings(astride=("p1", "p2")) == [
        DataWarning("splits", "2 groups in more than one split:", ["p1", "p2"], of_accuracy=True)
    ]


@pytest.mark.parametrize(("training", "found"), [(54, []), (53, ["5.1\u00a0% of the files were rejected."])])
def test_more_than_a_twentieth_of_rejected_files_is_too_many(training: int, found: list[str]) -> None:
    # 4 of 80 and 4 of 79 files: the images, 4 rejected, 1 duplicate and 1 ignored.
    assert [one.text for one in warnings(table(a=(training - 40, 50, 10)), rejected=4)] == found


@pytest.mark.parametrize(("images", "found"), [(10, []), (9, ["few"])])
def test_a_class_needs_ten_test_images(images: int, found: list[str]) -> None:
    names = [one.names for one in warnings(table(a=(20, 30, 10), few=(21, 30, images)))]
    assert names == ([found] if found else [])


def test_classes_without_images_are_named_and_not_counted_as_small() -> None:
    (found,) = warnings(table(a=(20, 50, 10), none=(0, 0, 0)))
    assert found == DataWarning("classes", "1 class without images:", ["none"])


@pytest.mark.parametrize(("ratio", "count"), [(9.99, 0), (10.0, 1)])
def test_a_ratio_of_ten_is_a_heavy_imbalance(ratio: float, count: int) -> None:
    found = warnings(ratio=ratio)
    assert len(found) == count
    assert all("10.0 times the images of the smallest" in one.text for one in found)


def test_without_images_there_is_no_imbalance() -> None:
    found = data_warnings({"accepted": 0, "rejected": 0}, table(a=(0, 0, 0)), None, {"astride": []}, NO_PAIRS)
    assert [one.text for one in found] == ["1 class without images:"]


def test_names_that_differ_only_in_case_or_unicode_form_are_named() -> None:
    # The last pair is one letter with the same two marks, which fold differently unless they are reordered first.
    alike = ["Caf\u00e9", "cafe\u0301", "STRASSE", "stra\u00dfe", "\u03b1\u0345\u0301", "\u1fb4"]
    classes = table(**dict.fromkeys([*alike, "cafe", "tea", "x2", "x\u00b2"], (20, 30, 10)))
    (found,) = warnings(classes)
    assert found == DataWarning("classes", "Classes whose names look alike:", alike)


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (0.2, 0.59, "Worse than always answering dog (60.0\u00a0%)."),
        (0.2, 0.6, "No better than always answering dog (60.0\u00a0%), within chance."),
        (0.6, 0.9, "No better than always answering dog (60.0\u00a0%), within chance."),
        (0.61, 0.9, None),
    ],
)
def test_an_accuracy_that_a_constant_answer_reaches_is_a_warning(low: float, high: float, text: str | None) -> None:
    table = pd.DataFrame({"label": ["cat", "dog", "fox"], "support": [3, 6, 1]})
    found = constant_answer({"accuracy_low": low, "accuracy_high": high}, table)
    assert found == ([DataWarning("classes", text, of_accuracy=True)] if text else [])


@pytest.mark.parametrize(
    ("images", "has"),
    [((25, 25), None), ((25, 24), "49 images, at least one class has 24"), ((60, 4), "64 images"), ((1, 0), "1 image, ")],
)
def test_a_small_validation_split_is_warned_of_as_preprocess_does(images: tuple[int, int], has: str | None) -> None:
    found = warnings(table(a=(60, images[0], 10), b=(60, images[1], 10)))
    told = few_for_validation(images)
    assert [one.sentence for one in found] == ([] if told is None else [f"T{told[1:]}."])
    assert (told is None) if has is None else (told is not None and f"has {has}" in told)
