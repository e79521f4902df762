"""What names of files say about them."""

import pytest

from resnet.ingestion.sources.file_names import is_annotation, is_ignored, is_system_folder


@pytest.mark.parametrize(
    "path",
    [
        "a/.DS_Store",
        "a/Thumbs.db",
        "a/desktop.ini",
        "README",
        "a/README.md",
        "readme_en.txt",
        "LICENSE",
        ".git/x.jpg",
        "a/._1.jpg",
    ],
)
def test_what_is_no_image_by_design_is_ignored(path: str) -> None:
    assert is_ignored(path)


@pytest.mark.parametrize(
    "path", ["a/readme.jpg", "a/thumbs.png", "readmission/1.jpg", "a/license plate.jpg", "a/NOTICE 7", "a/notes.txt", "a/1"]
)
def test_what_may_be_an_image_is_not(path: str) -> None:
    assert not is_ignored(path)


@pytest.mark.parametrize(
    "name", ["boxes.txt", "meta.JSON", "1.xml", "labels.csv", "a.md", "data.yaml", "p.html", "paper.pdf", "x.db", "setid.mat"]
)
def test_texts_and_annotations_are_known_by_their_suffix(name: str) -> None:
    assert is_annotation(f"cat/{name}")


@pytest.mark.parametrize("name", ["1.jpg", "1", "cat.xml.png", "txt", "1.txt.jpeg", "v.mp4", "1.heic", "1.svg"])
def test_other_names_are_no_annotations(name: str) -> None:
    assert not is_annotation(f"cat.txt/{name}")


def test_folders_of_systems_are_known() -> None:
    assert [name for name in ("__MACOSX", ".git", "@eaDir", "cat") if not is_system_folder(name)] == ["cat"]
