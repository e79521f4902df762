"""Files, folders and patterns on the command line."""

from pathlib import Path

import pytest

from resnet.images.outcomes import Reason, Rejected
from resnet.prediction.image_files import find_images
from tests.pictures import write_tree


def test_files_folders_and_patterns_are_found_once_and_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = ("b/2.png", "b/1.png", "b/.DS_Store", "b/README.md", "b/deep/er.png", "a.png", "c[1].png")
    write_tree(tmp_path, dict.fromkeys(names, b"x"))
    found = list(find_images(["b/1.png", "b", "*.png", "c[1].png", "none", "*.tif"]))
    assert [str(one) if isinstance(one, Path) else f"{one.path}: {one.detail}" for one in found] == [
        "b/1.png",
        "b/2.png",
        "b/deep/er.png",
        "a.png",
        "c[1].png",
        "none: there is no such file or folder",
        "*.tif: no file matches it",
    ]
    assert list(find_images(["b/README.md"])) == [Path("b/README.md")]  # named directly


def test_what_cannot_be_read_in_a_folder_is_named_with_its_path(tmp_path: Path) -> None:
    write_tree(tmp_path, {"pets/a.png": b"x"})
    (tmp_path / "pets" / "b.png").symlink_to("nowhere")
    first, second = find_images([str(tmp_path / "pets")])
    assert first == tmp_path / "pets" / "a.png"
    assert isinstance(second, Rejected)
    assert (second.path, second.reason) == (str(tmp_path / "pets" / "b.png"), Reason.UNREADABLE)


def test_a_dangling_link_that_is_named_directly_is_left_to_the_reader(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to("nowhere")
    assert list(find_images([str(tmp_path / "a.png")])) == [tmp_path / "a.png"]


def test_a_name_that_the_system_refuses_is_rejected() -> None:
    (found,) = find_images(["a" * 300])
    assert isinstance(found, Rejected)
    assert (found.reason, found.detail) == (Reason.UNREADABLE, "file name too long")
