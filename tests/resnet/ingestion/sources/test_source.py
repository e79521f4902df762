"""The names of splits, which all kinds of source share."""

from pathlib import PurePath

import pytest

from resnet.core.tables import SPLITS
from resnet.ingestion.sources.source import SPLIT_NAMES, split_of


def test_every_split_can_be_named() -> None:
    assert set(SPLIT_NAMES.values()) == set(SPLITS)
    assert all(SPLIT_NAMES[split] == split for split in SPLITS)


def test_names_are_compared_in_lower_case() -> None:
    assert all(name == name.casefold() for name in SPLIT_NAMES)


def test_the_names_of_the_hugging_face_hub_are_known() -> None:
    # https://huggingface.co/docs/hub/datasets-file-names-and-splits
    names = ("train", "training", "validation", "valid", "val", "dev", "test", "testing")
    assert [SPLIT_NAMES[name] for name in names] == ["training"] * 2 + ["validation"] * 4 + ["test"] * 2


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("train-00000-of-00002.parquet", "training"),  # https://huggingface.co/docs/hub/datasets-file-names-and-splits
        ("my_train_file.parquet", "training"),
        ("data/valid/0000.parquet", "validation"),
        ("train/test.parquet", "test"),
        ("training.parquet", "training"),
        ("trainable.parquet", None),
        ("latest.parquet", None),
    ],
)
def test_whole_words_of_a_path_are_splits(path: str, split: str | None) -> None:
    assert split_of(PurePath(path)) == split
