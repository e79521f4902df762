"""Which images are the same."""

import hashlib
import random
import tracemalloc
from collections.abc import Iterable

from resnet.ingestion.copies import Copies, LeftOut


def copies(images: Iterable[tuple[object, int, bool]]) -> Copies:
    found = Copies()
    for content, label, given in images:
        found.add(hashlib.sha256(str(content).encode()).hexdigest(), label, given=given)
    return found


def test_the_first_of_equal_images_is_kept() -> None:
    images = ["a", "b", "a", "c", "b", "a", "d"]
    expected = {2: LeftOut(0, conflict=False), 5: LeftOut(0, conflict=False), 4: LeftOut(1, conflict=False)}
    assert copies((content, 0, False) for content in images).left_out() == expected


def test_images_with_a_split_are_kept_and_those_of_two_labels_are_not() -> None:
    images = [("a", 0, False), ("a", 0, True), ("a", 0, True), ("b", 0, True), ("b", 1, False)]
    assert copies(images).left_out() == {
        0: LeftOut(1, conflict=False),
        3: LeftOut(4, conflict=True),
        4: LeftOut(3, conflict=True),
    }


def test_no_images_and_one_image_have_no_copies() -> None:
    assert copies([]).left_out() == {}
    assert copies([("a", 0, False)]).left_out() == {}
    assert copies([("a", 0, False)] * 2).left_out() == {1: LeftOut(0, conflict=False)}


def test_any_mixture_is_as_a_dictionary_finds_it() -> None:
    contents = random.Random(0).choices(range(300), k=400)
    expected = {row: contents.index(content) for row, content in enumerate(contents) if contents.index(content) != row}
    found = copies((content, 0, False) for content in contents).left_out()
    assert {row: reason.other for row, reason in found.items()} == expected


def test_images_that_are_there_once_take_no_objects_of_their_own() -> None:
    found = copies((n, 0, False) for n in range(20_000))
    tracemalloc.start()
    try:
        assert found.left_out() == {}
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The hashes in order, 32 bytes, their order, 8, and a few flags; an array for each would be 112 more.
    assert peak / 20_000 < 64
