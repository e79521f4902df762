"""Notes on folders whose interpretation may be unexpected."""

from resnet.ingestion.sources.layout import find_layout


def notes(*files: str) -> tuple[str, ...]:
    return find_layout([(file, False) for file in files]).notes


def test_plain_class_folders_need_no_note() -> None:
    assert notes("cat/1.jpg", "dog/1.jpg", "dog/old/2.jpg", "dog/new/3.jpg", "owl/images/1.jpg") == ()


def test_classes_whose_images_are_all_further_down_are_named_with_the_level() -> None:
    assert notes("pets/animal/cat/1.jpg", "pets/animal/dog/1.jpg", "pets/tree/1.jpg") == (
        "the classes were found 1 level down",
        "1 of 2 classes, namely 'animal', has all its images in folders below it ('cat', 'dog'); if those are the "
        "classes, set ingest.class_level to 3",
    )


def test_folders_that_are_called_like_splits_are_not_advised_as_classes() -> None:
    assert notes("ant/old/1.jpg", "ant/new/1.jpg", "cat/test/1.jpg", "cat/val/1.jpg", "dog/1.jpg") == (
        "2 of 3 classes, such as 'cat', have all their images in folders below them ('test', 'val'); these were not read as "
        "splits: folders of splits in the classes must be called train, val and test",
    )


def test_images_to_be_predicted_are_named_and_cut_no_split() -> None:
    found = notes("train/cat/1.jpg", "train/dog/1.jpg", "pred/1.jpg", "pred/2.jpg")
    assert found[-1] == "'pred' has no class folders, so its 2 images are unlabelled and left out"


def test_a_split_that_another_folder_gives_is_not_cut() -> None:
    found = notes("train/cat/1.jpg", "train/dog/1.jpg", "test/cat/1.jpg", "test1/1.jpg")
    assert found[-1] == "'test1' has no class folders, so its 1 image is unlabelled and left out"


def test_many_empty_folders_are_counted() -> None:
    assert notes("cat/1.jpg", "dog/1.jpg", *(f"{name}/1.txt" for name in "abcde")) == (
        "folders without an image are no classes: 'a', 'b', 'c' and 2 more",
    )
