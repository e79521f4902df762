"""IDX files, the format of MNIST."""

import gzip
import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet.core.errors import UserError
from resnet.images.outcomes import Candidate
from resnet.ingestion.sources.catalog import open_source
from tests.pictures import write_tree

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 5, 4), dtype=np.uint8)
LABELS = np.array([7, 2, 7, 0, 2, 7], np.uint8)


def idx(array: np.ndarray, *, kind: int = 8) -> bytes:
    return struct.pack(f">HBB{array.ndim}L", 0, kind, array.ndim, *array.shape) + array.tobytes()


def mnist(folder: Path, form: str = "{}-{}-idx{}-ubyte") -> Path:
    files = {}
    for split, rows in (("train", slice(4)), ("t10k", slice(4, 6))):
        for name, array in (("images", IMAGES[rows]), ("labels", LABELS[rows])):
            content = idx(array)
            files[form.format(split, name, array.ndim)] = gzip.compress(content) if form.endswith(".gz") else content
    return write_tree(folder, files)


def read(path: Path) -> list[tuple[str, str, str | None]]:
    return [(file.path, file.label, file.split) for file in open_source(str(path)).files() if isinstance(file, Candidate)]


@pytest.mark.parametrize("form", ["{}-{}-idx{}-ubyte", "{}-{}-idx{}-ubyte.gz", "{}-{}.idx{}-ubyte"])
@pytest.mark.parametrize("around", ["", "MNIST/raw"])
def test_a_folder_of_pairs_has_splits(tmp_path: Path, form: str, around: str) -> None:
    mnist(tmp_path / around, form)
    source = open_source(str(tmp_path))
    assert source.classes == ["0", "2", "7"]
    found = [file for file in source.files() if isinstance(file, Candidate)]
    assert [(file.label, file.split) for file in found] == [
        *(("2", "test"), ("7", "test")),
        *(("7", "training"), ("2", "training"), ("7", "training"), ("0", "training")),
    ]
    assert found[0].path.endswith("/0000000.png")
    assert found[0].path.startswith(f"{around}/t10k" if around else "t10k")
    for file, expected in zip(found, IMAGES[[4, 5, 0, 1, 2, 3]], strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(file.read()))), expected)


def test_a_file_and_its_compressed_copy_count_once(tmp_path: Path) -> None:
    mnist(mnist(tmp_path), "{}-{}-idx{}-ubyte.gz")
    assert len(read(tmp_path)) == 6


def test_a_single_file_takes_the_labels_beside_it(tmp_path: Path) -> None:
    path = mnist(tmp_path) / "train-images-idx3-ubyte"
    assert [(label, split) for _, label, split in read(path)] == [("7", None), ("2", None), ("7", None), ("0", None)]
    assert "DVC watches" in open_source(str(path)).notes[0]


def test_images_in_colour_have_four_dimensions(tmp_path: Path) -> None:
    colour = np.random.default_rng(1).integers(0, 256, (3, 4, 4, 3), dtype=np.uint8)
    write_tree(tmp_path, {"x-images-idx4-ubyte": idx(colour), "x-labels-idx1-ubyte": idx(LABELS[:3])})
    (first, *_) = open_source(str(tmp_path)).files()
    assert isinstance(first, Candidate)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(first.read()))), colour[0])


def test_several_data_sets_in_a_folder_are_refused(tmp_path: Path) -> None:
    for name in ("emnist-letters", "emnist-digits"):
        mnist(tmp_path, name + "-{}-{}-idx{}-ubyte")
    with pytest.raises(
        UserError, match="several files of images for the same split .* put those of one data set into a folder"
    ):
        open_source(str(tmp_path))


def header(*sizes: int, kind: int = 8) -> bytes:
    return struct.pack(f">HBB{len(sizes)}L", 0, kind, len(sizes), *sizes)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (idx(IMAGES)[:-3], idx(LABELS), "ends 3 bytes before the end of an item"),
        (idx(IMAGES)[:9], idx(LABELS), "ends 7 bytes before"),
        (idx(IMAGES) + b"1", idx(LABELS), "more data follow the items that its header declares"),
        (idx(IMAGES), idx(LABELS[:5]), "has 6 images, but .* has 5 labels"),
        (idx(IMAGES), idx(LABELS)[:-1], "labels-idx1-ubyte cannot be read as an IDX file: it ends 1 byte before"),
        (idx(IMAGES, kind=13), idx(LABELS), "its header is of type 13 with 3 dimensions; expected type 8 and 3 or 4"),
        (idx(LABELS), idx(LABELS), "is of type 8 with 1 dimension;"),
        (b"", idx(LABELS), "ends 4 bytes before"),
        (b"\xff" * 500, idx(LABELS), "its header is of type 255"),
        (header(2**32 - 1, 28, 28), header(2**32 - 1), "declares 4,294,967,295 items; at most 5,000,000 are read"),
        (header(6, 2**32 - 1, 2**32 - 1), idx(LABELS), "declares items of .* bytes; at most 134,217,728 are read"),
        (header(6, 0, 28), idx(LABELS), "expected sides of 1 to 65,535 pixels"),
        (gzip.compress(idx(IMAGES), mtime=0)[:-20], idx(LABELS), "its compressed data are damaged or cut short"),
        (gzip.compress(header(10**6, 28, 28), mtime=0), header(10**6), "looks like a decompression bomb"),
    ],
)
def test_a_hostile_file_is_refused_in_one_sentence(tmp_path: Path, images: bytes, labels: bytes, message: str) -> None:
    write_tree(tmp_path, {"train-images-idx3-ubyte": images, "train-labels-idx1-ubyte": labels})
    with pytest.raises(UserError, match=message):
        list(open_source(str(tmp_path)).files())


def test_missing_labels_are_named(tmp_path: Path) -> None:
    write_tree(tmp_path, {"train-images-idx3-ubyte.gz": gzip.compress(idx(IMAGES))})
    with pytest.raises(
        UserError, match="has no labels beside it; expected train-labels-idx1-ubyte or train-labels-idx1-ubyte.gz"
    ):
        open_source(str(tmp_path))
