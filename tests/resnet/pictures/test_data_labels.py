"""The page about the data where images have several labels each."""

import dataclasses

import pandas as pd
import pytest

from resnet.pictures.data_labels import describe_sets, each_class, set_in_words
from resnet.pictures.data_report import DataSet, summarise_data
from tests.pictures import picture
from tests.resnet.pictures.test_data_report import data_set, image, page

# By hand: 8 images; cat 5, dog 4, owl 1 of them; 2 have none.
IMAGES = [
    *[(image("0", label="cat|dog"), "training"), (image("1", label="cat|dog"), "training")],
    *[(image("2", label="cat"), "validation"), (image("3", label=""), "training"), (image("4", label=""), "test")],
    *[(image("5", label="cat|dog|owl"), "test"), (image("6", label="dog"), "validation"), (image("7", label="cat"), "test")],
]
PAIRS = [("0", "training", "5", "test", 1), ("3", "training", "4", "test", 2)]


def pets(**frames: object) -> DataSet:
    return dataclasses.replace(data_set(IMAGES, ["cat", "dog", "owl"], **frames), multi_label=True)


def test_images_count_for_each_of_their_classes() -> None:
    shown = page(pets())
    assert shown.table("classes") == [
        ["class", "images", "training", "validation", "test"],
        ["cat", "5", "2", "1", "2"],
        ["dog", "4", "2", "1", "1"],
        ["owl", "1", "0", "0", "1"],
    ]
    assert "8 images in 3 classes" in shown.section("top")
    assert "3 for training, 2 for validation, 3 for testing." in shown.section("top")
    said = shown.section("classes")
    assert "An image has 1.2 classes on average and 3 at most; 2 images have none of them." in said
    assert "There are 5 different sets of classes." in said


def test_the_answer_to_compare_with_is_the_most_frequent_set() -> None:
    # none, cat and cat|dog are of two images each; the first by name is none, which one of three test images has.
    assert "always predicts none of the classes is correct for 33.3 % of the test images" in page(pets()).section("classes")


def test_splits_are_counted_in_images() -> None:
    summary = summarise_data(pets(near_duplicates=PAIRS))
    assert summary["splits"] == {"training": 3, "validation": 2, "test": 3}
    assert summary["classes_in_all"] == 3
    texts = [one.text for one in summary["warnings"]]
    assert any(text.startswith("2 of 3 test images (66.7\u00a0%) have a near-duplicate") for text in texts)
    assert any(text.startswith("The validation split has 2 images, at least one class has none") for text in texts)
    assert "1 near-duplicate pair with two different labels: one of them may be wrong." in texts


def test_samples_are_by_class_and_of_none() -> None:
    pictures = {name: picture(int(name)) for name in "034567"}
    shown = page(pets(thumbnails=pictures, near_duplicates=PAIRS))
    by_class = [alt for alt, _ in shown.pictures()]
    assert by_class[:9] == ["7", "0", "5", "6", "0", "5", "5", "3", "4"]  # cat, dog, owl, none; near-duplicates last
    assert "none of the classes 2 images" in shown.section("samples")
    assert "cat | dog | owl" in shown.section("leaks")
    assert "none of the classes" in shown.section("leaks")


def test_decisions_name_sets() -> None:
    rows = [("0", "cat|dog", "relabel", "|"), ("1", "|", "relabel", "cat"), ("2", "|", "leave out", ""), ("9", "", "keep", "")]
    decided = pd.DataFrame(rows, columns=["path", "given", "decision", "label"])
    data = dataclasses.replace(pets(), decided=decided)
    assert summarise_data(data)["decisions"] == {"changed": 2, "left_out": 1, "kept": 0, "unmatched": 1}
    assert page(data).table("decisions")[1:] == [
        ["cat | dog", "none of the classes", "1"],
        ["none of the classes", "cat", "1"],
    ]


def test_sets_are_described() -> None:
    labels = pd.Series(["a|b", "", "a|b", "c", "a|b|c"])
    assert describe_sets(labels) == {"different": 4, "none": 1, "mean": pytest.approx(8 / 5), "most": 3, "frequent": "a|b"}
    assert describe_sets(pd.Series([], dtype="str"))["frequent"] == ""
    frame = each_class(pd.DataFrame({"path": ["x", "y", "z"], "label": ["a|b", "", "c.d"]}))
    assert frame.to_numpy().tolist() == [["x", "a"], ["x", "b"], ["z", "c.d"]]
    assert [set_in_words(text) for text in ("a|b", "", "|", "a")] == [
        "a | b",
        "none of the classes",
        "none of the classes",
        "a",
    ]
