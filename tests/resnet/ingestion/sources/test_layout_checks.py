"""Folders of images that are no class folders are refused in one sentence."""

from collections import Counter

import pytest

from resnet.core.errors import UserError
from resnet.ingestion.sources import layout_checks
from resnet.ingestion.sources.layout import find_layout
from resnet.ingestion.sources.split_names import words


def refuse(message: str, *files: str) -> None:
    with pytest.raises(UserError, match=message):
        find_layout([(file, False) for file in files])


def test_images_without_class_folders_have_no_labels() -> None:
    message = r"the source holds images \(2, such as '1\.jpg', '2\.jpg'\) and no class folders.* path and label\.$"
    refuse(message, "1.jpg", "2.jpg")
    message = (
        r"'train' holds images \(2, .*and no class folders, so the images have no labels: move them into a folder for each"
    )
    refuse(message, "train/1.jpg", "train/2.jpg", "test/3.jpg")


@pytest.mark.parametrize(
    ("names", "level"),
    [
        ("train prediction", 1),
        ("train test", 1),
        ("training_shoes test_shoes dev_shoes", 1),
        ("trains/all/train trains/all/test", 3),
    ],
)
def test_the_level_is_named_if_classes_were_read_as_splits(names: str, level: int) -> None:
    folders = names.split()
    shown = ", ".join(sorted(repr(folder.split("/")[level - 1]) for folder in folders))
    refuse(
        rf"no class folders.*path and label; or set ingest\.class_level to {level} if {shown} are classes\.",
        *(f"{folder}/{n}.jpg" for folder in folders for n in range(2)),
    )
    found = find_layout([(f"{folder}/1.jpg", False) for folder in folders], level)
    assert (len(found.classes), found.splits) == (len(folders), ())


def test_labels_in_the_names_of_files_are_noticed() -> None:
    """Dogs vs. Cats, a competition of Kaggle in 2013."""
    message = (
        r"'train' holds images .* no labels; the names of the files seem to say the labels: .*a table with the columns path"
    )
    refuse(message, "train/cat.0.jpg", "train/cat.1.jpg", "train/dog.0.jpg", "test1/1.jpg")


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("images", "masks"),
        ("image", "Label"),
        ("JPEGImages", "SegmentationClass"),
        ("train", "train_masks"),
        ("imgs", "ground-truth"),
    ],
)
def test_images_beside_masks_are_refused(image: str, mask: str) -> None:
    refuse(f"the folders '{image}' and '{mask}', which seem to be images and their masks", f"{image}/1.jpg", f"{mask}/1.png")


def test_masks_in_class_folders_or_split_folders_are_refused() -> None:
    refuse("'images' and 'masks'", *(f"{kind}/{name}/1.png" for kind in ("images", "masks") for name in ("cat", "dog")))
    refuse("'images' and 'masks'", "train/images/1.jpg", "train/masks/1.png", "val/images/2.jpg", "val/masks/2.png")


def test_the_words_of_each_folder_are_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """All pairs of folders were compared before: 10,000 classes took minutes."""
    asked = Counter[str]()

    def counted(name: str) -> list[str]:
        asked[name] += 1
        return words(name)

    monkeypatch.setattr(layout_checks, "words", counted)
    names = [f"n{number}" for number in range(100)]
    layout_checks.refuse_masks(names, 1)
    assert asked == Counter(names)


def test_one_class_folder_with_folders_inside_is_refused_with_the_level() -> None:
    message = r"one class folder, 'data', .* 'cat', 'dog', are the classes, set ingest\.class_level to 2, .*, such as '{}'"
    refuse(message.format(r"preview\.jpg"), "preview.jpg", "data/cat/1.jpg", "data/dog/1.jpg")
    refuse(message.format(r"data/0\.jpg"), "data/0.jpg", "data/cat/1.jpg", "data/dog/1.jpg")


@pytest.mark.parametrize("stray", ["preview.jpg", "data/0.jpg"])
def test_splits_in_one_folder_are_not_advised_as_classes(stray: str) -> None:
    message = rf"one class folder, 'data', .* the folders in it, 'test', 'train', are splits, remove .*, such as '{stray}'\.$"
    refuse(message, stray, *(f"data/{part}/{name}/1.jpg" for part in ("train", "test") for name in ("cat", "dog")))


def test_one_class_folder_beside_empty_ones_is_refused_with_their_names() -> None:
    with pytest.raises(UserError, match=r"one class folder with images, 'cat', and folders without an image \('dog'\)"):
        find_layout([("cat/1.jpg", False), ("dog", True)])
