"""IDX files as sources, the format of MNIST: `train-images-idx3-ubyte` with `train-labels-idx1-ubyte`, also `.gz`.

A file has two zero bytes, a type (8 for uint8), the number of dimensions, their sizes as big-endian 32-bit numbers, and the
values. Format: LeCun, Cortes and Burges, "The MNIST database of handwritten digits" (1998).
"""

import gzip
import math
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import numpy.typing as npt

from resnet.core.errors import UserError
from resnet.core.words import counted
from resnet.images.outcomes import MAX_FILE_BYTES, Outcome
from resnet.ingestion.archives.entries import MAX_ENTRIES, Allowance
from resnet.ingestion.sources.arrays import array_outcomes, pixels_problem
from resnet.ingestion.sources.source import SPLIT_NAMES, Source, in_order

_IMAGES = re.compile(r"(.*?)images?([-._]idx)[34]([-._]ubyte)?(\.gz)?", re.IGNORECASE)
_UBYTE = 8


@dataclass(frozen=True)
class _Pair:
    images: Path
    labels: Path
    split: str | None


def is_idx(name: str) -> bool:
    """Whether a file has the name of an IDX file of images."""
    return _IMAGES.fullmatch(name) is not None


def idx_source(path: Path, files: list[Path] | None = None) -> Source:
    """The images of a file of images, with the labels beside it, or of all such files of a data set.

    Classes are the numbers of the labels. Images are stored as PNG files.

    Args:
        path: a file of images, or a folder.
        files: the files of images in the folder.

    Raises:
        UserError: the labels are missing, a file is damaged or cut short, or the numbers of images and labels differ.
    """
    images = sorted(file for file in files or [path] if not (file.suffix == ".gz" and file.with_suffix("") in (files or ())))
    pairs = [_Pair(file, _labels_beside(file), _split_of(file.name)) for file in images]
    if len({pair.split for pair in pairs}) < len(pairs):
        raise UserError(
            f"{path} has several files of images for the same split ({', '.join(file.name for file in images[:4])}): put "
            "those of one data set into a folder of their own."
        )
    has_splits = len(pairs) > 1 and any(pair.split == "training" for pair in pairs)
    pairs = pairs if has_splits else [_Pair(pair.images, pair.labels, None) for pair in pairs]
    root = path if path.is_dir() else path.parent
    present = sorted({int(label) for pair in pairs for label in _checked_labels(pair)})
    notes = () if path.is_dir() else (f"DVC watches {path}, but not {pairs[0].labels}; it would watch all of a folder",)
    classes, splits = [str(label) for label in present], in_order(pair.split for pair in pairs)
    return Source(classes, partial(_files, root, pairs, present), notes, splits)


def _split_of(name: str) -> str | None:
    words = re.split(r"[\W_]+", name.casefold())
    return next((SPLIT_NAMES.get(word, "test") for word in words if word in SPLIT_NAMES or word == "t10k"), None)


def _labels_beside(images: Path) -> Path:
    """The file of labels of a file of images; one of the two may be compressed and the other not."""
    found = cast(re.Match[str], _IMAGES.fullmatch(images.name))
    before, idx, ubyte, _ = found.groups()
    name = f"{before}labels{idx}1{ubyte or ''}"
    beside = {file.name.casefold(): file for file in images.parent.iterdir()}
    for one in (name, f"{name}.gz", name.replace("labels", "label"), name.replace("labels", "label") + ".gz"):
        if one.casefold() in beside:
            return beside[one.casefold()]
    raise UserError(f"{images} has no labels beside it; expected {name} or {name}.gz in the same folder: add it.")


class _Values:
    """The values of an IDX file, front to back."""

    def __init__(self, path: Path, file: BinaryIO, dimensions: tuple[int, ...]) -> None:
        self._path = path
        self._file = file
        zeros, kind, count = struct.unpack(">HBB", self.read(4))
        if zeros or kind != _UBYTE or count not in dimensions:
            expected = " or ".join(map(str, dimensions))
            found = f"its header is of type {kind} with {counted(count, 'dimension')}"
            raise _damaged(path, f"{found}; expected type 8 and {expected}")
        self.shape = struct.unpack(f">{count}L", self.read(4 * count))
        if self.shape[0] > MAX_ENTRIES:
            raise _damaged(path, f"its header declares {self.shape[0]:,} items; at most {MAX_ENTRIES:,} are read")

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) < size:
            raise _damaged(self._path, f"it ends {counted(size - len(data), 'byte')} before the end of an item")
        return data

    def check_end(self) -> None:
        if self._file.read(1):
            raise _damaged(self._path, "more data follow the items that its header declares")


def _damaged(path: Path, found: str) -> UserError:
    return UserError(f"{path} cannot be read as an IDX file: {found}; fetch it again.")


def _stream(path: Path, dimensions: tuple[int, ...]) -> Iterator[bytes | tuple[int, ...]]:
    """The sizes of the dimensions, then the bytes of each item."""
    try:
        with path.open("rb") as raw:
            is_gzip = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            values = _Values(path, cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if is_gzip else raw, dimensions)
            shape, size = values.shape, math.prod(values.shape[1:])
            if size > MAX_FILE_BYTES:
                raise _damaged(path, f"its header declares items of {size:,} bytes; at most {MAX_FILE_BYTES:,} are read")
            allowance = Allowance(path)
            allowance.check_ratio(path.stat().st_size, shape[0] * size)
            yield shape
            for _ in range(shape[0]):
                yield values.read(size)
            values.check_end()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _damaged(path, f"its compressed data are damaged or cut short ({error})") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}); check the path and its permissions.") from error


def _checked_labels(pair: _Pair) -> npt.NDArray[np.uint8]:
    """The labels of a pair, after a look at the header of its images."""
    shape = cast(tuple[int, ...], next(_stream(pair.images, (3, 4))))
    problem = pixels_problem(shape, np.dtype(np.uint8))
    if problem:
        raise _damaged(pair.images, problem)
    labels = _stream(pair.labels, (1,))
    count = cast(tuple[int, ...], next(labels))[0]
    if count != shape[0]:
        images, found = counted(shape[0], "image"), counted(count, "label")
        raise UserError(f"{pair.images} has {images}, but {pair.labels} has {found}; expected as many.")
    return np.frombuffer(b"".join(cast(Iterator[bytes], labels)), np.uint8)


def _files(root: Path, pairs: list[_Pair], present: list[int]) -> Iterator[Outcome]:
    names = [str(label) for label in present]
    for pair in pairs:
        labels = np.searchsorted(present, _checked_labels(pair))
        items = _stream(pair.images, (3, 4))
        shape = cast(tuple[int, ...], next(items))
        images = (np.frombuffer(item, np.uint8).reshape(shape[1:]) for item in cast(Iterator[bytes], items))
        yield from array_outcomes(pair.images.relative_to(root).as_posix(), images, labels, names, pair.split)
