"""Words in names of folders that say which split they hold."""

import pytest

from resnet.ingestion.sources.split_names import differ_only_in_the_split, roles, words


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train", "training"),
        ("TRAINING", "training"),
        ("seg_train", "training"),
        ("imgs-train", "training"),
        ("Training set", "training"),
        ("train2017", "training"),
        ("train_val", "training"),
        ("TrainImages", "training"),
        ("dataset.valid", "validation"),
        ("images_dev", "validation"),
        ("test1", "test"),
        ("TestSet", "test"),
        ("evaluation", "test"),
        ("seg_pred", "unlabelled"),
        ("unlabeled", "unlabelled"),
    ],
)
def test_a_word_in_a_name_is_a_split(name: str, split: str) -> None:
    assert roles([name]) == {name: split}


@pytest.mark.parametrize(
    "name", ["cat", "trainstation", "contest", "valley", "latest", "devon rex", "invalid", "", "1", "test_train"]
)
def test_a_part_of_a_word_is_not(name: str) -> None:
    assert roles([name]) == {}


def test_evaluation_is_validation_beside_a_test_split() -> None:
    assert roles(["train", "eval", "test"])["eval"] == "validation"
    assert roles(["train", "val", "eval", "test"])["eval"] == "test"
    assert roles(["train", "val", "eval"])["eval"] == "test"


def test_words_end_at_anything_but_letters_and_at_capitals() -> None:
    assert words("Seg_Train-2017 imgs.été") == ["seg", "train", "imgs", "été"]
    assert words("TestSet") == ["test", "set"]


def test_names_of_splits_say_the_same_otherwise() -> None:
    assert differ_only_in_the_split(["seg_train", "seg_test", "seg_pred"])
    assert differ_only_in_the_split(["train", "test1", "val_images"])
    assert not differ_only_in_the_split(["train station", "test tube"])
