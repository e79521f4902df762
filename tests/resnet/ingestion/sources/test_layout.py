"""How the folders of a source are interpreted."""

import pytest

from resnet.core.errors import UserError
from resnet.images.outcomes import Candidate, Ignored, Rejected
from resnet.ingestion.sources.layout import Layout, find_layout, is_ignored


def layout(*files: str, folders: tuple[str, ...] = ()) -> Layout:
    return find_layout([*((folder, True) for folder in folders), *((file, False) for file in files)])


def test_top_level_folders_are_the_classes() -> None:
    found = layout("dog/b.jpg", "cat/x/y/z/a.jpg", "readme.md")
    assert found.classes == ["cat", "dog"]
    assert found.place("cat/x/y/z/a.jpg") == (None, "cat")
    assert found.place("dog/b.jpg") == (None, "dog")
    assert found.place("stray.jpg") == (None, None)
    assert found.notes() == ()


def test_an_empty_class_folder_is_a_class() -> None:
    assert layout("cat/1.jpg", folders=("cat", "dog", "eel")).classes == ["cat", "dog", "eel"]


@pytest.mark.parametrize("validation", ["val", "valid", "validation", "Val", "DEV"])
def test_folders_of_splits_have_the_classes_inside(validation: str) -> None:
    found = layout("train/cat/1.jpg", f"{validation}/cat/2.jpg", "test/dog/3.jpg")
    assert found.classes == ["cat", "dog"]
    assert found.place("train/cat/1.jpg") == ("training", "cat")
    assert found.place(f"{validation}/cat/2.jpg") == ("validation", "cat")
    assert found.place("test/dog/x/3.jpg") == ("test", "dog")
    assert found.place("test/3.jpg") == ("test", None)


@pytest.mark.parametrize("names", [("train", "bus", "plane"), ("test", "trial")])
def test_classes_that_are_called_like_splits_stay_classes(names: tuple[str, ...]) -> None:
    found = layout(*(f"{name}/{n}.jpg" for name in names for n in range(2)))
    assert found.classes == sorted(names)
    assert not found.has_splits


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ("train", "test", "extra"),
            "the folders 'test', 'train', which have names of splits, beside 'extra': remove one or the other",
        ),
        (("test", "val"), "the splits 'test', 'val', but no train"),
    ],
)
def test_splits_beside_something_else_are_refused(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        layout(*(f"{name}/{kind}/1.jpg" for name in names for kind in ("cat", "dog")))


def test_a_folder_around_everything_does_not_count() -> None:
    found = layout("flowers/photos/rose/1.jpg", "flowers/photos/tulip/2.jpg", "__MACOSX/flowers/._1.jpg", "flowers/LICENSE.txt")
    assert found.classes == ["rose", "tulip"]
    assert found.place("flowers/photos/rose/1.jpg") == (None, "rose")
    assert found.notes() == ("the classes were found 2 levels down",)
    assert layout("data/train/a/1.jpg", "data/test/b/2.jpg").place("data/test/b/2.jpg") == ("test", "b")


def test_a_single_class_is_not_mistaken_for_a_folder_around() -> None:
    assert layout("cat/1.jpg", "cat/old/2.jpg", "cat/new/3.jpg").classes == ["cat"]
    assert layout("a/b/c/d/e/f/1.jpg").classes == ["a"]


def test_every_file_has_an_outcome() -> None:
    found = layout("cat/1.jpg", "dog/1.jpg")
    assert found.outcome("cat/.DS_Store", bytes) == Ignored("cat/.DS_Store")
    stray = found.outcome("1.jpg", bytes)
    assert isinstance(stray, Rejected)
    assert stray.reason == "no_label"
    candidate = found.outcome("cat/1.jpg", lambda: b"x")
    assert isinstance(candidate, Candidate)
    assert (candidate.label, candidate.split, candidate.group, candidate.read()) == ("cat", None, None, b"x")


@pytest.mark.parametrize(
    "path",
    [
        "a/.DS_Store",
        "a/Thumbs.db",
        "a/desktop.ini",
        "README",
        "a/README.md",
        "readme_en.txt",
        "LICENSE",
        ".git/x.jpg",
        "a/._1.jpg",
    ],
)
def test_what_is_no_image_by_design_is_ignored(path: str) -> None:
    assert is_ignored(path)


@pytest.mark.parametrize(
    "path", ["a/readme.jpg", "a/thumbs.png", "readmission/1.jpg", "a/license plate.jpg", "a/NOTICE 7", "a/notes.txt", "a/1"]
)
def test_what_may_be_an_image_is_not(path: str) -> None:
    assert not is_ignored(path)
