"""CSV files as sources."""

from pathlib import Path

import pytest

from resnet.core.errors import UserError
from resnet.images.outcomes import Candidate, Ignored
from resnet.ingestion.sources.table import table_source
from tests.pictures import write_tree

FILES = {"a/1.jpg": b"1", "b/2 2.jpg": b"2", "3,.jpg": b"3"}


def table(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    write_tree(folder, FILES)
    (folder / "labels.csv").write_bytes(text.encode(encoding))
    return folder / "labels.csv"


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
    assert [file.path for file in table_source(path).files()] == [f"{tmp_path}/a/1.jpg", "b/2 2.jpg"]


def test_files_that_the_table_of_a_folder_does_not_list_are_accounted_for(tmp_path: Path) -> None:
    path = table(tmp_path, "path,label\na/1.jpg,x\nb/../b/2 2.jpg,y\n")
    found = list(table_source(path, whole_folder=True).files())
    assert found[2:] == [Ignored("3,.jpg")]
    assert len(list(table_source(path).files())) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no column path; its columns are none"),
        ("file,label\na/1.jpg,x\n", "has no column path; its columns are file, label"),
        ("path;label\na/1.jpg;x\n", "has no column path; its columns are path;label: add it, separated by commas"),
        ("path,class\na/1.jpg,x\n", "has no column label; its columns are path, class"),
        ("path,label\na/1.jpg,x\na/9.jpg,x\n", "line 3: there is no a/9.jpg; paths are relative to the folder of the table"),
        ("path,label\na/1.jpg,\n", "line 2: the label of a/1.jpg is empty; add one, or remove the line"),
        ("path,label\na/1.jpg\n", "line 2: the label of a/1.jpg is empty"),
        ("path,label\na,x\n", "line 2: there is no a; paths"),  # a folder
        (f"path,label\n{'x' * 300},x\n", "line 2: there is no xxx"),
        (f"path,label\n{'x/' * 3000},x\n", "line 2: there is no x/x"),
        ("path,label\n,x\n", "line 2: the path is empty"),
        ("path,label,split\na/1.jpg,x,future\n", "line 2: the split 'future' is unknown; use train, validation or test"),
        ("path,label\na/1.jpg,x\n3,.jpg,y\n", "line 3: there is no 3;"),
        ("path,label\na/1.jpg,x\na/1.jpg,y\n", "line 3: a/1.jpg is already on line 2; list each image once"),
    ],
)
def test_a_table_that_is_wrong_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match="labels.csv.*") as caught:
        table_source(table(tmp_path, text))
    assert message in str(caught.value)


def test_a_table_in_another_encoding_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"labels\.csv is not in UTF-8 \(invalid .* byte at byte 19\); save it as UTF-8"):
        table_source(table(tmp_path, "path,label\na/1.jpg,ä\n", "latin-1"))


def test_a_table_in_utf_16_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"labels\.csv is not in UTF-8"):
        table_source(table(tmp_path, "path,label\na/1.jpg,x\n", "utf-16-le"))


def test_what_dvc_watches_is_said(tmp_path: Path) -> None:
    path = table(tmp_path, "path,label\na/1.jpg,x\n")
    assert "DVC watches" in table_source(path).notes[0]
    assert table_source(path, whole_folder=True).notes == ()


def test_a_table_that_is_cut_in_a_quotation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="labels.csv"):
        table_source(table(tmp_path, 'path,label\n"a/1.jpg,x\nb/2 2.jpg,y\n'))
