"""The kind of source for a name or path."""

import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from resnet.core.errors import UserError
from resnet.images.outcomes import Candidate
from resnet.ingestion.sources.catalog import open_source
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
    with pytest.raises(UserError, match=r"the source nowhere does not exist in .*; expected digits, a folder of class folders"):
        open_source("nowhere")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(UserError, match=r"notes\.txt is of no known kind; expected digits, a folder"):
        open_source(str(tmp_path / "notes.txt"))


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
