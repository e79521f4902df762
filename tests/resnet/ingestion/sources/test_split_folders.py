"""Which folders are read as splits, and which are refused because they can be read in two ways."""

from itertools import product

import pytest

from resnet.core.errors import UserError
from resnet.ingestion.sources.folder_tree import FolderTree
from resnet.ingestion.sources.split_folders import Reading, read_folders, read_level


def reading(*folders: str) -> Reading:
    """What folders mean that hold two images each."""
    return read_folders(FolderTree((f"{folder}/{n}.jpg", False) for folder in folders for n in range(2)))


def each(parts: str, classes: str = "cat dog") -> list[str]:
    return ["/".join(pair) for pair in product(parts.split(), classes.split())]


def splits(found: Reading) -> dict[str, str | None]:
    return {"/".join(root): split for root, split in found.roots.items()}


def test_words_in_names_are_splits_and_noted() -> None:
    """Intel Image Classification, as Kaggle packs it."""
    found = reading(*each("seg_train/seg_train seg_test/seg_test", "sea forest"), "seg_pred/seg_pred")
    assert splits(found) == {
        "seg_pred/seg_pred": "unlabelled",
        "seg_test/seg_test": "test",
        "seg_train/seg_train": "training",
    }
    assert found.notes == ("read as splits: 'seg_pred' as unlabelled, 'seg_test' as test, 'seg_train' as training",)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ("training_set/training_set test_set/test_set", ["test", "training"]),
        ("imgs_train imgs_val", ["training", "validation"]),
        ("train/images test/images", ["test", "training"]),
        ("train_1 train_2", ["training", "training"]),
        ("train test-noisy", ["test", "training"]),  # other words differ, but train holds folders
        ("all/Training all/Testing", ["test", "training"]),
    ],
)
def test_parts_with_the_same_folders_are_splits(parts: str, expected: list[str]) -> None:
    found = splits(reading(*each(parts)))
    assert sorted(found) == sorted(parts.split())
    assert sorted(str(split) for split in found.values()) == expected


@pytest.mark.parametrize(
    "names",
    [
        "train bus plane",
        "test trial",
        "train_steam train_diesel",
        "train_station test_tube",
        "test_a test_b",
        "with_mask without_mask",
    ],
)
def test_classes_that_are_called_like_splits_stay_classes(names: str) -> None:
    found = reading(*names.split())
    assert (splits(found), found.notes) == ({"": None}, ())


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (
            each("train test extra"),
            "the folders 'test', 'train', which have names of splits, beside 'extra': remove one or the other, .* "
            r"ingest\.class_level to 1 if all of them are classes, or to 2 if the folders in them are \('cat', 'dog'\)",
        ),
        ([*each("train"), "more"], "the folder 'train', which has the name of splits, beside 'more'"),
        (each("seg_train seg_test other"), "the folders 'seg_test', 'seg_train', .* beside 'other'"),
        (each("test val"), "the splits 'test', 'val', but no train"),
    ],
)
def test_splits_beside_something_else_are_refused(folders: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        reading(*folders)


@pytest.mark.parametrize(
    ("parts", "levels"),
    [
        ("model_train test_dummy", (1, 2)),
        ("train-clean test-noisy", (1, 2)),
        ("color gray", (1, 2)),
        ("fold1 fold2", (1, 2)),
        ("all/day all/night", (2, 3)),
        ("amazon/images dslr/images", (1, 3)),
    ],
)
def test_folders_that_hold_the_same_folders_are_refused_with_the_levels(parts: str, levels: tuple[int, int]) -> None:
    message = (
        rf"hold folders with the same names \('cat', 'dog'\).*level to {levels[0]} if .* or to {levels[1]} if 'cat', 'dog'"
    )
    with pytest.raises(UserError, match=message):
        reading(*each(parts))


@pytest.mark.parametrize(
    ("parts", "level"),
    [
        ("fold1/train fold1/test fold2/train fold2/test", 3),
        ("fold1/train fold1/test fold2/train", 3),
        ("amazon/train/images amazon/test/images webcam/train/images webcam/test/images", 4),
    ],
)
def test_domains_and_folds_that_hold_splits_are_not_read_as_classes(parts: str, level: int) -> None:
    message = rf"the folders .* hold .* \('cat', 'dog'\), so either .*class_level to 1 if .* or to {level} if 'cat', 'dog' are"
    with pytest.raises(UserError, match=message):
        reading(*each(parts))


def test_classes_with_different_folders_inside_are_classes() -> None:
    assert splits(reading(*each("animal", "cat dog"), *each("vehicle", "car bus"), "plant/tree")) == {"": None}
    assert splits(reading("n01/images", "n02/images")) == {"": None}


def test_splits_inside_the_classes_are_splits() -> None:
    found = reading(*each("cat dog", "train test"))
    assert (splits(found), found.inside) == ({"": None}, {"test": "test", "train": "training"})
    assert found.notes == ("the folders 'test', 'train' in the class folders were read as splits",)


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        ("cat/train cat/test dog/train", {"train": "training", "test": "test"}),
        ("cat/train cat/val dog/train dog/test", {"train": "training", "val": "validation", "test": "test"}),
        ("cat/imgs_train cat/imgs_val dog/imgs_train", {"imgs_train": "training", "imgs_val": "validation"}),
    ],
)
def test_a_class_may_lack_a_split_that_another_class_has(folders: str, expected: dict[str, str]) -> None:
    assert reading(*folders.split()).inside == expected


@pytest.mark.parametrize(
    ("folders", "example"),
    [
        ("cat cat/train cat/test dog/train dog/test", "cat/0.jpg"),
        ("cat/train cat/test dog", "dog/0.jpg"),
        ("cat/train cat/val cat/test dog/train dog/test dog/extra", "dog/extra"),
        ("cat/train cat/test cat/pred dog/train dog/test", "cat/pred"),
        ("cat/train cat/test dog/seg_train dog/seg_test", "dog/seg_test"),
    ],
)
def test_images_beside_splits_in_the_class_folders_are_refused(folders: str, example: str) -> None:
    message = (
        rf"the class folder 'cat' holds the splits 'test', 'train'.*, but '{example}' is in no split: remove it, or move it "
        r"into train, val or test in its class folder; or set ingest\.class_level to 1 if .* are no splits"
    )
    with pytest.raises(UserError, match=message):
        reading(*folders.split())


def test_splits_below_a_folder_in_a_class_folder_are_refused_with_the_move() -> None:
    message = (
        r"the folder 'cat/images' holds the splits 'test', 'train', but they must be directly in the class folder: "
        r"move them into 'cat', or set ingest\.class_level to 1"
    )
    with pytest.raises(UserError, match=message):
        reading("cat/images/train", "cat/images/test", "dog/images/train")


@pytest.mark.parametrize(
    "folders",
    ["vehicle/train vehicle/bus animal", "room/train_station room/test_tube animal", "exam/test exam/quiz animal/train"],
)
def test_folders_in_the_classes_that_are_called_like_one_split_belong_to_the_classes(folders: str) -> None:
    found = reading(*folders.split())
    assert (splits(found), found.inside) == ({"": None}, {})


def test_a_given_level_keeps_the_splits_inside_the_classes_if_that_is_plain() -> None:
    found = read_level(FolderTree((f"{part}/1.jpg", False) for part in each("cat/train cat/test dog/train", "x y")), 1)
    assert (splits(found), found.inside) == ({"": None}, {"test": "test", "train": "training"})
    assert found.notes == ("the folders 'test', 'train' in the class folders were read as splits",)
    found = read_level(FolderTree((f"{part}/1.jpg", False) for part in ("cat/train", "cat/test", "cat", "dog")), 1)
    assert found.inside == {}
    assert found.notes == (
        "the folders 'test', 'train' in 'cat' were not read as splits: not all class folders hold splits alone",
    )


def test_a_given_level_does_not_make_splits_of_words_in_different_names() -> None:
    found = read_level(FolderTree((f"{folder}/1.jpg", False) for folder in each("bag test_tube training_shoes")), 2)
    assert splits(found) == {"bag": None, "test_tube": None, "training_shoes": None}
    assert found.notes == (
        "the folders 'test_tube', 'training_shoes' were not read as splits: these must be called train, val and test",
    )
    found = read_level(FolderTree((f"{folder}/1.jpg", False) for folder in each("bag training_shoes")), 2)
    assert (splits(found), found.notes) == ({"bag": None, "training_shoes": None}, ())


def test_a_given_level_keeps_folders_called_train_and_folders_that_are_named_alike() -> None:
    found = read_level(FolderTree((f"{folder}/1.jpg", False) for folder in each("extra train test_stg1")), 2)
    assert splits(found) == {"extra": None, "train": "training", "test_stg1": "test"}
    found = read_level(FolderTree((f"{folder}/1.jpg", False) for folder in each("bag seg_train seg_test")), 2)
    assert splits(found) == {"bag": None, "seg_train": "training", "seg_test": "test"}
