"""The names of splits, which all kinds of source share."""

from resnet.core.tables import SPLITS
from resnet.ingestion.sources.source import SPLIT_NAMES


def test_every_split_can_be_named() -> None:
    assert set(SPLIT_NAMES.values()) == set(SPLITS)
    assert all(SPLIT_NAMES[split] == split for split in SPLITS)


def test_names_are_compared_in_lower_case() -> None:
    assert all(name == name.casefold() for name in SPLIT_NAMES)


def test_the_names_of_the_hugging_face_hub_are_known() -> None:
    # https://huggingface.co/docs/hub/datasets-file-names-and-splits
    names = ("train", "training", "validation", "valid", "val", "dev", "test", "testing")
    assert [SPLIT_NAMES[name] for name in names] == ["training"] * 2 + ["validation"] * 4 + ["test"] * 2
