"""Tables of images as sources."""

from pathlib import Path

import pytest

from resnet.core.errors import UserError
from resnet.images.outcomes import Candidate, Ignored, Reason, Rejected
from resnet.ingestion.sources.columns import Choice
from resnet.ingestion.sources.places import Disk
from resnet.ingestion.sources.source import Source
from resnet.ingestion.sources.table import on_disk, open_table, table_source, tables_source
from tests.pictures import write_tree

FILES = {"a/1.jpg": b"1", "b/2 2.jpg": b"2", "3,.jpg": b"3"}


def table(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    write_tree(folder, FILES)
    (folder / "labels.csv").write_bytes(text.encode(encoding))
    return folder / "labels.csv"


def whole_folder(path: Path, **splits: str) -> Source:
    """The source of a folder with this table, or with tables that have splits."""
    tables = {path.name: None} | {f"{name}.csv": split for name, split in splits.items()}
    place, folder = Disk(path.parent), path.parent
    return tables_source(folder, [open_table(on_disk(folder, name), place, Choice(), split) for name, split in tables.items()])


def listed(source: Source) -> list[tuple[str, str, str | None]]:
    return [(file.path, file.label, file.split) for file in source.files() if isinstance(file, Candidate)]


def test_lines_become_files_with_their_label_split_and_group(tmp_path: Path) -> None:
    text = 'path,group,label,split,extra\na/1.jpg,p1,dog,TRAIN,x\nb/2 2.jpg,,cat,val,y\n"3,.jpg",p2,dog,,z\n'
    source = table_source(table(tmp_path, text))
    assert source.classes == ["cat", "dog"]
    found = [file for file in source.files() if isinstance(file, Candidate)]
    assert [(file.path, file.label, file.split, file.group, file.read()) for file in found] == [
        ("a/1.jpg", "dog", "training", "p1", b"1"),
        ("b/2 2.jpg", "cat", "validation", None, b"2"),
        ("3,.jpg", "dog", None, "p2", b"3"),
    ]


def test_absolute_paths_and_a_byte_order_mark_are_fine(tmp_path: Path) -> None:
    path = table(tmp_path, f"path,label\n{tmp_path}/a/1.jpg,x\nb/2 2.jpg,y\n", "utf-8-sig")
    assert [file.path for file in table_source(path).files()] == ["a/1.jpg", "b/2 2.jpg"]


@pytest.mark.parametrize(
    "text",
    [
        "path;label\na/1.jpg;007\nb/2 2.jpg;42\n",
        "path\tlabel\na\\1.jpg\t007\nb\\2 2.jpg\t42\n",
        "File Name, Class\n a/1.jpg, 007 \n b/2 2.jpg,42\n",
        "id,breed\na/1,007\nb/2 2,42\n",
    ],
)
def test_tables_are_written_in_many_ways(tmp_path: Path, text: str) -> None:
    source = table_source(table(tmp_path, text))
    assert source.classes == ["007", "42"]
    assert listed(source) == [("a/1.jpg", "007", None), ("b/2 2.jpg", "42", None)]


def test_how_columns_and_folders_were_understood_is_said(tmp_path: Path) -> None:
    write_tree(tmp_path, {"train/1.jpg": b"1", "train.csv": b"id,breed\n1,cat\n"})
    note = table_source(tmp_path / "train.csv").notes[0]
    assert note == "train.csv: its images are named by the column id and their classes by breed; its images are in train"


def test_the_user_names_columns_and_the_folder(tmp_path: Path) -> None:
    write_tree(tmp_path, {"x/1.jpg": b"x", "train/1.jpg": b"t", "train.csv": b"id,a,b\n1,cat,red\n"})
    source = table_source(tmp_path / "train.csv", Choice("id", "b", "x"))
    assert listed(source) == [("x/1.jpg", "red", None)]


def test_one_hot_columns_are_classes(tmp_path: Path) -> None:
    source = table_source(table(tmp_path, "filename, cat, dog, owl\na/1.jpg, 0, 1, 0\nb/2 2.jpg, 0, 0, 0\n"))
    assert source.classes == ["cat", "dog", "owl"]
    assert list(source.files())[1] == Rejected("b/2 2.jpg", Reason.UNLABELLED, "the table has no label for it")
    assert listed(source) == [("a/1.jpg", "dog", None)]


def test_files_that_the_table_of_a_folder_does_not_list_are_accounted_for(tmp_path: Path) -> None:
    path = table(tmp_path, "path,label\na/1.jpg,x\nb/../b/2 2.jpg,y\n")
    (tmp_path / "notes.txt").touch()
    found = list(whole_folder(path).files())
    assert [file.path for file in found[:2]] == ["a/1.jpg", "b/2 2.jpg"]
    unlisted = Rejected("3,.jpg", Reason.UNLABELLED, "the table does not list it")
    assert found[2:] == [unlisted, Ignored("labels.csv"), Ignored("notes.txt")]
    assert len(list(table_source(path).files())) == 2


def test_a_class_with_the_separator_of_several_labels_is_named(tmp_path: Path) -> None:
    path = table(tmp_path, "path,label\na/1.jpg,x|y\nb/2 2.jpg,y\n")
    assert table_source(path).notes[0] == (
        "'x|y' is one class; ingest.multi_label=true makes '|' separate several labels of an image"
    )
    for said in (True, False):
        assert not any("is one class" in note for note in table_source(path, Choice(multi_label=said)).notes)


def test_images_of_a_test_split_may_have_no_label(tmp_path: Path) -> None:
    source = table_source(table(tmp_path, "path,label,split\na/1.jpg,x,train\nb/2 2.jpg,,test\n"))
    assert source.classes == ["x"]
    assert list(source.files())[1] == Rejected("b/2 2.jpg", Reason.UNLABELLED, "the table has no label for it")


def test_folders_with_names_of_splits_count(tmp_path: Path) -> None:
    files = {"images/train/1.jpg": b"1", "images/test/2.jpg": b"2"}
    write_tree(tmp_path, files | {"labels.csv": b"path,label\nimages/train/1.jpg,x\nimages/test/2.jpg,y\n"})
    source = whole_folder(tmp_path / "labels.csv")
    assert listed(source) == [("images/train/1.jpg", "x", "training"), ("images/test/2.jpg", "y", "test")]
    assert source.notes == ("the splits are those of the folders that the images are in",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "that names the images; its columns are none"),
        ("path,label\n", "labels.csv has no rows: expected is one line for each image"),
        ("path,split\n\n,\n", "labels.csv has no rows: expected"),
        ("first,second,third\na/1.jpg,x,y\n", "that names the images; its columns are first, second, third: rename one, or"),
        ("path,width,height\na/1.jpg,7,8\n", "has no column label or class that names the class of each image"),
        ("path,split\na/1.jpg,test\n", "has no column label or class"),
        ("path,label\na/1.jpg,x\na/9.jpg,x\n", "line 3: there is no a/9.jpg; paths are relative to the folder of the table"),
        (
            "path,label\na/1.jpg,\n",
            "the label of a/1.jpg is empty; add one, remove the line, or set ingest.multi_label to true",
        ),
        ("path,label\na/1.jpg\n", "line 2: the label of a/1.jpg is empty"),
        ("path,label\na,x\n", "line 2: there is no a; paths"),  # a folder
        (f"path,label\n{'x' * 300},x\n", "line 2: there is no xxx"),
        (f"path,label\n{'x/' * 3000},x\n", "line 2: there is no x/x"),
        ("path,label\n,x\n", "line 2: the path is empty"),
        ("path,label,split\na/1.jpg,x,future\n", "line 2: the split 'future' is unknown; use train, validation or test"),
        ("path,label\na/1.jpg,x\n3,.jpg,y\n", "line 3: there are 3 cells, but 2 columns; put a cell"),
        ("path,label\na/1.jpg,x\na/1.jpg,y\n", "line 3: a/1.jpg is already on line 2; list each image once"),
        ("path,label\na/1.jpg,x\na\\1,y\n", "line 3: a/1.jpg is already on line 2; list each image once"),
        (
            "path,cat,dog\na/1.jpg,1,1\n",
            "line 2: the image belongs to several classes (cat, dog), but expected is one 1 in each line",
        ),
        ("path,cat,dog\na/1.jpg,1,0\nb/2 2.jpg,0.7,0.3\n", "line 3: the column cat is '0.7', not 0 or 1"),
    ],
)
def test_a_table_that_is_wrong_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match="labels.csv.*") as caught:
        table_source(table(tmp_path, text))
    assert message in str(caught.value)


def test_an_image_in_two_tables_is_refused(tmp_path: Path) -> None:
    write_tree(tmp_path, {"1.jpg": b"1", "train.csv": b"path,label\n1.jpg,x\n", "test.csv": b"path,label\n1.jpg,x\n"})
    with pytest.raises(UserError, match="test.csv, line 2: 1.jpg is already on line 2 of train.csv"):
        whole_folder(tmp_path / "train.csv", test="test")


def test_a_table_in_another_encoding_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"labels\.csv is not in UTF-8 \(invalid .* byte at byte 19\); save it as UTF-8"):
        table_source(table(tmp_path, "path,label\na/1.jpg,ä\n", "latin-1"))


def test_a_table_in_utf_16_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"labels\.csv is not in UTF-8"):
        table_source(table(tmp_path, "path,label\na/1.jpg,x\n", "utf-16-le"))


def test_what_dvc_watches_is_said(tmp_path: Path) -> None:
    path = table(tmp_path / "source", "path,label\na/1.jpg,x\n")
    assert "DVC watches" in table_source(path).notes[0]
    assert whole_folder(path).notes == ()
    write_tree(tmp_path, {"4.jpg": b"4"})
    path = table(tmp_path / "source", "path,label\n../4.jpg,x\n")
    assert whole_folder(path).notes == (f"DVC watches {path.parent}, but not the images outside it that its table lists",)


def test_a_table_that_is_cut_in_a_quotation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="labels.csv"):
        table_source(table(tmp_path, 'path,label\n"a/1.jpg,x\nb/2 2.jpg,y\n'))


@pytest.mark.parametrize("label", ["-1", " -1 ", "-1.0"])
def test_the_label_minus_one_means_unlabelled(tmp_path: Path, label: str) -> None:
    source = table_source(table(tmp_path, f"path,label\na/1.jpg,0\nb/2 2.jpg,{label}\n"))
    assert source.classes == ["0"]
    assert [file.reason for file in source.files() if isinstance(file, Rejected)] == [Reason.UNLABELLED]


def test_a_label_that_contains_the_next_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"labels.csv, line 4: the label of b/2 2.jpg contains the next rows, 'dog\\n3"):
        table_source(table(tmp_path, 'path,label\na/1.jpg,cat\nb/2 2.jpg,"dog\n3,.jpg"\n'))


def test_a_label_may_have_two_lines(tmp_path: Path) -> None:
    assert table_source(table(tmp_path, 'path,label\na/1.jpg,cat\nb/2 2.jpg,"hot\ndog"\n')).classes == ["cat", "hot\ndog"]


@pytest.mark.parametrize("above", ["dev", "test/x"])
def test_a_folder_above_the_data_is_no_split(tmp_path: Path, above: str) -> None:
    data, elsewhere = tmp_path / above / "data", tmp_path / "tables"
    elsewhere.mkdir()
    write_tree(data, {"train/1.jpg": b"1", "train/test/3.jpg": b"3", "test/2.jpg": b"2"})
    rows = f"{data}/train/1.jpg,cat\n{data}/test/2.jpg,cat\n{data}/train/test/3.jpg,test\n"
    (elsewhere / "labels.csv").write_text("path,label\n" + rows)
    assert [split for _, _, split in listed(table_source(elsewhere / "labels.csv"))] == ["training", "test", "training"]


@pytest.mark.parametrize(
    ("root", "name"),
    [("data", "{}/data/a/1.jpg"), ("data", "../data/a/1.jpg"), ("link", "{}/data/a/1.jpg"), ("link", "{}/link/a/1.jpg")],
)
def test_an_image_in_the_folder_is_one_however_its_path_is_written(tmp_path: Path, root: str, name: str) -> None:
    folder = tmp_path / root
    write_tree(tmp_path / "data", FILES)
    (tmp_path / "link").symlink_to(tmp_path / "data")
    name = name.format(tmp_path)
    (folder / "labels.csv").write_text(f"path,label\n{name},x\n")
    found = [(file.path, type(file)) for file in whole_folder(folder / "labels.csv").files() if not isinstance(file, Ignored)]
    assert sorted(found) == [("3,.jpg", Rejected), ("a/1.jpg", Candidate), ("b/2 2.jpg", Rejected)]
    (folder / "labels.csv").write_text(f"path,label\n{name},x\na/1.jpg,y\n")
    with pytest.raises(UserError, match=r"line 3: a/1\.jpg is already on line 2"):
        table_source(folder / "labels.csv")


@pytest.mark.parametrize("column", ["subset", "Set", "partition"])
def test_a_column_of_another_name_gives_splits_if_all_its_values_are_splits(tmp_path: Path, column: str) -> None:
    source = table_source(table(tmp_path, f"path,label,{column}\na/1.jpg,x,train\nb/2 2.jpg,y,Val\n"))
    assert [split for _, _, split in listed(source)] == ["training", "validation"]
    assert source.notes[0] == f"labels.csv: the splits are in the column {column}"
    source = table_source(table(tmp_path, f"path,label,{column}\na/1.jpg,x,train\nb/2 2.jpg,y,blue\n"))
    assert [split for _, _, split in listed(source)] == [None, None]
    assert source.notes[0].startswith(f"labels.csv: the column {column} is not read, because not all its values are train, val")


def test_the_index_that_pandas_writes_is_no_split_and_no_group(tmp_path: Path) -> None:
    source = table_source(table(tmp_path, ",path,label\n0,a/1.jpg,x\n1,b/2 2.jpg,y\n"))
    found = [file for file in source.files() if isinstance(file, Candidate)]
    assert [(file.label, file.split, file.group) for file in found] == [("x", None, None), ("y", None, None)]
