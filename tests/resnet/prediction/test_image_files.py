"""Files, folders, archives, patterns and standard input on the command line."""

import io
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from resnet.images.outcomes import BadFile, Reason, Rejected
from resnet.prediction.image_files import Archive, ImageFile, find_images, open_archives
from tests.pictures import write_tree


def shown(*names: str) -> list[str]:
    """The path of each file for these names, or what is wrong with it."""
    found = open_archives(find_images(names))
    return [one.path if isinstance(one, ImageFile) else f"{one.path}: {one.detail}" for one in found]


def test_files_folders_and_patterns_are_found_once_and_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = ("b/2.png", "b/1.png", "b/.DS_Store", "b/README.md", "b/deep/er.png", "a.png", "c[1].png")
    write_tree(tmp_path, dict.fromkeys(names, b"x"))
    assert shown("b/1.png", "b", "*.png", "c[1].png", "none", "*.tif", "") == [
        "b/1.png",
        "b/2.png",
        "b/deep/er.png",
        "a.png",
        "c[1].png",
        "none: there is no such file or folder",
        "*.tif: no file that can be an image matches it",
        "'': the path is empty, as that of a variable that is not set",
    ]
    assert shown("b/README.md") == ["b/README.md"]  # named directly


def test_a_folder_without_images_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_tree(tmp_path, {"texts/README.md": b"x"})
    Path("texts/deep").mkdir()
    assert shown("texts") == ["texts: the folder has no files that can be images"]
    assert shown("texts/*.md") == ["texts/*.md: no file that can be an image matches it"]


def test_archives_are_read_in_their_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_tree(tmp_path, {"in/b/1.png": b"one", "in/README.md": b"x", "in/2.png": b"two"})
    with zipfile.ZipFile("in.zip", "w") as archive:
        for path in ("b/1.png", "README.md", "2.png"):
            archive.write(f"in/{path}", path)
    with tarfile.open("in.tar.gz", "w:gz") as tar:
        tar.add("in/b", "b")
    with tarfile.open("empty.tar", "w"):
        pass
    Path("cut.zip").write_bytes(Path("in.zip").read_bytes()[:-30])
    found = list(open_archives(find_images(["in.zip", "in.tar.gz"])))
    assert [(one.path, one.read()) for one in found if isinstance(one, ImageFile)] == [
        ("in.zip/b/1.png", b"one"),
        ("in.zip/2.png", b"two"),
        ("in.tar.gz/b/1.png", b"one"),
    ]
    assert len(found) == 3
    cut, empty, last = shown("cut.zip", "empty.tar", "in/2.png")
    assert cut.startswith("cut.zip: cut.zip cannot be read as an archive: ")
    assert (empty, last) == ("empty.tar: the archive has no files that can be images", "in/2.png")
    Path("in.zip").rename("in/in.zip")
    assert not any(isinstance(one, Archive) for one in find_images(["in"]))  # as ingest, it opens none in a folder


def test_a_minus_is_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"pixels")))
    first, *more = find_images(["-", "-"])
    assert isinstance(first, ImageFile)
    assert (first.path, first.read(), more) == ("-", b"pixels", [])
    monkeypatch.chdir(tmp_path)
    Path("-").write_bytes(b"a file")
    (file,) = find_images(["./-"])
    assert isinstance(file, ImageFile)
    assert file.read() == b"a file"
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(BadFile, match="no file is redirected to standard input"):
        first.read()


def test_what_cannot_be_read_in_a_folder_is_named_with_its_path(tmp_path: Path) -> None:
    write_tree(tmp_path, {"pets/a.png": b"x"})
    (tmp_path / "pets" / "b.png").symlink_to("nowhere")
    first, second = find_images([str(tmp_path / "pets")])
    assert isinstance(first, ImageFile)
    assert first.path == str(tmp_path / "pets" / "a.png")
    assert isinstance(second, Rejected)
    assert (second.path, second.reason) == (str(tmp_path / "pets" / "b.png"), Reason.UNREADABLE)


def test_a_dangling_link_that_is_named_directly_is_left_to_the_reader(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to("nowhere")
    assert shown(str(tmp_path / "a.png")) == [str(tmp_path / "a.png")]


def test_a_name_that_the_system_refuses_is_rejected() -> None:
    (found,) = find_images(["a" * 300])
    assert isinstance(found, Rejected)
    assert (found.reason, found.detail) == (Reason.UNREADABLE, "file name too long")
