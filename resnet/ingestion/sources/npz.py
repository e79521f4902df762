"""NumPy's `.npz` files as sources: arrays of images and labels, such as x_train, y_train, x_test and y_test.

Images are read one after another, so that memory does not grow with their number. Arrays of Python objects are pickles, which
can run code; they are refused.
"""

import math
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from resnet.core.errors import UserError
from resnet.core.words import counted
from resnet.images.outcomes import MAX_FILE_BYTES, Outcome
from resnet.ingestion.archives.entries import MAX_ENTRIES, Allowance
from resnet.ingestion.sources.arrays import array_outcomes, pixels_problem
from resnet.ingestion.sources.columns import Choice, is_unlabelled
from resnet.ingestion.sources.source import SPLIT_NAMES, Source, in_order

_IMAGES = ("x", "images", "image", "imgs", "img", "pixels", "data", "arr0")
_LABELS = ("y", "labels", "label", "targets", "target", "arr1")
_NAMES = ("classnames", "labelnames", "classes", "names", "categories")
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_MAX_LABEL_BYTES = 1 << 28
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError)


@dataclass(frozen=True)
class _Array:
    """An array of a file: its name, and what its header says."""

    key: str
    shape: tuple[int, ...]
    fortran: bool
    dtype: Any


@dataclass(frozen=True)
class _Pair:
    path: Path
    images: _Array
    labels: _Array
    split: str | None


def npz_source(path: Path, files: list[Path] | None = None, choice: Choice | None = None) -> Source:
    """The images of an `.npz` file, or of the files `train.npz`, `test.npz` and so on of a folder.

    Classes are the numbers of the labels, or their names if the file has them as `class_names`. Images are stored as PNG files.
    If images may have several labels each, these are rows of 0 and 1, a number for each class.

    Args:
        path: the file or folder.
        files: the files in the folder.
        choice: whether images may have several labels each; they have one unless it says so.

    Raises:
        UserError: a file is damaged, has no pair of images and labels, arrays of another type or shape, or is a decompression
            bomb.
    """
    pairs, names = [], []
    for file in sorted(files or [path]):
        arrays = _headers(file)
        pairs += _pairs(file, arrays)
        names.append(_class_names(file, arrays))
    has_splits = len(pairs) > 1 and any(pair.split == "training" for pair in pairs)
    if len(pairs) > 1 and len({pair.split for pair in pairs}) < len(pairs):
        raise UserError(f"{path} has several arrays of images for the same split; expected one for train, val and test.")
    _check_names(path, given := [one for one in names if one])
    several = choice is not None and choice.multi_label is True
    classes, positions = (_sets if several else _numbers)(path, pairs, given[0] if given else None)
    root = path if path.is_dir() else path.parent
    if not has_splits:
        pairs = [_Pair(pair.path, pair.images, pair.labels, None) for pair in pairs]
    read = partial(_files, root, list(zip(pairs, positions, strict=True)), classes)
    return Source(classes, read, splits=in_order(pair.split for pair in pairs), multi_label=several)


def _numbers(path: Path, pairs: list[_Pair], names: list[str] | None) -> tuple[list[str], list[npt.NDArray[np.int64]]]:
    """The class names, and the position of each label among them; -1 for no label."""
    return _numbered(path, [_labels(pair) for pair in pairs], names)


def _sets(path: Path, pairs: list[_Pair], names: list[str] | None) -> tuple[list[str], list[npt.NDArray[np.int64]]]:
    """The class names, and the labels of images with several, (images, classes) of 0 and 1.

    Raises:
        UserError: the labels are something else, or of another number of classes than there are names.
    """
    labels = [_array(pair.path, pair.labels) for pair in pairs]
    for pair, found in zip(pairs, labels, strict=True):
        if found.ndim != 2 or found.dtype.kind in "US" or not np.isin(found, (0, 1)).all():
            raise UserError(
                f"{pair.path}: the array {pair.labels.key} has the shape {found.shape} and the type {found.dtype}, but "
                "ingest.multi_label is true, so expected are rows of 0 and 1 with a number for each class: convert it, or set "
                "the parameter to auto."
            )
    widths = {found.shape[1] for found in labels} | ({len(names)} if names else set())
    if len(widths) > 1:
        raise UserError(
            f"{path} has labels or class_names of {' and '.join(map(str, sorted(widths)))} classes; expected one number of "
            "classes."
        )
    return names or [str(number) for number in range(max(widths))], [found.astype(np.int64) for found in labels]


def _headers(path: Path) -> dict[str, _Array]:
    """The arrays of a file by name, from their headers alone."""
    found = {}
    with _opened(path) as archive:
        allowance = Allowance(path)
        for info in archive.infolist():
            allowance.check_ratio(info.compress_size, info.file_size, info.filename)
            if info.filename.endswith(".npy"):
                key = info.filename.removesuffix(".npy")
                with archive.open(info) as file:
                    array = found[key] = _Array(key, *_read_header(path, key, file))
                if math.prod(array.shape) * array.dtype.itemsize > info.file_size:
                    raise EOFError(f"{key} is cut short")
    return found


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except _BROKEN as error:
        raise UserError(f"{path} is damaged or not an .npz file ({error}); write it again with numpy.savez.") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}); check the path and its permissions.") from error


def _read_header(path: Path, key: str, file: IO[bytes]) -> tuple[tuple[int, ...], bool, Any]:
    version = npy.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"{key} has the version {version}")
    try:
        shape, fortran, dtype = _HEADERS[version](file)
    except Exception as error:  # NumPy's parser of headers raises errors of many types, such as tokenize.TokenError
        raise ValueError(f"{key} has a header that makes no sense: {str(error)[:100]}") from error
    if any(side < 0 for side in shape):
        raise ValueError(f"{key} has the shape {shape}")
    if dtype.hasobject:
        raise UserError(
            f"{path}: the array {key} holds Python objects, that is a pickle, which could run code and is not loaded: save "
            "images as uint8 and labels as numbers or text."
        )
    return shape, fortran, dtype


def _role(key: str) -> tuple[str, str | None]:
    """A key without the name of a split, and that split: ("x", "training") for `x_train` and `train_x`."""
    words = key.casefold().replace("-", "_").replace(" ", "_").split("_")
    split = next((SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES), None)
    return "".join(word for word in words if word not in SPLIT_NAMES), split


def _pairs(path: Path, arrays: dict[str, _Array]) -> list[_Pair]:
    roles: dict[tuple[str, str | None], _Array] = {}
    for key, array in arrays.items():
        role = _role(key)
        if role in roles and role[0] in (*_IMAGES, *_LABELS):
            raise UserError(f"{path} has two arrays with the same meaning, {roles[role].key} and {key}; leave one of them out.")
        roles[role] = array
    by_file = next((SPLIT_NAMES[word] for word in path.stem.casefold().split("_") if word in SPLIT_NAMES), None)
    pairs = []
    for split in sorted({split for _, split in roles}, key=str):
        images = [roles[role, split] for role in _IMAGES if (role, split) in roles]
        labels = [roles[role, split] for role in _LABELS if (role, split) in roles]
        if images and labels:
            pairs.append(_Pair(path, images[0], labels[0], split or by_file))
    if not pairs:
        found = ", ".join(f"{array.key} {array.shape} {array.dtype}" for array in arrays.values()) or "none"
        raise UserError(
            f"{path} has no pair of images and labels; its arrays are {found}: call them x and y, images and labels, or "
            "x_train, y_train, x_test and y_test."
        )
    for pair in pairs:
        _check(pair)
    return pairs


def _check(pair: _Pair) -> None:
    images, labels = pair.images, pair.labels
    problem = pixels_problem(images.shape, images.dtype)
    if not problem and images.fortran:
        problem = "it is in Fortran order; save numpy.ascontiguousarray of it"
    if not problem and images.shape[0] > MAX_ENTRIES:
        problem = f"it has {images.shape[0]:,} images; at most {MAX_ENTRIES:,} are read"
    if not problem and math.prod(images.shape[1:]) > MAX_FILE_BYTES:
        problem = f"its images have more than {MAX_FILE_BYTES:,} bytes each"
    if problem:
        raise UserError(f"{pair.path}: the array {images.key} cannot be used, because {problem}: convert it.")
    rows = labels.shape[0] if labels.shape else 0
    size = math.prod(labels.shape) * labels.dtype.itemsize
    if len(labels.shape) not in (1, 2) or labels.dtype.kind not in "iufbUS" or size > _MAX_LABEL_BYTES:
        raise UserError(
            f"{pair.path}: the array {labels.key} has the shape {labels.shape} and the type {labels.dtype}; expected a number "
            "or a name for each image."
        )
    if rows != images.shape[0]:
        of_images, of_labels = counted(images.shape[0], "image"), counted(rows, "label")
        raise UserError(f"{pair.path}: {images.key} has {of_images}, but {labels.key} has {of_labels}; expected as many.")


def _array(path: Path, array: _Array) -> npt.NDArray[Any]:
    with _opened(path) as archive, archive.open(f"{array.key}.npy") as file:
        return npy.read_array(file, allow_pickle=False)


def _labels(pair: _Pair) -> npt.NDArray[Any]:
    """The labels of a pair, (images,) as numbers or text; one-hot rows become numbers, and so do rows of one number.

    Raises:
        UserError: they are neither whole numbers nor text, or an image has several.
    """
    labels = _array(pair.path, pair.labels)
    where = f"{pair.path}: the array {pair.labels.key}"
    if labels.dtype.kind == "S":
        try:
            labels = np.char.decode(labels, "utf-8")
        except UnicodeDecodeError as error:
            raise UserError(f"{where} has text that is not in UTF-8; save it as str.") from error
    if labels.ndim == 2 and labels.shape[1] != 1:
        if labels.dtype.kind in "US" or not np.isin(labels, (0, 1)).all() or not (labels.sum(axis=1) == 1).all():
            raise UserError(
                f"{where} has the shape {labels.shape}, but not one 1 in each row: save one number for each image, or set "
                "ingest.multi_label to true if images have several labels."
            )
        return labels.argmax(axis=1)
    labels = labels.reshape(len(labels))
    if labels.dtype.kind == "U":
        return np.char.strip(labels)
    numbers = labels.astype(np.float64)
    # Above 2**53 neighbouring whole numbers are the same float64, and int64 ends at 2**63.
    if not np.array_equal(labels, np.floor(numbers)) or not (np.abs(numbers) <= 2**53).all():
        raise UserError(
            f"{where} has values that are not whole numbers, or are beyond 2**53; expected a class number for each image."
        )
    return labels.astype(np.int64)


def _class_names(path: Path, arrays: dict[str, _Array]) -> list[str] | None:
    for wanted in _NAMES:
        for array in arrays.values():
            is_names = _role(array.key) == (wanted, None) and array.dtype.kind == "U" and len(array.shape) == 1
            if is_names and array.shape[0] * array.dtype.itemsize <= _MAX_LABEL_BYTES:
                return [str(name) for name in _array(path, array)]
    return None


def _check_names(path: Path, given: list[list[str]]) -> None:
    """Raises `UserError` if the same number means another class in another file, or two numbers mean one class."""
    if any(names != given[0] for names in given):
        raise UserError(f"the files in {path} have different class_names; write the same list to each file.")
    twice = next((name for names in given for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"{path} has the class name {twice} for several numbers; give each number a name of its own.")


def _numbered(
    path: Path, labels: list[npt.NDArray[Any]], names: list[str] | None
) -> tuple[list[str], list[npt.NDArray[np.int64]]]:
    """The class names, and the position of each label among them; -1 for no label."""
    if len({one.dtype.kind == "U" for one in labels}) > 1:
        raise UserError(f"{path} has labels that are numbers and labels that are text; expected one kind.")
    everything = np.unique(np.concatenate(labels))
    if everything.dtype.kind == "U":
        known = np.array([one for one in everything.tolist() if one and not is_unlabelled(one)], dtype=everything.dtype)
        return known.tolist(), [
            np.where(np.isin(one, known), np.searchsorted(known, one), -1).astype(np.int64) for one in labels
        ]
    present = everything[everything >= 0]
    if names is not None:
        if present.size and present[-1] >= len(names):
            found = counted(len(names), "class name")
            raise UserError(f"{path} has {found}, but the label {present[-1]}; expected a name for each.")
        return names, labels
    return [str(number) for number in present.tolist()], [
        np.where(one < 0, -1, np.searchsorted(present, one)).astype(np.int64) for one in labels
    ]


def _files(root: Path, pairs: list[tuple[_Pair, npt.NDArray[np.int64]]], classes: list[str]) -> Iterator[Outcome]:
    for pair, labels in pairs:
        name = f"{pair.path.relative_to(root).as_posix()}/{pair.images.key}"
        yield from array_outcomes(name, _images(pair), labels, classes, pair.split)


def _images(pair: _Pair) -> Iterator[npt.NDArray[np.uint8]]:
    count, *shape = pair.images.shape
    size = math.prod(shape)
    with _opened(pair.path) as archive, archive.open(f"{pair.images.key}.npy") as file:
        _read_header(pair.path, pair.images.key, file)
        for _ in range(count):
            data = file.read(size)
            if len(data) < size:
                raise EOFError(f"{pair.images.key} is cut short")
            yield np.frombuffer(data, np.uint8).reshape(shape)
