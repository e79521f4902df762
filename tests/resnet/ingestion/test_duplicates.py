"""Exact duplicates: which images are left out, and the memory that it takes."""

import hashlib
import random
import tracemalloc
from collections.abc import Iterable

from resnet.ingestion.duplicates import Duplicate, DuplicateFinder


def copies(images: Iterable[tuple[object, int, bool]]) -> DuplicateFinder:
    found = DuplicateFinder()
    for content, label, given in images:
        found.add(hashlib.sha256(str(content).encode()).hexdigest(), label, has_split=given)
    return found


def test_the_first_of_equal_images_is_kept() -> None:
    images = ["a", "b", "a", "c", "b", "a", "d"]
    expected = {2: Duplicate(0, conflict=False), 5: Duplicate(0, conflict=False), 4: Duplicate(1, conflict=False)}
    assert copies((content, 0, False) for content in images).find() == expected


def test_images_with_a_split_are_kept_and_those_of_two_labels_are_not() -> None:
    images = [("a", 0, False), ("a", 0, True), ("a", 0, True), ("b", 0, True), ("b", 1, False)]
    assert copies(images).find() == {
        0: Duplicate(1, conflict=False),
        3: Duplicate(4, conflict=True),
        4: Duplicate(3, conflict=True),
    }


def test_no_images_and_one_image_have_no_copies() -> None:
    assert copies([]).find() == {}
    assert copies([("a", 0, False)]).find() == {}
    assert copies([("a", 0, False)] * 2).find() == {1: Duplicate(0, conflict=False)}


def test_any_mixture_is_as_a_dictionary_finds_it() -> None:
    contents = random.Random(0).choices(range(300), k=400)
    expected = {row: contents.index(content) for row, content in enumerate(contents) if contents.index(content) != row}
    found = copies((content, 0, False) for content in contents).find()
    assert {row: reason.other for row, reason in found.items()} == expected


def test_images_that_are_there_once_take_no_objects_of_their_own() -> None:
    found = copies((n, 0, False) for n in range(20_000))
    tracemalloc.start()
    try:
        assert found.find() == {}
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The sorted hashes, 32 bytes, their order, 8, and a few flags; an array object for each image would add 112.
    assert peak / 20_000 < 64
