"""Which folders hold images, and how many."""

from resnet.ingestion.sources.folder_tree import DEEPEST, FolderTree


def tree(*files: str, folders: tuple[str, ...] = ()) -> FolderTree:
    return FolderTree([*((folder, True) for folder in folders), *((file, False) for file in files)])


def test_images_are_counted_by_folder() -> None:
    found = tree("cat/1.jpg", "cat/2", "cat/old/3.png", "top.gif", "cat/boxes.txt", "cat/.DS_Store", "README.md")
    assert (found.images(()), found.images(("cat",)), found.images(("cat", "old")), found.images(("dog",))) == (1, 2, 1, 0)
    assert (found.all_images(()), found.all_images(("cat",))) == (4, 3)
    assert found.examples(("cat",)) == ("1.jpg", "2")
    assert found.examples(("cat", "old")) == ("3.png",)
    assert found.examples(("dog",)) == ()


def test_folders_with_and_without_images_are_told_apart() -> None:
    found = tree("b/x/1.jpg", "a/2.jpg", "parts/boxes.txt", "__MACOSX/1.jpg", folders=("empty", ".git", "a/none"))
    assert found.filled(()) == ["a", "b"]
    assert found.empty(()) == ["empty", "parts"]
    assert (found.filled(("b",)), found.empty(("a",)), found.filled(("nowhere",))) == (["x"], ["none"], [])


def test_folders_can_be_listed_by_level() -> None:
    found = tree("b/x/1.jpg", "a/2.jpg", folders=("c",))
    assert found.at_level(0) == [()]
    assert found.at_level(1) == [("a",), ("b",)]
    assert found.at_level(2) == [("b", "x")]


def test_what_is_very_deep_counts_for_the_deepest_level() -> None:
    deep = ("d",) * DEEPEST
    found = tree("/".join((*deep, "e", "f", "1.jpg")), "/".join((*deep, "2.jpg")))
    assert (found.images(deep), found.filled(deep), found.all_images(())) == (2, [], 2)
