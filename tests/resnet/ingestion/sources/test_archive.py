"""Archives of class folders give the same images as the folders themselves."""

import tarfile
import zipfile
from pathlib import Path
from typing import Literal

import pytest

from resnet.images.outcomes import Candidate, Rejected
from resnet.ingestion.sources.archive import archive_source
from resnet.ingestion.sources.folder import folder_source
from resnet.ingestion.sources.source import Source
from tests.pictures import picture, write_tree

FILES = {f"{name}/{n}.png": picture(n) for name in ("cat", "dog") for n in range(3)}


def read(source: Source) -> dict[str, bytes]:
    """The content of each candidate, by class and file name."""
    return {f"{f.label}/{Path(f.path).name}": f.read() for f in source.files() if isinstance(f, Candidate)}


@pytest.mark.parametrize(
    ("suffix", "mode"), [("tar", "w:"), ("tar.gz", "w:gz"), ("tgz", "w:gz"), ("tar.bz2", "w:bz2"), ("tar.xz", "w:xz")]
)
@pytest.mark.parametrize("around", ["", "pets/"])
def test_a_tar_of_a_folder_is_the_folder(tmp_path: Path, suffix: str, mode: Literal["w:", "w:gz"], around: str) -> None:
    tree = write_tree(tmp_path / "tree", {f"{around}{path}": content for path, content in FILES.items()})
    with tarfile.open(tmp_path / f"pets.{suffix}", mode) as archive:
        archive.add(tree, ".")
    assert read(archive_source(tmp_path / f"pets.{suffix}")) == FILES == read(folder_source(tree))


@pytest.mark.parametrize("around", ["", "pets/"])
def test_a_zip_of_a_folder_is_the_folder(tmp_path: Path, around: str) -> None:
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as archive:
        for path, content in FILES.items():
            archive.writestr(f"{around}{path}", content)
    assert read(archive_source(tmp_path / "pets.zip")) == FILES


def test_a_class_whose_files_are_all_encrypted_is_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "pets.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in FILES.items():
            archive.writestr(name, content)
    whole = bytearray(path.read_bytes())
    for at in [n for n in range(len(whole)) if whole[n : n + 4] == b"PK\x01\x02" and whole[n + 46 : n + 49] == b"dog"]:
        whole[at + 8] |= 1  # the flag for encryption in the central directory
    path.write_bytes(whole)
    source = archive_source(path)
    assert source.classes == ["cat", "dog"]
    assert {file.path for file in source.files() if isinstance(file, Rejected)} == {f"dog/{n}.png" for n in range(3)}
