"""NumPy's `.npz` files as sources."""

import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from resnet.core.errors import UserError
from resnet.images.outcomes import Candidate, Ignored, Reason, Rejected
from resnet.ingestion.sources.catalog import open_source
from resnet.ingestion.sources.source import Source

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (6, 5, 4), dtype=np.uint8)
LABELS = np.array([10, 2, 10, 0, 2, 10])


def save(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "x.npz", **arrays)
    return folder / "x.npz"


def read(path: Path) -> list[tuple[str, str, str | None]]:
    return [(file.path, file.label, file.split) for file in open_source(str(path)).files() if isinstance(file, Candidate)]


@pytest.mark.parametrize("names", [("x_{}", "y_{}"), ("{}_images", "{}_labels"), ("X_{}", "Y_{}")])  # of Keras, MedMNIST
def test_splits_are_in_the_names_of_the_arrays(tmp_path: Path, names: tuple[str, str]) -> None:
    arrays = {}
    for split, rows in (("train", slice(3)), ("val", slice(3, 5)), ("test", slice(5, 6))):
        arrays[names[0].format(split)] = IMAGES[rows]
        arrays[names[1].format(split)] = LABELS[rows].reshape(-1, 1)
    np.savez_compressed(tmp_path / "x.npz", **arrays)  # type: ignore[arg-type]
    source = open_source(str(tmp_path / "x.npz"))
    assert source.classes == ["0", "2", "10"]
    found = {file.path: file for file in source.files() if isinstance(file, Candidate)}
    first = found[f"x.npz/{names[0].format('train')}/0000000.png"]
    assert (first.label, first.split) == ("10", "training")
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(first.read()))), IMAGES[0])
    assert sorted(str(file.split) for file in found.values()) == ["test", *["training"] * 3, *["validation"] * 2]


@pytest.mark.parametrize("names", [("x", "y"), ("images", "labels"), ("data", "target"), ("arr_0", "arr_1")])
def test_a_single_pair_has_no_split(tmp_path: Path, names: tuple[str, str]) -> None:
    path = save(tmp_path, **{names[0]: IMAGES, names[1]: LABELS})
    assert [(label, split) for _, label, split in read(path)] == [(str(label), None) for label in LABELS]


def test_files_of_a_folder_are_splits(tmp_path: Path) -> None:
    for name in ("train", "test"):
        np.savez(tmp_path / f"{name}.npz", x=IMAGES, y=LABELS)
    assert {(path.partition("/")[0], split) for path, _, split in read(tmp_path)} == {
        ("test.npz", "test"),
        ("train.npz", "training"),
    }


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["dog", "cat", "dog", " cat", "dog", "cat "]),
        np.array([b"dog", b"cat", b"dog", b"cat", b"dog", b"cat"]),
    ],
)
def test_labels_may_be_text(tmp_path: Path, labels: Any) -> None:
    assert [label for _, label, _ in read(save(tmp_path, x=IMAGES, y=labels))] == ["dog", "cat"] * 3


def test_names_of_classes_are_used(tmp_path: Path) -> None:
    source = open_source(str(save(tmp_path, x=IMAGES, y=np.arange(6) % 2, class_names=np.array(["cat", "dog", "owl"]))))
    assert source.classes == ["cat", "dog", "owl"]
    assert [file.label for file in source.files() if isinstance(file, Candidate)] == ["cat", "dog"] * 3


@pytest.mark.parametrize("dtype", [np.float32, np.uint8, np.bool_])
def test_one_hot_rows_are_labels(tmp_path: Path, dtype: Any) -> None:
    path = save(tmp_path, x=IMAGES, y=np.eye(3)[[0, 1, 2, 0, 1, 2]].astype(dtype))
    assert [label for _, label, _ in read(path)] == ["0", "1", "2"] * 2


def test_minus_one_is_no_label(tmp_path: Path) -> None:
    found = list(open_source(str(save(tmp_path, x=IMAGES, y=np.array([1, -1, 5, 1, 5, 1])))).files())
    assert [file.label for file in found if isinstance(file, Candidate)] == ["1", "5", "1", "5", "1"]
    assert isinstance(found[1], Rejected)
    assert found[1].reason == Reason.UNLABELLED


class Command:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch pwned",)


@pytest.mark.parametrize("where", ["x", "y", "other"])
def test_pickles_are_never_loaded(tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    arrays = {"x": IMAGES, "y": LABELS} | {where: np.array([Command()], dtype=object)}
    with pytest.raises(UserError, match=f"the array {where} holds Python objects, that is a pickle, which could run code"):
        list(open_source(str(save(tmp_path, **arrays))).files())
    (tmp_path / "y.npz").write_bytes(pickle.dumps(Command()))
    with pytest.raises(UserError, match="y.npz is damaged or not an .npz file"):
        open_source("y.npz")
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"x": IMAGES / 255, "y": LABELS},
            "the array x cannot be used, because its pixels are of type float64; expected uint8",
        ),
        ({"x": IMAGES.reshape(6, 20), "y": LABELS}, r"its shape is \(6, 20\); expected \(images, height, width\)"),
        ({"x": np.asfortranarray(IMAGES), "y": LABELS}, "Fortran order; save numpy.ascontiguousarray of it"),
        ({"x": IMAGES, "y": LABELS[:5]}, "x has 6 images, but y has 5 labels"),
        ({"x": IMAGES, "y": LABELS + 0.5}, "values that are not whole numbers"),
        ({"x": IMAGES, "y": np.ones((6, 3))}, "but not one 1 in each row: save one number for each image"),
        (
            {"x": IMAGES, "y": np.zeros((6, 3, 3))},
            r"y has the shape \(6, 3, 3\) and the type float64; expected a number or a name",
        ),
        ({"x": IMAGES, "y": LABELS.astype(complex)}, "the type complex128"),
        ({"x": IMAGES, "y": np.array([np.nan] * 6)}, "values that are not whole numbers"),
        ({"x": IMAGES, "y": LABELS, "class_names": np.array(["a", "b"])}, "has 2 class names, but the label 10"),
        (
            {"pictures": IMAGES, "kinds": LABELS},
            r"its arrays are pictures \(6, 5, 4\) uint8, kinds \(6,\) int64: call them x and y",
        ),
        ({"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES, "y_test": LABELS.astype(str)}, "expected one kind"),
        ({}, "has no pair of images and labels; its arrays are none"),
    ],
)
def test_arrays_of_another_kind_are_refused(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        open_source(str(save(tmp_path, **arrays)))


def test_a_decompression_bomb_is_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", x=np.zeros((100_000, 28, 28), np.uint8), y=np.zeros(100_000, np.uint8))
    with pytest.raises(UserError, match="looks like a decompression bomb: 'x.npy' unpacks from"):
        open_source(str(tmp_path / "x.npz"))


def crafted(path: Path, header: bytes, data: bytes = b"") -> Path:
    """A file whose images have this header."""
    head = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    labels = io.BytesIO()
    np.save(labels, LABELS)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", head + data)
        archive.writestr("y.npy", labels.getvalue())
    return path


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (6, 5, 4)}",  # without data
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (9999999999, 5, 4)}",
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (-6, 5, 4)}",
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (6, 5, 4), 'more': 1}",
        b"__import__('os').system('true')",
        b"(" * 9000,
        b"\xff" * 50,
        b"",
    ],
)
def test_a_hostile_header_is_refused(tmp_path: Path, header: bytes) -> None:
    with pytest.raises(UserError, match=r"x.npz is damaged or not an .npz file"):
        open_source(str(crafted(tmp_path / "x.npz", header)))


def test_a_damaged_array_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path, x=IMAGES, y=LABELS)
    content = bytearray(path.read_bytes())
    at = content.index(IMAGES.tobytes())
    content[at] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"x.npz is damaged or not an .npz file \(Bad CRC-32"):
        list(open_source(str(path)).files())


def test_text_that_names_no_class_is_unlabelled(tmp_path: Path) -> None:
    source = open_source(str(save(tmp_path, x=IMAGES, y=np.array(["dog", "", "-1", "cat", "dog", " "]))))
    assert source.classes == ["cat", "dog"]
    found = list(source.files())
    assert [file.label if isinstance(file, Candidate) else file.reason for file in found if not isinstance(file, Ignored)] == [
        "dog",
        *[Reason.UNLABELLED] * 2,
        "cat",
        "dog",
        Reason.UNLABELLED,
    ]


def test_files_that_number_their_classes_differently_are_refused(tmp_path: Path) -> None:
    for name, classes in (("train", ["a", "b"]), ("test", ["b", "a"])):
        np.savez(tmp_path / f"{name}.npz", x=IMAGES[:2], y=[0, 1], class_names=classes)
    with pytest.raises(UserError, match="have different class_names; write the same list to each file"):
        open_source(str(tmp_path))


def test_one_name_for_two_numbers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has the class name a for several numbers"):
        open_source(str(save(tmp_path, x=IMAGES[:2], y=[0, 1], class_names=["a", "a"])))


def test_two_arrays_with_the_same_meaning_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="two arrays with the same meaning, x_train and train_x; leave one of them out"):
        open_source(str(save(tmp_path, x_train=IMAGES[:3], train_x=IMAGES[3:], y_train=LABELS[:3])))


@pytest.mark.parametrize("label", [np.inf, 1e300, np.uint64(2**64 - 1), np.int64(-(2**63))])
def test_numbers_that_are_no_label_are_refused(tmp_path: Path, label: np.generic) -> None:
    with pytest.raises(UserError, match=r"the array y has values that are not whole numbers, or are beyond 2\*\*53"):
        open_source(str(save(tmp_path, x=IMAGES[:2], y=np.array([0, label], dtype=np.asarray(label).dtype))))


def test_rows_of_ones_are_sets_if_they_are_asked_for(tmp_path: Path) -> None:
    rows = np.array([[1, 1, 0], [0, 0, 0], [0, 0, 1], [1, 0, 0], [1, 1, 1], [0, 1, 0]])
    names = np.array(["cat", "dog", "owl"])
    source = open_source(str(save(tmp_path, x=IMAGES, y=rows, class_names=names)), multi_label=True)
    assert source.multi_label
    assert source.classes == ["cat", "dog", "owl"]
    assert [one[1] for one in found(source)] == ["cat|dog", "", "owl", "cat", "cat|dog|owl", "dog"]
    with pytest.raises(UserError, match="set ingest.multi_label to true"):
        open_source(str(save(tmp_path, x=IMAGES, y=rows)))
    assert open_source(str(save(tmp_path, x=IMAGES, y=rows)), multi_label=True).classes == ["0", "1", "2"]
    with pytest.raises(UserError, match="labels or class_names of 2 and 3 classes"):
        open_source(str(save(tmp_path, x=IMAGES, y=rows, class_names=names[:2])), multi_label=True)


def found(source: Source) -> list[tuple[str, str]]:
    return [(file.path, file.label) for file in source.files() if isinstance(file, Candidate)]
