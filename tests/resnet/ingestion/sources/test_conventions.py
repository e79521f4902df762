"""Which tables describe the images of a source, by their names."""

import io
from functools import partial

import pytest

from resnet.core.errors import UserError
from resnet.ingestion.sources.columns import Choice
from resnet.ingestion.sources.conventions import Tables, find_tables, only_table, other_tables, top_of
from resnet.ingestion.sources.places import Listed
from resnet.ingestion.sources.rows import TableFile

PAIR = "file,label\n1,cat\n"


def find(tables: dict[str, str], images: str) -> Tables:
    place = Listed([*tables, *images.split()])
    return find_tables(place, Choice(), opener(tables))


def opener(tables: dict[str, str]) -> partial[TableFile]:
    return partial(lambda path: TableFile(path, path, partial(io.BytesIO, tables[path].encode())))


def paths(tables: Tables) -> dict[str, str | None]:
    return {table.file.path: table.split for table in tables.found}


@pytest.mark.parametrize(
    "name", ["labels.csv", "Labels.tsv", "metadata.csv", "metadata.jsonl", "train.csv", "train_labels.csv"]
)
@pytest.mark.parametrize("around", ["", "pets/", "pets/v1/"])
def test_a_table_with_a_usual_name_is_found(name: str, around: str) -> None:
    text = '{"file": "1", "label": "cat"}\n' if name.endswith("jsonl") else PAIR
    assert list(paths(find({f"{around}{name}": text}, f"{around}1.png"))) == [f"{around}{name}"]


def test_tables_in_folders_of_splits_belong_together() -> None:
    tables = {f"{split}/metadata.csv": PAIR for split in ("train", "valid", "test")}
    images = "train/1.png valid/1.png test/1.png"
    found = {"train/metadata.csv": "training", "valid/metadata.csv": "validation", "test/metadata.csv": "test"}
    assert paths(find(tables, images)) == found
    roboflow = {path.replace("metadata", "_classes"): "filename, cat\n1.png, 1\n" for path in tables}
    assert paths(find(roboflow, images)) == {path.replace("metadata", "_classes"): split for path, split in found.items()}


def test_tables_with_names_of_splits_belong_together() -> None:
    tables = {"train.csv": PAIR, "val.csv": PAIR, "test.csv": PAIR}
    assert list(paths(find(tables, "train/1.png val/1.png test/1.png")).values()) == ["training", "validation", "test"]


def test_the_test_table_of_a_competition_has_no_labels() -> None:
    tables = {"train.csv": PAIR, "test.csv": "file\n2\n", "sample_submission.csv": "file,label\n2,cat\n"}
    assert paths(find(tables, "train/1.png test/2.png")) == {"train.csv": "training"}


def test_a_table_of_class_numbers_is_passed_over_with_the_reason() -> None:
    found = find(
        {"labels.csv": "id,name\n0,cat\n1,dog\n"},
        " ".join(f"{pet}/{number}.png" for pet in ("cat", "dog") for number in range(9)),
    )
    assert found.found == []
    assert "labels.csv, line 2: there is no 0" in str(found.passed_over["labels.csv"])


def test_a_table_may_give_splits_alone() -> None:
    found = find({"splits.csv": "path,split\ncat/1.png,test\n"}, "cat/1.png dog/2.png")
    assert (paths(found), found.have_labels) == ({"splits.csv": None}, False)


def test_other_names_count_if_there_is_one_table() -> None:
    tables = {"HAM10000_metadata.csv": PAIR, "sample_submission.csv": PAIR, "notes.csv": "a,b,c\n1,2,3\n"}
    place = Listed([*tables, "1.png"])
    assert find(tables, "1.png").found == []
    assert [table.file.path for table in only_table(place, Choice(), opener(tables))] == ["HAM10000_metadata.csv"]
    tables |= {"more.csv": PAIR}
    place = Listed([*tables, "1.png"])
    assert len(other_tables(place, Choice(), opener(tables))) == 2
    with pytest.raises(UserError, match="several tables may describe the images, HAM10000_metadata.csv, more.csv: name"):
        only_table(place, Choice(), opener(tables))


def test_the_top_is_below_folders_that_wrap_the_rest() -> None:
    assert top_of(Listed(["a/b/x/1.png", "a/b/y/1.png"])) == "a/b"
    assert top_of(Listed(["a/x.csv", "a/b/1.png"])) == "a"
    assert top_of(Listed(["train/x/1.png"])) == ""


@pytest.mark.parametrize("text", ["file,label\n9,cat\n", "foo,bar,label\n2,3,cat\n"])
def test_labels_of_a_split_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(
        UserError, match=r"^val\.csv.* (there is no 9|has no column path).*; to leave this table out, rename it"
    ):
        find({"train.csv": PAIR, "val.csv": text}, "train/1.png val/2.png")


@pytest.mark.parametrize("text", ["file\n2\n", "file,group\n9,a\n"])
def test_a_table_of_a_split_without_labels_is_noted(text: str) -> None:
    found = find({"train.csv": PAIR, "test.csv": text}, "train/1.png test/2.png")
    assert (paths(found), found.notes) == (
        {"train.csv": "training"},
        ("test.csv is not read, because it has no labels",),
    )


def test_a_column_that_the_user_names_may_be_missing_in_the_test_table_of_a_competition() -> None:
    tables = {"train.csv": "id,breed,size\n1,cat,9\n", "test.csv": "id\n2\n"}
    place = Listed([*tables, "train/1.png", "test/2.png"])
    found = find_tables(place, Choice(label_column="breed"), opener(tables))
    assert (list(paths(found)), list(found.passed_over)) == (["train.csv"], ["test.csv"])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("labels.csv", "labels.jsonl"),
        ("train/metadata.csv", "train/metadata.jsonl"),
        ("train.csv", "train.jsonl"),
        ("train.csv", "training.jsonl"),
    ],
)
def test_two_tables_for_the_same_images_are_refused(first: str, second: str) -> None:
    tables = {first: PAIR, second: '{"file": "1", "label": "dog"}\n'}
    with pytest.raises(UserError, match=f"^{first} and {second} are two tables for the same images; remove or rename one"):
        find(tables, "train/1.png" if "train" in first else "1.png")


@pytest.mark.parametrize("names", ["cat dog", "Cat dog owl", "tabby hound"])
def test_a_list_of_class_names_is_no_table_of_images(names: str) -> None:
    """Its numbers are names of images too, here of cat/0.png, cat/1.png and dog/2.png."""
    text = "id,name\n" + "".join(f"{number},{name}\n" for number, name in enumerate(names.split()))
    found = find({"labels.csv": text}, "cat/0.png cat/1.png dog/2.png dog/3.png")
    assert found.found == []
    assert "labels.csv has one row for each class, and not for each image" in str(found.passed_over["labels.csv"])


def test_a_table_of_images_in_folders_is_no_list_of_class_names() -> None:
    images = "a/0.png a/1.png b/2.png"
    for text in ("id,name\n0,a\n1,b\n2,b\n", "id,name\na/0,a\nb/2,b\n", "id,name\n0.png,a\n1.png,b\n"):
        assert list(paths(find({"labels.csv": text}, images))) == ["labels.csv"]
    assert list(paths(find({"train.csv": "id,name\n0,a\n1,b\n"}, "train/0.png train/1.png test/2.png"))) == ["train.csv"]


def test_a_list_of_class_names_does_not_hide_the_table_of_the_images() -> None:
    tables = {"labels.csv": "id,name\n0,cat\n1,dog\n", "train.csv": "id,label\n0,1\n1,0\n2,1\n3,0\n4,1\n"}
    images = " ".join(f"train/{number}.png" for number in range(5))
    assert list(paths(find(tables, images))) == ["train.csv"]
