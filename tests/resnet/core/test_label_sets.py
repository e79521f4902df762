"""Sets of classes as labels, and `classes.json` with them."""

import json
from pathlib import Path

import numpy as np
import pytest

from resnet.core.classes import read_classes, read_label_sets, read_label_texts, write_classes
from resnet.core.errors import UserError
from resnet.core.label_sets import LabelSets, names_in, texts_of

CLASSES = ["cat", "dog", "tree"]
SETS = LabelSets.of_numbers([[], [2, 0], [1]], 3)


def test_a_label_stands_for_its_classes() -> None:
    assert len(SETS) == 3
    assert SETS.of(np.array([1, 0, 2, 1], np.uint16)).tolist() == [
        [True, False, True],
        [False, False, False],
        [False, True, False],
        [True, False, True],
    ]


def test_texts_are_in_the_order_of_the_classes() -> None:
    assert SETS.texts(CLASSES) == ["", "cat|tree", "dog"]
    assert texts_of(np.array([[True, True, True]]), CLASSES) == ["cat|dog|tree"]


@pytest.mark.parametrize(
    ("text", "names"),
    [("cat", ["cat"]), (" tree | cat", ["tree", "cat"]), ("a|a|b", ["a", "b"]), ("", []), (" | ", []), ("a||b", ["a", "b"])],
)
def test_the_names_of_a_text(text: str, names: list[str]) -> None:
    assert names_in(text) == names


def test_sets_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "classes.json"
    write_classes(path, CLASSES, SETS)
    assert json.loads(path.read_text("utf-8")) == {"classes": CLASSES, "label_sets": [[], [0, 2], [1]]}
    assert read_classes(path) == CLASSES
    found = read_label_sets(path)
    assert found is not None
    assert (found.members == SETS.members).all()
    assert read_label_texts(path) == ["", "cat|tree", "dog"]


def test_one_label_an_image_has_no_sets(tmp_path: Path) -> None:
    path = tmp_path / "classes.json"
    write_classes(path, CLASSES)
    assert json.loads(path.read_text("utf-8")) == CLASSES
    assert read_label_sets(path) is None
    assert read_label_texts(path) == CLASSES


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"classes": CLASSES}, "its label_sets are not lists of numbers of its 3 classes"),
        ({"classes": CLASSES, "label_sets": []}, "its label_sets are not lists"),
        ({"classes": CLASSES, "label_sets": [[3]]}, "its label_sets are not lists"),
        ({"classes": CLASSES, "label_sets": [[-1]]}, "its label_sets are not lists"),
        ({"classes": CLASSES, "label_sets": [[True]]}, "its label_sets are not lists"),
        ({"classes": CLASSES, "label_sets": [[1, 1]]}, "its label_sets are not lists"),
        ({"classes": CLASSES, "label_sets": [0]}, "its label_sets are not lists"),
        ({"classes": CLASSES, "label_sets": [[0, 1], [1, 0]]}, "it has a label set twice"),
        ({"classes": ["cat"], "label_sets": [[0]]}, "not a list of two or more names"),
        ({"label_sets": [[0]]}, "not a list of two or more names"),
    ],
)
def test_other_sets_are_refused(tmp_path: Path, tree: object, message: str) -> None:
    (tmp_path / "classes.json").write_text(json.dumps(tree), encoding="utf-8")
    with pytest.raises(UserError, match=message):
        read_label_sets(tmp_path / "classes.json")


def test_more_sets_than_labels_are_refused(tmp_path: Path) -> None:
    many = LabelSets((np.arange(65_537)[:, np.newaxis] >> np.arange(17)) % 2 == 1)
    names = [f"class {number}" for number in range(17)]
    with pytest.raises(UserError, match=r"have 65,537 different sets of labels, but at most 65,536 can be told apart"):
        write_classes(tmp_path / "classes.json", names, many)
    write_classes(tmp_path / "classes.json", names, LabelSets(many.members[1:]))
    found = read_label_sets(tmp_path / "classes.json")
    assert found is not None
    assert (found.members == many.members[1:]).all()
