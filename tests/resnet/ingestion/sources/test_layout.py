"""How the folders of a source are interpreted: places, outcomes, and unlabelled splits."""

import pytest

from resnet.core.errors import UserError
from resnet.images.outcomes import Candidate, Ignored, Rejected
from resnet.ingestion.sources.layout import Layout, find_layout


def layout(*files: str, folders: tuple[str, ...] = (), level: int | None = None) -> Layout:
    return find_layout([*((folder, True) for folder in folders), *((file, False) for file in files)], level)


def test_top_level_folders_are_the_classes() -> None:
    found = layout("dog/b.jpg", "cat/x/y/z/a.jpg", "readme.md")
    assert found.classes == ["cat", "dog"]
    assert found.place("cat/x/y/z/a.jpg") == (None, "cat")
    assert found.place("dog/b.jpg") == (None, "dog")
    assert found.place("stray.jpg") == (None, None)
    assert found.notes == found.splits == ()


def test_the_names_of_files_do_not_say_which_are_classes() -> None:
    assert layout("cat/1", "dog/2.unknown", "owl/3.JPEG").classes == ["cat", "dog", "owl"]


def test_a_folder_without_an_image_is_no_class_and_named() -> None:
    found = layout("cat/1.jpg", "dog/1.jpg", "parts/boxes.txt", folders=("cat", "dog", "eel"))
    assert found.classes == ["cat", "dog"]
    assert found.notes == ("folders without an image are no classes: 'eel', 'parts'",)
    assert layout(folders=("cat", "dog")).classes == ["cat", "dog"]


@pytest.mark.parametrize("validation", ["val", "valid", "validation", "Val", "DEV"])
def test_folders_of_splits_have_the_classes_inside(validation: str) -> None:
    found = layout("train/cat/1.jpg", "train/dog/4.jpg", f"{validation}/cat/2.jpg", "test/dog/3.jpg")
    assert found.classes == ["cat", "dog"]
    assert found.splits == ("training", "validation", "test")
    assert found.place("train/cat/1.jpg") == ("training", "cat")
    assert found.place(f"{validation}/cat/2.jpg") == ("validation", "cat")
    assert found.place("test/dog/x/3.jpg") == ("test", "dog")
    assert found.place("test/3.jpg") == ("test", None)
    assert found.place("3.jpg") == (None, None)
    assert found.notes == ()


def test_a_folder_around_everything_does_not_count() -> None:
    found = layout("flowers/photos/rose/1.jpg", "flowers/photos/tulip/2.jpg", "__MACOSX/flowers/._1.jpg", "flowers/LICENSE.txt")
    assert found.classes == ["rose", "tulip"]
    assert found.place("flowers/photos/rose/1.jpg") == (None, "rose")
    assert found.notes == ("the classes were found 2 levels down",)
    assert layout("data/train/a/1.jpg", "data/test/a/2.jpg").place("data/test/a/2.jpg") == ("test", "a")


def test_class_folders_beside_annotations_are_found() -> None:
    """The birds of CUB-200-2011: https://www.vision.caltech.edu/datasets/cub_200_2011/."""
    birds = ("CUB/images/001.Albatross/1.jpg", "CUB/images/002.Auklet/1.jpg")
    found = layout(*birds, "CUB/attributes/certainties.txt", "CUB/parts/parts.txt", "CUB/classes.txt")
    assert found.classes == ["001.Albatross", "002.Auklet"]
    assert found.notes == (
        "the classes were found 2 levels down",
        "folders without an image are no classes: 'CUB/attributes', 'CUB/parts'",
    )
    assert found.outcome("CUB/parts/parts.txt", bytes) == Ignored("CUB/parts/parts.txt")


def test_a_single_class_is_not_mistaken_for_a_folder_around() -> None:
    assert layout("cat/1.jpg", "cat/old/2.jpg").classes == ["cat"]
    assert layout("a/b/c/d/e/f/1.jpg").classes == ["a"]


def test_every_file_has_an_outcome() -> None:
    found = layout("cat/1.jpg", "dog/1.jpg")
    assert found.outcome("cat/.DS_Store", bytes) == Ignored("cat/.DS_Store")
    assert found.outcome("classes.txt", bytes) == Ignored("classes.txt")
    stray = found.outcome("1.jpg", bytes)
    assert isinstance(stray, Rejected)
    assert stray.reason == "no_label"
    candidate = found.outcome("cat/1.jpg", lambda: b"x")
    assert isinstance(candidate, Candidate)
    assert (candidate.label, candidate.split, candidate.group, candidate.read()) == ("cat", None, None, b"x")
    assert not candidate.unlikely
    text = found.outcome("cat/1.txt", bytes)
    assert isinstance(text, Candidate)
    assert text.unlikely


@pytest.mark.parametrize(
    "files",
    [
        ("val/1.jpg", "val/2.jpg"),  # ImageNet
        ("val/images/1.jpg", "val/images/2.jpg", "val/annotations.txt"),  # Tiny ImageNet
        ("val/unknown/more/1.jpg", "val/unknown/2.jpg"),
    ],
)
def test_a_given_split_without_class_folders_is_unlabelled(files: tuple[str, ...]) -> None:
    found = layout("train/cat/1.jpg", "train/dog/1.jpg", "test/dog/3.jpg", *files)
    assert found.classes == ["cat", "dog"]
    assert found.splits == ("training", "test")
    outcomes = [found.outcome(path, bytes) for path in files]
    assert [outcome.reason for outcome in outcomes if isinstance(outcome, Rejected)] == ["unlabelled"] * 2
    assert sum(isinstance(outcome, Ignored) for outcome in outcomes) == len(files) - 2
    (note,) = found.notes
    assert note.startswith(
        "'val' has no class folders, so its 2 images are unlabelled and left out; the validation split is cut"
    )


def test_a_class_of_a_given_split_must_be_one_of_training() -> None:
    with pytest.raises(
        UserError, match=r"'test' was read as the test split, but its folders 'owl' are none of .*\('cat', 'dog'\)"
    ):
        layout("train/cat/1.jpg", "train/dog/1.jpg", "test/cat/2.jpg", "test/owl/2.jpg")
    with pytest.raises(UserError, match="its folders 'cat', 'dog' are none"):
        layout("train/Cat/1.jpg", "train/Dog/1.jpg", "test/cat/2.jpg", "test/dog/2.jpg")


def test_the_user_can_name_the_level_of_the_classes() -> None:
    files = [f"{kind}/{name}/1.jpg" for kind in ("color", "grey") for name in ("apple", "corn")]
    top = layout(*files, level=1)
    assert (top.classes, top.notes) == (["color", "grey"], ())
    assert layout("images/1.jpg", "masks/1.jpg", level=1).classes == ["images", "masks"]
    found = layout(*files, level=2)
    assert found.classes == ["apple", "corn"]
    assert found.place("grey/corn/1.jpg") == (None, "corn")
    assert found.place("grey/1.jpg") == (None, None)
    assert found.splits == ()


def test_folders_above_the_level_that_the_user_names_may_be_splits() -> None:
    files = [f"svhn/{part}/{digit}/1.jpg" for part in ("train", "test", "extra") for digit in "01"]
    found = layout(*files, level=3)
    assert found.classes == ["0", "1"]
    assert [found.place(f"svhn/{part}/0/1.jpg")[0] for part in ("train", "test", "extra")] == ["training", "test", None]


def test_a_level_without_images_is_refused() -> None:
    with pytest.raises(UserError, match=r"ingest\.class_level is 3, but no folder at this level of the source holds images"):
        layout("cat/1.jpg", "dog/1.jpg", level=3)
