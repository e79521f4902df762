"""Which source a name means."""

import io
import tarfile
import zipfile
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from resnet.core.errors import UserError
from resnet.images.outcomes import Candidate, Rejected
from resnet.ingestion.sources.catalog import open_source
from tests.pictures import picture, write_tree

FILES = {f"{name}/{n}.png": picture(n) for name in ("cat", "dog") for n in range(3)}


def read(name: str) -> dict[str, bytes]:
    """The content of each candidate, by class and file name, whatever is around."""
    return {f"{f.label}/{Path(f.path).name}": f.read() for f in open_source(name).files() if isinstance(f, Candidate)}


@pytest.mark.parametrize(
    ("suffix", "mode"), [("tar", "w:"), ("tar.gz", "w:gz"), ("tgz", "w:gz"), ("tar.bz2", "w:bz2"), ("tar.xz", "w:xz")]
)
@pytest.mark.parametrize("around", ["", "pets/"])
def test_a_tar_of_a_folder_is_the_folder(tmp_path: Path, suffix: str, mode: Literal["w:", "w:gz"], around: str) -> None:
    tree = write_tree(tmp_path / "tree", {f"{around}{path}": content for path, content in FILES.items()})
    with tarfile.open(tmp_path / f"pets.{suffix}", mode) as archive:
        archive.add(tree, ".")
    assert read(str(tmp_path / f"pets.{suffix}")) == FILES == read(str(tree))


@pytest.mark.parametrize("around", ["", "pets/"])
def test_a_zip_of_a_folder_is_the_folder(tmp_path: Path, around: str) -> None:
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as archive:
        for path, content in FILES.items():
            archive.writestr(f"{around}{path}", content)
    assert read(str(tmp_path / "pets.zip")) == FILES


def test_a_class_whose_files_are_all_encrypted_is_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "pets.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in FILES.items():
            archive.writestr(name, content)
    whole = bytearray(path.read_bytes())
    for at in [n for n in range(len(whole)) if whole[n : n + 4] == b"PK\x01\x02" and whole[n + 46 : n + 49] == b"dog"]:
        whole[at + 8] |= 1  # what the directory says of a member that is encrypted
    path.write_bytes(whole)
    source = open_source(str(path))
    assert source.classes == ["cat", "dog"]
    assert {file.path for file in source.files() if isinstance(file, Rejected)} == {f"dog/{n}.png" for n in range(3)}


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


def test_digits_are_scikit_learns() -> None:
    found = [file for file in open_source("builtin/digits").files() if isinstance(file, Candidate)]
    expected = load_digits()
    assert [int(file.label) for file in found] == expected.target.tolist()
    assert len({file.path for file in found}) == 1797
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(file.read()))) for file in found])
    assert pixels.max() == 255
    np.testing.assert_allclose(pixels / 255 * 16, expected.images, atol=0.05)
