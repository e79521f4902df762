"""The look into a folder that tells kinds of sources apart."""

from pathlib import Path

import pytest

from resnet.ingestion.sources.sightings import Sightings, look
from tests.pictures import write_tree


def test_files_are_seen_three_levels_down_in_a_fixed_order(tmp_path: Path) -> None:
    write_tree(tmp_path, {"b/c/2.parquet": b"", "a.npz": b"", "b/1.csv": b"", "b/c/d/e/3.tar": b"", ".hidden/4.csv": b""})
    seen = look(tmp_path)
    assert seen.files == ["a.npz", "b/1.csv", "b/c/2.parquet"]
    assert (seen.tables, seen.has_images, seen.complete) == (["b/1.csv"], False, False)


def test_a_folder_is_left_at_its_first_image(tmp_path: Path) -> None:
    write_tree(tmp_path, {f"cat/{number}.jpg": b"" for number in range(3)} | {"cat/notes.txt": b"", "x.txt": b""})
    seen = look(tmp_path)
    assert (seen.has_images, seen.files, seen.complete) == (True, ["x.txt"], True)


def test_a_folder_that_cannot_be_read_or_leads_in_a_circle_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to(tmp_path)
    assert look(tmp_path).files == ["circle"]
    assert look(tmp_path / "nowhere").files == []


@pytest.mark.parametrize(
    ("path", "is_pickle"),
    [
        ("cifar-10-batches-py/data_batch_1", True),
        ("data_batch_5", True),
        ("batches.meta", True),
        ("cifar-100-python/train", True),
        ("sets/cifar-100-python/meta", True),
        ("sets/train", False),
        ("cifar-10-batches-bin/data_batch_1.bin", False),
    ],
)
def test_the_files_of_cifar_for_python_are_known(path: str, is_pickle: bool) -> None:
    seen = Sightings()
    seen.add(path)
    assert (seen.pickles == path) == is_pickle


def test_names_pass_through_a_look() -> None:
    seen = Sightings()
    names = [("a", True), ("a/1.jpg", False), ("a/1.cls", False), ("a/1.json", False)]
    assert list(seen.watch(names)) == names
    assert (seen.has_images, seen.labels, seen.objects, seen.files) == (True, True, True, ["a/1.cls", "a/1.json"])
    assert seen.complete


@pytest.mark.parametrize(
    ("paths", "objects"),
    [
        (["a/1.jpg", "a/1.json"], True),
        (["a/1.json", "a/1.cls", "a/1.seg.png"], True),
        (["a/1.jpg", "a/2.json", "a/2.txt"], False),
        (["a/1.jpg", "b/1.json"], False),
    ],
)
def test_json_counts_beside_an_image_of_its_name(paths: list[str], objects: bool) -> None:
    seen = Sightings()
    for path in paths:
        seen.add(path)
    assert seen.objects == objects
