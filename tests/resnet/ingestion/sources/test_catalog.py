"""The kind of source for a name or path."""

import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from resnet.core.errors import UserError
from resnet.images.outcomes import Candidate
from resnet.ingestion.sources.catalog import open_source
from resnet.ingestion.sources.source import Source
from tests.pictures import picture, write_tree

FILES = {f"{name}/{n}.png": picture(n) for name in ("cat", "dog") for n in range(3)}


def read(name: str) -> dict[str, bytes]:
    """The content of each candidate, by class and file name."""
    return {f"{f.label}/{Path(f.path).name}": f.read() for f in open_source(name).files() if isinstance(f, Candidate)}


def test_a_folder_may_be_a_table_or_parquet(tmp_path: Path) -> None:
    write_tree(tmp_path / "table", FILES | {"labels.csv": b"path,label\ncat/0.png,x\ndog/1.png,y\n"})
    assert read(str(tmp_path / "table")) == {"x/0.png": FILES["cat/0.png"], "y/1.png": FILES["dog/1.png"]}
    assert read(str(tmp_path / "table" / "labels.csv")) == read(str(tmp_path / "table"))


def test_what_is_not_there_or_of_no_known_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"the source nowhere does not exist in .*; expected builtin/digits, a folder of class folders"
    ):
        open_source("nowhere")
    (tmp_path / "notes.foo").write_text("hello")
    with pytest.raises(UserError, match=r"notes\.foo is of no known kind; expected builtin/digits, a folder"):
        open_source(str(tmp_path / "notes.foo"))


def test_the_name_of_the_built_in_source_gives_the_digits() -> None:
    assert open_source("builtin/digits").classes == [*"0123456789"]


def test_an_archive_is_told_by_its_name(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "pets.tgz", "w:gz") as archive:
        archive.add(write_tree(tmp_path / "tree", FILES), ".")
    assert read(str(tmp_path / "pets.tgz")) == FILES == read(str(tmp_path / "tree"))


@pytest.mark.parametrize("place", ["x.parquet", "data/x.parquet"])
def test_a_folder_with_parquet_files_is_read_as_those(tmp_path: Path, place: str) -> None:
    image = pa.array([{"bytes": b"1", "path": "a"}, {"bytes": b"2", "path": "b"}])
    (tmp_path / place).parent.mkdir(exist_ok=True)
    pq.write_table(pa.table({"image": image, "label": ["x", "y"]}), tmp_path / place)
    assert read(str(tmp_path)) == {"x/a": b"1", "y/b": b"2"}
    assert read(str(tmp_path / place)) == {"x/a": b"1", "y/b": b"2"}


def outcomes(source: Source) -> dict[str, tuple[str, str | None] | str]:
    """The label and split of each candidate, and the kind of each other outcome, by path."""
    return {
        file.path: (file.label, file.split) if isinstance(file, Candidate) else type(file).__name__ for file in source.files()
    }


def test_the_images_of_a_competition_are_found(tmp_path: Path) -> None:
    images = {f"train/{n:04d}.jpg": picture(n) for n in range(4)} | {"test/t1.jpg": picture(9)}
    tables = {"train.csv": b"id,label\n" + b"".join(b"%04d,%d\n" % (n, n % 2) for n in range(4)), "test.csv": b"id\nt1\n"}
    source = open_source(str(write_tree(tmp_path, images | tables)))
    expected = {f"train/{n:04d}.jpg": (str(n % 2), None) for n in range(4)}
    assert outcomes(source) == expected | {"test/t1.jpg": "Rejected", "train.csv": "Ignored", "test.csv": "Ignored"}
    assert "test.csv is not read, because it has no labels" in source.notes


def test_an_image_folder_of_hugging_face_is_read(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_tree(
            tmp_path / split, {"1.png": picture(1), "2.png": picture(2), "metadata.csv": b"file_name,label\n1.png,x\n2.png,y\n"}
        )
    found = outcomes(open_source(str(tmp_path)))
    assert {path: outcome for path, outcome in found.items() if path.endswith("png")} == {
        "train/1.png": ("x", "training"),
        "train/2.png": ("y", "training"),
        "test/1.png": ("x", "test"),
        "test/2.png": ("y", "test"),
    }


@pytest.mark.parametrize("table", [b"id,name\n0,cat\n1,dog\n", b"number,name,description\n0,cat,a\n", b"x\n", b""])
def test_a_table_of_class_names_beside_class_folders_is_ignored_with_a_note(tmp_path: Path, table: bytes) -> None:
    split = {f"{name}/{path}": content for name in ("train", "test") for path, content in FILES.items()}
    source = open_source(str(write_tree(tmp_path, split | {"labels.csv": table})))
    assert source.classes == ["cat", "dog"]
    assert outcomes(source)["labels.csv"] == "Ignored"
    assert outcomes(source)["test/cat/1.png"] == ("cat", "test")
    assert "the classes are those of the folders, because" in " ".join(source.notes)


def test_a_table_that_the_user_describes_is_not_passed_over(tmp_path: Path) -> None:
    write_tree(tmp_path, FILES | {"labels.csv": b"id,name\n0,cat\n1,dog\n"})
    with pytest.raises(UserError, match="line 2: there is no cat"):
        open_source(str(tmp_path), path_column="name")


def test_a_table_of_splits_is_added_to_class_folders(tmp_path: Path) -> None:
    write_tree(tmp_path, FILES | {"splits.csv": b"path,split\ncat/0.png,train\ndog/1.png,test\n"})
    found = outcomes(open_source(str(tmp_path)))
    assert found["cat/0.png"] == ("cat", "training")
    assert found["dog/1.png"] == ("dog", "test")
    assert found["dog/2.png"] == ("dog", None)


def test_a_table_of_another_name_is_told_beside_class_folders_and_used_without_them(tmp_path: Path) -> None:
    table = {"animals.csv": b"file,kind\ncat/0.png,x\ndog/1.png,y\n"}
    source = open_source(str(write_tree(tmp_path / "folders", FILES | table)))
    assert source.classes == ["cat", "dog"]
    assert source.notes == (
        "animals.csv names classes too, but those of the folders are used; to use it, name it as ingest.source",
    )
    flat = {f"{n}.png": picture(n) for n in range(2)} | {"animals.csv": b"file,kind\n0.png,x\n1.png,y\n"}
    assert open_source(str(write_tree(tmp_path / "flat", flat))).classes == ["x", "y"]


def test_images_without_labels_are_refused_with_what_to_do(tmp_path: Path) -> None:
    write_tree(tmp_path, {f"{n}.png": picture(n) for n in range(3)})
    with pytest.raises(UserError, match="a table|class folders"):
        open_source(str(tmp_path))


def test_parameters_of_tables_reach_them(tmp_path: Path) -> None:
    files = {"a/1.png": picture(1), "b/1.png": picture(2), "x.csv": b"one,two,three\n1,7,cat\n"}
    source = open_source(str(write_tree(tmp_path, files) / "x.csv"), path_column="one", label_column="three", image_folder="b")
    assert outcomes(source) == {"b/1.png": ("cat", None)}


def test_a_folder_of_save_to_disk_is_read(tmp_path: Path) -> None:
    table = pa.table({"image": [{"bytes": b"1", "path": "a"}], "label": ["x"]})
    for split in ("train", "test"):  # as datasets.DatasetDict.save_to_disk writes it
        write_tree(tmp_path / split, {"state.json": b"{}", "dataset_info.json": b"{}"})
        path = str(tmp_path / split / "data-00000-of-00001.arrow")
        with pa.OSFile(path, "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table)
    write_tree(tmp_path, {"dataset_dict.json": b'{"splits": ["train", "test"]}'})
    assert list(outcomes(open_source(str(tmp_path))).values()) == [("x", "test"), ("x", "training")]


def test_parquet_without_images_beside_class_folders_is_no_source(tmp_path: Path) -> None:
    write_tree(tmp_path, FILES)
    pq.write_table(pa.table({"file_name": ["cat/0.png"], "caption": ["a cat"]}), tmp_path / "metadata.parquet")
    assert open_source(str(tmp_path)).classes == ["cat", "dog"]


def test_a_damaged_archive_is_called_damaged(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"PK\3\4 and no more")
    with pytest.raises(UserError, match="x.zip cannot be read as an archive"):
        open_source(str(tmp_path / "x.zip"))


def test_tables_of_groups_in_all_folders_of_splits_count(tmp_path: Path) -> None:
    files = {f"{split}/{path}": content for split in ("train", "test") for path, content in FILES.items()}
    tables = {f"{split}/metadata.csv": f"file_name,group\ncat/0.png,{split}0\n".encode() for split in ("train", "test")}
    source = open_source(str(write_tree(tmp_path, files | tables)))
    groups = {file.path: file.group for file in source.files() if isinstance(file, Candidate) and file.group}
    assert groups == {"train/cat/0.png": "train0", "test/cat/0.png": "test0"}


def test_a_table_that_is_not_read_is_noted_beside_one_that_is(tmp_path: Path) -> None:
    tables = {"labels.csv": b"a,b,c\n1,2,3\n", "splits.csv": b"path,split\ncat/0.png,train\n"}
    source = open_source(str(write_tree(tmp_path, FILES | tables)))
    assert [note.partition(" is from ")[0] for note in source.notes if "split" in note] == ["the column split"]
    assert any("because " in note and "labels.csv has no column path" in note for note in source.notes)
    assert {outcomes(source)[name] for name in tables} == {"Ignored"}
    (tmp_path / "splits.csv").rename(tmp_path / "train.csv")
    (tmp_path / "train.csv").write_bytes(b"path,label\ncat/0.png,x\n")
    assert any(note.startswith("labels.csv is not read, because ") for note in open_source(str(tmp_path)).notes)


def test_a_second_table_with_classes_is_noted(tmp_path: Path) -> None:
    tables = dict.fromkeys(("labels.csv", "train.csv"), b"path,label\ncat/0.png,x\ncat/1.png,x\n")
    notes = open_source(str(write_tree(tmp_path, FILES | tables))).notes
    assert "train.csv names classes too, but labels.csv is used; to use it, name it as ingest.source" in notes
