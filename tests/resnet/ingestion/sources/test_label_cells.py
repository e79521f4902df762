"""Tables whose images have several labels each."""

import shutil
from pathlib import Path

import pytest

from resnet.core.errors import UserError
from resnet.images.outcomes import Candidate, Reason, Rejected
from resnet.ingestion.sources.catalog import open_source
from resnet.ingestion.sources.source import Source
from tests.pictures import picture, write_tree

NAMES = [f"{number}.png" for number in range(6)]
IMAGES = {name: picture(number) for number, name in enumerate(NAMES)}
ANSWER = [("0.png", {"cat", "dog"}), ("1.png", {"dog"}), ("2.png", set()), ("3.png", {"owl", "cat"})]
CELLS = "file_name,labels\n0.png,dog| cat |dog\n1.png,dog\n2.png,\n3.png,owl|cat\n4.png,-1\n"
LISTS = (
    '{"file_name": "0.png", "LABEL": ["dog", "cat", "dog"]}\n{"file_name": "1.png", "LABEL": ["dog"]}\n'
    '{"file_name": "2.png", "LABEL": []}\n{"file_name": "3.png", "LABEL": "owl|cat"}\n{"file_name": "4.png", "LABEL": null}\n'
)
FLAGS = "file_name,cat,dog,owl\n0.png,1,1,0\n1.png,0,1.0,0\n2.png,0,0,0\n3.png,true,,1\n4.png,,,\n"


def source_of(folder: Path, name: str, text: str, multi_label: bool | None = None) -> Source:
    write_tree(folder, IMAGES | {name: text.encode()})
    return open_source(str(folder), multi_label=multi_label)


def sets(source: Source) -> list[tuple[str, set[str]]]:
    return [(one.path, set(filter(None, one.label.split("|")))) for one in source.files() if isinstance(one, Candidate)]


def labels(source: Source) -> list[str]:
    return [one.label for one in source.files() if isinstance(one, Candidate)]


@pytest.mark.parametrize(
    ("name", "text", "multi_label"),
    [
        ("labels.csv", CELLS, None),
        ("labels.csv", CELLS.replace(",labels", ",breed"), True),
        ("labels.tsv", CELLS.replace(",", "\t"), None),
        ("metadata.jsonl", LISTS, None),
        ("labels.csv", FLAGS, True),
    ],
)
def test_each_kind_of_table_gives_the_sets(tmp_path: Path, name: str, text: str, multi_label: bool | None) -> None:
    source = source_of(tmp_path, name, text, multi_label)
    assert source.multi_label
    assert source.classes == ["cat", "dog", "owl"]
    assert sets(source) == ANSWER
    rejected = {one.path: one.reason for one in source.files() if isinstance(one, Rejected)}
    assert rejected == {"4.png": Reason.UNLABELLED, "5.png": Reason.UNLABELLED}  # unknown, and not listed
    assert [len(label.split("|")) for label in labels(source)] == [2, 1, 1, 2]  # a name that is there twice counts once


def test_a_table_in_an_archive_gives_them_too(tmp_path: Path) -> None:
    write_tree(tmp_path / "tree", IMAGES | {"labels.csv": CELLS.encode()})
    for kind in ("zip", "tar"):
        source = open_source(shutil.make_archive(str(tmp_path / "photos"), kind, tmp_path / "tree"))
        assert source.multi_label
        assert source.classes == ["cat", "dog", "owl"]
        assert sorted(sets(source)) == ANSWER


def test_the_separator_is_part_of_a_name_unless_the_column_is_called_labels(tmp_path: Path) -> None:
    source = source_of(tmp_path / "label", "labels.csv", "file_name,label\n0.png,cat|dog\n1.png,owl\n")
    assert (source.multi_label, source.classes) == (False, ["cat|dog", "owl"])
    source = source_of(tmp_path / "false", "labels.csv", "file_name,labels\n0.png,cat|dog\n1.png,owl\n", multi_label=False)
    assert (source.multi_label, labels(source)) == (False, ["cat|dog", "owl"])
    source = source_of(tmp_path / "plain", "labels.csv", "file_name,labels\n0.png,cat\n1.png,owl\n")
    assert (source.multi_label, source.classes) == (False, ["cat", "owl"])
    source = source_of(tmp_path / "true", "labels.csv", "file_name,label\n0.png,cat|dog\n1.png,owl\n", multi_label=True)
    assert (source.multi_label, labels(source)) == (True, ["cat|dog", "owl"])


def test_one_table_with_sets_decides_for_all(tmp_path: Path) -> None:
    training, test = "file_name,labels\n0.png,cat|dog\n1.png,owl\n2.png,\n", "file_name,labels\n3.png,owl\n4.png,\n5.png,owl\n"
    write_tree(tmp_path, {"test.csv": test.encode()})
    source = source_of(tmp_path, "train.csv", training)
    assert source.multi_label
    found = [(one.label, one.split) for one in source.files() if isinstance(one, Candidate)]
    assert found == [("cat|dog", "training"), ("owl", "training"), ("", "training"), *[(n, "test") for n in ("owl", "", "owl")]]
    assert not any("has a label" in note for note in source.notes)


def test_a_split_whose_labels_are_all_empty_is_noted(tmp_path: Path) -> None:
    training, test = "file_name,labels\n0.png,cat|dog\n1.png,owl\n", "file_name,labels\n3.png,\n4.png,\n"
    write_tree(tmp_path, {"test.csv": test.encode()})
    source = source_of(tmp_path, "train.csv", training)
    assert (
        "no image of the test split has a label: if they are unknown, write -1 into their cells, or leave them out"
        in source.notes
    )


def test_folders_are_splits_unless_called_as_a_class_of_the_image(tmp_path: Path) -> None:
    files = {"train/0.png": picture(0), "test/1.png": picture(1), "train/test/2.png": picture(2)}
    table = "file_name,labels\ntrain/0.png,cat|test\ntest/1.png,cat\ntrain/test/2.png,cat|test\n"
    source = open_source(str(write_tree(tmp_path, files | {"labels.csv": table.encode()})))
    assert [one.split for one in source.files() if isinstance(one, Candidate)] == ["training", "test", "training"]


def test_rows_with_different_sets_are_no_list_of_classes(tmp_path: Path) -> None:
    table = "id,labels\n0,cat|dog\n1,owl\n"
    source = source_of(tmp_path, "labels.csv", table, True)
    assert sets(source) == [("0.png", {"cat", "dog"}), ("1.png", {"owl"})]
    assert open_source(str(tmp_path)).multi_label


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("labels.csv", "file_name,labels\n0.png,cat|-1\n1.png,dog\n", "line 2: the labels 'cat|-1' have -1, which means"),
        ("labels.csv", "file_name,cat,dog\n0.png,1,0\n1.png,1,-1\n", "line 3: the column dog is '-1', not 0 or 1"),
        ("metadata.jsonl", '{"file_name": "0.png", "label": ["a", null]}\n', "line 1: label has 'None' in its list"),
        ("metadata.jsonl", '{"file_name": "0.png", "label": {"a": 1}}\n', "line 1: label has the object"),
        ("metadata.jsonl", '{"file_name": "0.png", "label": ["a|b"]}\n', "line 1: label has 'a|b' in its list"),
        ("metadata.jsonl", '{"file_name": "0.png", "label": [["a"]]}\n', "in its list; expected a list of names"),
    ],
)
def test_labels_that_make_no_sense_are_refused_with_their_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        source_of(tmp_path, name, text, multi_label=True)
    assert message in str(error.value)


def test_several_ones_are_refused_unless_they_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"several classes \(cat, dog\), .* set ingest.multi_label to true"):
        source_of(tmp_path, "labels.csv", FLAGS)


def test_lists_are_not_read_where_images_have_one_label(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the label of 0.png is empty"):
        source_of(tmp_path, "metadata.jsonl", LISTS, multi_label=False)


@pytest.mark.parametrize("source", ["builtin/digits", "folders", "x.npz"])
def test_sources_of_one_label_an_image_are_refused_if_several_are_asked_for(tmp_path: Path, source: str) -> None:
    import numpy as np

    write_tree(tmp_path / "folders", {"cat/0.png": picture(0), "dog/1.png": picture(1)})
    np.savez(tmp_path / "x.npz", x=np.zeros((2, 8, 8), np.uint8), y=np.arange(2))
    name = source if source.startswith("builtin") else str(tmp_path / source)
    with pytest.raises(UserError, match=r"ingest.multi_label is true, (but the source .* one class|so expected are rows)"):
        open_source(name, multi_label=True)
