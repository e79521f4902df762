"""Archives of images with a table of their classes."""

import tarfile
import zipfile
from pathlib import Path

import pytest

from resnet.core.errors import UserError
from resnet.images.outcomes import Candidate, Ignored, Rejected
from resnet.ingestion.sources.archived_table import listed, read_tables
from resnet.ingestion.sources.catalog import open_source
from resnet.ingestion.sources.columns import NotATable
from tests.pictures import picture, write_tree

FILES = {"train/1.png": picture(1), "train/2.png": picture(2), "test/3.png": picture(3), "README.md": b"#"}
TABLE = {"train.csv": b"id,label\n2,dog\n1,cat\n"}


def pack(folder: Path, name: str, around: str = "") -> Path:
    tree = write_tree(folder / "tree", {around + path: content for path, content in (FILES | TABLE).items()})
    path = folder / name
    if name.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted(tree.rglob("*")):
                archive.write(file, file.relative_to(tree))
    else:
        with tarfile.open(path, "w:gz") as archive:
            archive.add(tree, ".")
    return path


@pytest.mark.parametrize("name", ["x.zip", "x.tar.gz"])
@pytest.mark.parametrize("around", ["", "pets/"])
def test_the_table_in_an_archive_names_the_classes(tmp_path: Path, name: str, around: str) -> None:
    source = open_source(str(pack(tmp_path, name, around)))
    found = {file.path.removeprefix(around): file for file in source.files()}
    assert source.classes == ["cat", "dog"]
    images = {path: (file.label, file.read()) for path, file in found.items() if isinstance(file, Candidate)}
    assert images == {"train/1.png": ("cat", FILES["train/1.png"]), "train/2.png": ("dog", FILES["train/2.png"])}
    (unlabelled,) = (file for file in found.values() if isinstance(file, Rejected))
    assert (unlabelled.path, unlabelled.reason) == (f"{around}test/3.png", "unlabelled")
    assert {path for path, file in found.items() if isinstance(file, Ignored)} == {"README.md", "train.csv"}


def test_a_missing_image_is_named_with_the_table_and_the_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("labels.csv", "path,label\n1.png,a\n2.png,b\n")
        archive.writestr("1.png", picture(1))
    with pytest.raises(UserError, match=r"labels.csv in .*x.zip, line 3: there is no 2.png; paths are relative"):
        open_source(str(tmp_path / "x.zip"))


def test_a_table_that_cannot_be_unpacked_is_no_table(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("labels.csv", "path,label\n1.png,a\n")
        archive.writestr("1.png", picture(1))
    content = bytearray(path.read_bytes())
    content[content.index(b"path,")] ^= 1  # the checksum fails
    path.write_bytes(content)
    assert list(listed(path).files("")) == ["labels.csv", "1.png"]
    with pytest.raises(NotATable, match="labels.csv in .* cannot be read as a table"):
        read_tables(path, ["labels.csv"])("labels.csv")
    with pytest.raises(UserError, match="labels.csv in .* cannot be read as a table"):
        open_source(str(path))
