"""Parquet files in the Hugging Face image layout as sources."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from resnet.core.errors import UserError
from resnet.images.outcomes import BadFile, Candidate, Outcome, Rejected
from resnet.ingestion.sources.columns import Choice
from resnet.ingestion.sources.parquet import parquet_source

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
NAMES = ["cat", "dog"]


def write(path: Path, images: list[Any], names: list[str] | None = NAMES, **columns: list[Any]) -> Path:
    """Images are (bytes, path) pairs; columns come as they are."""
    arrays = {"image": pa.array([i and {"bytes": i[0], "path": i[1]} for i in images], IMAGE)} if images else {}
    schema_names = {"label": {"names": names, "_type": "ClassLabel"}, "image": {"_type": "Image"}}
    table = pa.table(arrays | {name: pa.array(values) for name, values in columns.items()})
    if names is not None:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": schema_names}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path


def candidates(outcomes: list[Outcome]) -> list[tuple[str, str, str | None, str | None]]:
    return [(file.path, file.label, file.split, file.group) for file in outcomes if isinstance(file, Candidate)]


def test_numbers_get_their_names_from_the_schema(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", [(b"1", "a.png"), (b"2", None), (b"3", "a.png")], label=[1, 0, 1])
    source = parquet_source(path)
    found = list(source.files())
    assert source.classes == NAMES
    assert candidates(found) == [
        ("a.png", "dog", None, None),
        ("x.parquet/0000001", "cat", None, None),
        ("x.parquet/0000002", "dog", None, None),
    ]
    assert [file.read() for file in found if isinstance(file, Candidate)] == [b"1", b"2", b"3"]


def test_labels_may_be_text(tmp_path: Path) -> None:
    source = parquet_source(write(tmp_path / "x.parquet", [(b"1", "a"), (b"2", "b")], names=None, label=["b", "a"]))
    assert source.classes == ["a", "b"]
    assert candidates(list(source.files())) == [("a", "b", None, None), ("b", "a", None, None)]


def test_files_are_splits_as_on_the_hub(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for part in (0, 1):
            write(tmp_path / "data" / f"{split}-0000{part}-of-00002.parquet", [(b"1", f"{split}{part}")], label=[part])
    assert candidates(list(parquet_source(tmp_path).files())) == [
        ("test0", "cat", "test", None),
        ("test1", "dog", "test", None),
        ("train0", "cat", "training", None),
        ("train1", "dog", "training", None),
    ]
    assert candidates(list(parquet_source(tmp_path / "data" / "test-00000-of-00002.parquet").files()))[0][2] is None


def test_columns_of_split_and_group_count(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", [(b"1", "a"), (b"2", "b")], label=[0, 1], split=["train", None], group=[7, None])
    assert candidates(list(parquet_source(path).files())) == [("a", "cat", "training", "7"), ("b", "dog", None, None)]


def test_rows_that_say_too_little_are_rejected(tmp_path: Path) -> None:
    images = [(b"1", "a"), (b"2", "b"), (None, "c"), None, (b"5", "e")]
    path = write(tmp_path / "x.parquet", images, label=[None, 2, 0, 1, 0], split=[None, None, None, None, "future"])
    found = list(parquet_source(path).files())
    assert [(file.reason.value, file.detail) if isinstance(file, Rejected) else file.path for file in found] == [
        ("unlabelled", "its label is None"),
        ("no_label", "its label is 2"),
        "c",
        "x.parquet/0000003",
        ("no_label", "its split is 'future', not train, validation or test"),
    ]
    for file in found[2:4]:
        assert isinstance(file, Candidate)
        with pytest.raises(BadFile, match="unreadable: the file has a path for it, but no bytes"):
            file.read()


def test_another_schema_is_refused_with_what_it_has(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no column of images.*its columns are x \(int64\), label \(int64\)"):
        parquet_source(write(tmp_path / "x.parquet", [], x=[1], label=[1]))
    with pytest.raises(
        UserError, match="has no column label; its columns are image, width: rename one, or name it in ingest.lab"
    ):
        parquet_source(write(tmp_path / "x.parquet", [(b"1", "a")], width=[1]))
    with pytest.raises(
        UserError, match="has several columns that may name the class, target, category: name .* ingest.label_column"
    ):
        parquet_source(write(tmp_path / "x.parquet", [(b"1", "a")], target=[1], category=[2]))
    pq.write_table(pa.table({"left": [b"1"], "right": [b"2"], "label": ["a"]}), tmp_path / "x.parquet")
    with pytest.raises(
        UserError, match="several columns of bytes and none is called image; .* name the one .* ingest.path_column"
    ):
        parquet_source(tmp_path / "x.parquet")
    (tmp_path / "x.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(UserError, match="is damaged or not a Parquet file"):
        parquet_source(tmp_path / "x.parquet")


@pytest.mark.parametrize(
    ("names", "labels", "message"),
    [
        (3, [0], "names the classes of label as 3; expected a list of names"),
        ([1, 2], [0], "names the classes of label as"),
        (NAMES, [0.5], "has labels of type double in the column label; expected text, or whole numbers"),
        (NAMES, [[0]], "has labels of type list"),
        (NAMES, [[0.5]], "has labels of type list"),
    ],
)
def test_labels_of_another_kind_are_refused(tmp_path: Path, names: Any, labels: list[Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        parquet_source(write(tmp_path / "x.parquet", [(b"1", "a")], names=names, label=labels), Choice(multi_label=False))


def test_the_column_called_label_comes_first_and_others_are_told(tmp_path: Path) -> None:
    kinds = {name: {"names": names, "_type": "ClassLabel"} for name, names in [("coarse", ["pet", "car"]), ("label", NAMES)]}
    image = pa.array([{"bytes": b"1", "path": "a"}], IMAGE)
    table = pa.table({"image": image, "coarse": [1], "label": [0], "split": [3]})
    metadata = {"huggingface": json.dumps({"info": {"features": kinds}})}
    pq.write_table(table.replace_schema_metadata(metadata), tmp_path / "x.parquet")
    source = parquet_source(tmp_path / "x.parquet")
    assert source.notes == ("labels are from the column label, not from coarse",)
    assert candidates(list(source.files())) == [("a", "cat", None, None)]


def test_categories_of_pandas_are_text(tmp_path: Path) -> None:
    labels = pa.array(["b", "a", "b"]).dictionary_encode()
    image = pa.array([{"bytes": b"1", "path": str(n)} for n in range(3)], IMAGE)
    pq.write_table(pa.table({"image": image, "label": labels}), tmp_path / "x.parquet")
    source = parquet_source(tmp_path / "x.parquet")
    assert source.classes == ["a", "b"]
    assert [label for _, label, _, _ in candidates(list(source.files()))] == ["b", "a", "b"]


def test_paths_are_unique_whatever_the_files_say(tmp_path: Path) -> None:
    for folder in (".", "data"):
        write(tmp_path / folder / "x.parquet", [(b"1", None), (b"2", "source/x.parquet/0000000")], label=[0, 1])
    found = candidates(list(parquet_source(tmp_path).files()))
    assert len({path for path, *_ in found}) == 4


def test_text_that_is_none_is_refused(tmp_path: Path) -> None:
    raw = pa.array([b"\xff\xfe"], pa.binary()).view(pa.string())
    image = pa.StructArray.from_arrays([pa.array([b"1"], pa.binary()), raw], ["bytes", "path"])
    pq.write_table(pa.table({"image": image, "label": ["a"]}), tmp_path / "x.parquet")
    with pytest.raises(UserError, match=r"x\.parquet is damaged"):
        list(parquet_source(tmp_path / "x.parquet").files())


def test_files_of_different_data_sets_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", [(b"1", "a")], label=[0])
    write(tmp_path / "b.parquet", [(b"1", "a")], names=["dog", "cat"], label=[0])
    with pytest.raises(UserError, match="name their classes differently"):
        parquet_source(tmp_path)


def test_a_file_that_is_damaged_inside_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", [(bytes(5000), str(n)) for n in range(50)], label=[0] * 50)
    content = bytearray(path.read_bytes())
    content[20:60] = bytes(40)
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"x\.parquet is damaged"):
        list(parquet_source(path).files())


def test_minus_one_is_no_label(tmp_path: Path) -> None:
    write(tmp_path / "train-00000-of-00001.parquet", [(b"1", "a"), (b"2", "b")], label=[0, 1])
    write(tmp_path / "test-00000-of-00001.parquet", [(b"3", "c"), (b"4", "d")], label=[-1, -1])
    found = list(parquet_source(tmp_path).files())
    assert [(file.path, file.reason.value) for file in found if isinstance(file, Rejected)] == [
        ("c", "unlabelled"),
        ("d", "unlabelled"),
    ]
    assert candidates(found) == [("a", "cat", "training", None), ("b", "dog", "training", None)]


def test_images_may_be_plain_bytes(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [b"1", None], "label": ["b", " a "]}), tmp_path / "x.parquet")
    source = parquet_source(tmp_path / "x.parquet")
    assert (source.classes, source.notes) == (["a", "b"], ("the images are the bytes of the column image",))
    found = [file for file in source.files() if isinstance(file, Candidate)]
    assert [(file.path, file.label) for file in found] == [("x.parquet/0000000", "b"), ("x.parquet/0000001", "a")]
    assert found[0].read() == b"1"
    with pytest.raises(BadFile, match="no bytes"):
        found[1].read()


def test_plain_bytes_are_called_as_the_file_says(tmp_path: Path) -> None:
    columns = {
        "file_name": ["1.png", "2.png"],
        "png": [b"1", b"2"],
        "mask": [b"3", b"4"],
        "target": [10, 9],
        "kind": ["k", "l"],
    }
    pq.write_table(pa.table(columns), tmp_path / "x.parquet")
    source = parquet_source(tmp_path / "x.parquet")
    assert source.classes == ["9", "10"]
    assert candidates(list(source.files())) == [("1.png", "10", None, None), ("2.png", "9", None, None)]
    source = parquet_source(tmp_path / "x.parquet", Choice(path_column="mask", label_column="kind"))
    assert [(file.label, file.read()) for file in source.files() if isinstance(file, Candidate)] == [("k", b"3"), ("l", b"4")]


def test_folders_are_splits_as_the_hub_converts_them(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write(tmp_path / "default" / split / "0000.parquet", [(b"1", split)], label=[0])
    write(tmp_path / ".cache" / "other.parquet", [(b"1", "cached")], label=[0])
    assert candidates(list(parquet_source(tmp_path).files())) == [
        ("test", "cat", "test", None),
        ("train", "cat", "training", None),
    ]
    write(tmp_path / "default" / "train" / "cache-1.parquet", [(b"1", "cached")], label=[0])
    assert len(list(parquet_source(tmp_path).files())) == 2
    write(tmp_path / "other" / "train" / "0000.parquet", [(b"1", "x")], label=[0])
    with pytest.raises(UserError, match="has several data sets, in the folders default, other: name one of these folders"):
        parquet_source(tmp_path)


def test_text_that_names_no_class_is_unlabelled(tmp_path: Path) -> None:
    images = [(b"1", "a"), (b"2", "b"), (b"3", "c")]
    source = parquet_source(write(tmp_path / "x.parquet", images, names=None, label=["cat", "-1", "0"]))
    assert source.classes == ["0", "cat"]
    assert [(file.path, file.reason) for file in source.files() if isinstance(file, Rejected)] == [("b", "unlabelled")]


@pytest.mark.parametrize("name", ["Split", "subset"])
def test_columns_of_split_and_group_have_the_names_that_they_have_in_tables(tmp_path: Path, name: str) -> None:
    columns: dict[str, Any] = {"label": [0, 1], name: ["train", "Test"], "Group": [7, None]}
    source = parquet_source(write(tmp_path / "x.parquet", [(b"1", "a"), (b"2", "b")], **columns))
    assert candidates(list(source.files())) == [("a", "cat", "training", "7"), ("b", "dog", "test", None)]
    assert source.notes == (() if name == "Split" else ("the splits are in the column subset",))


def test_a_column_that_is_no_split_is_noted(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", [(b"1", "a"), (b"2", "b")], label=[0, 1], partition=["train", "blue"])
    (note,) = parquet_source(path).notes
    assert note == "the column partition is not read, because not all its values are train, validation or test"


SEVERAL = [("a", "cat|dog"), ("b", ""), ("c", "dog")]


@pytest.mark.parametrize(
    ("labels", "feature"),
    [
        ([["cat", "dog"], [], ["dog"], None], None),
        ([[0, 1], [], [1], [-1]], {"feature": {"names": NAMES, "_type": "ClassLabel"}, "_type": "Sequence"}),
        ([[0, 1], [], [1], None], {"feature": {"names": NAMES, "_type": "ClassLabel"}, "_type": "List"}),
        ([[0, 1], [], [1], None], [{"names": NAMES, "_type": "ClassLabel"}]),
        (["cat|dog", "", "dog", None], None),
    ],
)
@pytest.mark.parametrize("column", ["labels", "label", "tags"])
def test_images_have_several_labels(tmp_path: Path, labels: list[Any], feature: Any, column: str) -> None:
    images = pa.array([{"bytes": b"1", "path": name} for name in "abcd"], IMAGE)
    table = pa.table({"image": images, column: labels})
    if feature is not None:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": {column: feature}}})})
    elif column == "tags" or (isinstance(labels[0], str) and column == "label"):
        return  # its name does not say that it has labels, or that it has several
    pq.write_table(table, tmp_path / "x.parquet")
    source = parquet_source(tmp_path / "x.parquet")
    found = list(source.files())
    assert source.multi_label
    assert source.classes == NAMES
    assert [one[:2] for one in candidates(found)] == SEVERAL
    assert [(one.path, one.reason.value) for one in found if isinstance(one, Rejected)] == [("d", "unlabelled")]


def test_one_label_may_be_asked_for_as_a_set(tmp_path: Path) -> None:
    source = parquet_source(write(tmp_path / "x.parquet", [(b"1", "a"), (b"2", "b")], label=[1, 0]), Choice(multi_label=True))
    assert source.multi_label
    assert [one[1] for one in candidates(list(source.files()))] == ["dog", "cat"]


def test_lists_of_numbers_without_names_are_in_their_order(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", [(b"1", "a"), (b"2", "b")], names=None, label=[[10, 2], [2]])
    source = parquet_source(path)
    assert source.classes == ["2", "10"]
    assert [one[1] for one in candidates(list(source.files()))] == ["10|2", "2"]


def test_lists_with_a_number_for_each_class_are_refused(tmp_path: Path) -> None:
    flags = write(tmp_path / "x.parquet", [(b"1", "a"), (b"2", "b")], names=None, label=[[0, 1, 1], [1, 0, 0]])
    with pytest.raises(UserError, match=r"has lists of 3 numbers, as \[0, 1, 1\], in the column label, which look like"):
        parquet_source(flags)
    numbers = write(tmp_path / "y.parquet", [(b"1", "a"), (b"2", "b")], names=None, label=[[0, 1], [1]])
    assert parquet_source(numbers).classes == ["0", "1"]


def test_a_list_with_a_number_of_no_class_is_rejected(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", [(b"1", "a"), (b"2", "b")], label=[[0, 5], [None]])
    assert [str(one.detail) for one in parquet_source(path).files() if isinstance(one, Rejected)] == [
        "its label is [0, 5]",
        "its label is [None]",
    ]


def test_a_column_of_one_label_comes_before_lists(tmp_path: Path) -> None:
    tags = {"feature": {"names": ["x"], "_type": "ClassLabel"}, "_type": "Sequence"}
    image = pa.array([{"bytes": b"1", "path": "a"}], IMAGE)
    table = pa.table({"image": image, "tags": [[0]], "label": ["cat"]})
    metadata = {"huggingface": json.dumps({"info": {"features": {"tags": tags}}})}
    pq.write_table(table.replace_schema_metadata(metadata), tmp_path / "x.parquet")
    source = parquet_source(tmp_path / "x.parquet")
    assert (source.multi_label, source.classes) == (False, ["cat"])
