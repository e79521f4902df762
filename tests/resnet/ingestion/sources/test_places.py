"""Where the images of a table are, and what their files are called."""

import io
from pathlib import Path

import pytest

from resnet.core.errors import UserError
from resnet.ingestion.sources.places import Disk, Finder, Listed, Place, find_base
from resnet.ingestion.sources.rows import TableFile


def table(path: str) -> TableFile:
    return TableFile(path, path, io.BytesIO)


def base(names: list[str], files: list[str], path: str = "train.csv", wanted: str | None = None) -> tuple[str, ...]:
    return find_base(Listed([path, *files]), table(path), names, wanted).bases


@pytest.fixture(params=["disk", "archive"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    files = ["a/1.jpg", "a/b.c.PNG", "a/2.jpg", "a/2.png", "a/notes.txt", "top.webp"]
    for file in files:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    return Disk(tmp_path) if request.param == "disk" else Listed(files)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a/1.jpg", "a/1.jpg"),
        ("a/1", "a/1.jpg"),
        ("a\\1.jpg", "a/1.jpg"),
        (" a/1.jpg ", "a/1.jpg"),
        ("./a/../a/1.jpg", "a/1.jpg"),
        ("a/1.JPG", "a/1.jpg"),
        ("a/b.c", "a/b.c.PNG"),
        ("top", "top.webp"),
        ("a/notes", None),  # only images are found without their extension
        ("a/01", None),
        ("a", None),  # a folder
        ("", None),
        ("a\0", None),
        ("x" * 300, None),
        ("x/" * 3000, None),
    ],
)
def test_a_name_may_lack_the_extension_or_be_written_as_on_windows(place: Place, name: str, found: str | None) -> None:
    assert Finder(place, "").find(name) == found


def test_a_name_of_two_files_is_refused(place: Place) -> None:
    assert Finder(place, "").find("a/2.png") == "a/2.png"
    with pytest.raises(
        UserError, match="names an image '2', which may be '2.jpg' or '2.png': write its name with the extension"
    ):
        Finder(place, "").find("a/2")


def test_paths_may_be_absolute_or_lead_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "1.png").touch()
    finder = Finder(Disk(tmp_path / "source"), "")
    assert finder.find(f"{tmp_path}/1.png") == f"{tmp_path}/1.png"
    assert finder.find("../1") == "../1.png"
    assert Finder(Listed(["1.png"]), "").find("../1.png") is None


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["1.png", "train/1.png"], ""),  # beside the table
        (["train/1.png", "test/1.png", "images/1.png"], "train"),  # the folder with the name of the table
        (["images/1.png", "other/1.png"], "images"),
        (["Train_Images/1.png", "test_images/1.png"], "Train_Images"),
        (["ISIC_Training_Input/1.png"], "ISIC_Training_Input"),
    ],
)
def test_images_are_looked_for_in_the_usual_folders(files: list[str], expected: str) -> None:
    assert base(["1"], files) == (expected,)
    assert base(["1"], [f"deep/{file}" for file in files], "deep/train.csv") == (f"deep/{expected}".rstrip("/"),)


def test_images_may_be_spread_over_the_folders_beside_the_table() -> None:
    assert base(["1", "2"], ["part_1/1.png", "part_2/2.png"]) == ("part_1", "part_2")


def test_numbers_of_classes_are_not_taken_for_names_of_images() -> None:
    images = [f"{name}/{number}.png" for number, name in enumerate(["cat", "dog"] * 10)]
    assert base(["0", "1"], images) == ("",)


def test_several_folders_with_all_images_are_refused_with_the_parameter() -> None:
    with pytest.raises(UserError, match="found in each of the folders images, data: name the right one in ingest.image_folder"):
        base(["1"], ["images/1.png", "data/1.png"])


def test_the_user_comes_before_what_is_found() -> None:
    assert base(["1"], ["images/1.png", "data/1.png"], wanted="data") == ("data",)
    assert base(["1"], ["a/1.png"], "b/train.csv", wanted="../a") == ("a",)
    assert base(["1"], ["1.png"], wanted=".") == ("",)


def test_with_missing_images_it_is_the_folder_with_most() -> None:
    assert base(["1", "2", "3"], ["images/1.png", "images/2.png", "3.png"]) == ("images",)


def test_an_absolute_name_is_found_once_though_the_images_are_spread(tmp_path: Path) -> None:
    for name in ("a/1.png", "b/2.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    assert Finder(Disk(tmp_path), "a", "b").find(f"{tmp_path}/b/2.png") == f"{tmp_path}/b/2.png"
    assert Disk(tmp_path).inside(f"{tmp_path}/b/2.png") == "b/2.png"
    assert Disk(tmp_path / "a").inside("../b/2.png") == "../b/2.png"
