"""`classes.json`, and which names are accepted."""

import json
import re
from pathlib import Path

import pytest

from resnet.core.classes import check_classes, confusable, read_classes, write_classes
from resnet.core.errors import UserError


def test_names_are_read_as_they_were_written(tmp_path: Path) -> None:
    names = ["b", "a", "d\u00f6g, 'big'", "", "7", "nan"]
    write_classes(tmp_path / "classes.json", names)
    assert json.loads((tmp_path / "classes.json").read_text("utf-8")) == names
    assert read_classes(tmp_path / "classes.json") == names


@pytest.mark.parametrize("number", [2, 65_536])
def test_as_many_classes_as_uint16_labels_are_accepted(number: int) -> None:
    check_classes([str(label) for label in range(number)])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], r"has 0 classes \(none\), but a classifier needs 2 to 65,536"),
        (["cat"], r"has 1 class \('cat'\)"),
        ([str(label) for label in range(65_537)], r"has 65,537 classes \('0', '1', '2'\)"),
        (["a", "b", "a"], "names the class 'a' twice"),
    ],
)
def test_other_numbers_and_repeated_names_are_refused(tmp_path: Path, names: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        write_classes(tmp_path / "classes.json", names)
    assert not (tmp_path / "classes.json").exists()


def test_a_name_that_is_not_unicode_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a class name is not valid Unicode \('\\udcff'\)"):
        write_classes(tmp_path / "classes.json", ["a", "b\udcff"])


@pytest.mark.parametrize("content", ["", "[", "{}", '["a"]', '["a", 1]', '"ab"'])
def test_another_content_is_damaged(tmp_path: Path, content: str) -> None:
    (tmp_path / "classes.json").write_text(content)
    with pytest.raises(UserError, match=r"classes\.json is damaged or cut short"):
        read_classes(tmp_path / "classes.json")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"classes\.json is missing"):
        read_classes(tmp_path / "classes.json")


def test_names_that_probably_mean_one_class_are_found() -> None:
    # Unicode Standard Annex 15: NFKC composes "e" with the acute accent, and replaces the ligature "fi" and full-width letters.
    names = ["cat", "Cat", "caf\u00e9", "cafe\u0301", "fish", "\ufb01sh", "\uff24og", "dog", "cow", "cows", "-", "_"]
    assert confusable(names) == [
        "the classes 'cat', 'Cat' look alike and may be one class",
        "the classes 'caf\\xe9', 'cafe\\u0301' look alike and may be one class",
        "the classes 'fish', '\\ufb01sh' look alike and may be one class",
        "the classes '\\uff24og', 'dog' look alike and may be one class",
    ]


@pytest.mark.parametrize(
    "other",
    ["hot-dog", "hot_dog", "hotdog", "hot\u2010dog", "Hot Dog", "h\u043et dog"],  # U+043E: a Cyrillic "o"
)
def test_hyphens_and_letters_of_another_script_look_alike(other: str) -> None:
    assert confusable(["hot dog", other, "cat"]) == [f"the classes 'hot dog', {other!a} look alike and may be one class"]


@pytest.mark.parametrize("other", ["cat ", " cat", "cat\u00a0", "cat\u200b", "\tcat"])
def test_names_that_differ_in_invisible_spaces_are_refused_together(other: str) -> None:
    with pytest.raises(UserError, match=re.escape(f"the classes 'cat', {other!a} differ only in spaces that cannot be")):
        check_classes(["cat", "dog", other])


def test_a_space_within_a_name_is_seen() -> None:
    check_classes(["ice cream", "icecream"])
