"""The arrays of `data/prepared/`: the images of a split as memory-mapped uint8 arrays, and its labels as uint16.

A split is a folder with `images-00000.npy`, `images-00001.npy` and so on, each of shape (images, size, size, 3), and with
`labels.npy` and `checksums.npy`, both of shape (images,). Rectangular photographs may be stored whole, squeezed to squares;
then `aspects.npy`, (images,) float32, has width / height of each. Reading an image costs a page fault, whatever the size of the
split. The operating system drops pages when memory is short.

A checksum is the CRC-32 of an image, its label and, if there is one, its aspect. It is compared when the image is used. So
every flipped bit is detected without reading all files at the start. It
takes 0.8 us for an image of 32 x 32 pixels and 32 us for one of 224 x 224.
"""

import io
import os
import resource
import zlib
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
import numpy.typing as npt

from resnet.core.errors import UserError, damaged_input, missing_input
from resnet.core.words import counted

SHARD_BYTES = 256 * 2**20
_SPARE_FILES = 256  # for everything else that a process opens later


class SplitWriter:
    """A context manager that writes a split image by image. The split is complete when the block ends without an exception.

    Args:
        folder: is created for the split.
        images: the number of images that will be added.
        size: height and width of each image, in pixels.
        shard_bytes: the largest size of a shard; a shard has at least one image.
    """

    def __init__(self, folder: Path, images: int, size: int, shard_bytes: int = SHARD_BYTES) -> None:
        folder.mkdir()
        self._folder = folder
        self._images = images
        self._shape = (size, size, 3)
        self._per_shard = max(1, shard_bytes // (size * size * 3))
        self._labels: list[int] = []
        self._checksums: list[int] = []
        self._aspects: list[np.float32] = []
        self._file: BinaryIO | None = None

    def add(self, image: npt.NDArray[np.uint8], label: int, aspect: float | None = None) -> None:
        """Appends an image.

        Args:
            image: (size, size, 3) uint8.
            label: 0 to 65,535.
            aspect: width / height of the photograph that was squeezed to the square; for all images of a split, or for none.
        """
        row = len(self._labels)
        if row % self._per_shard == 0:
            self._open(row)
        assert self._file is not None
        # Not a memory map: on a full disk, writing to a map kills the process with SIGBUS instead of raising an exception.
        content = np.ascontiguousarray(image).tobytes()
        self._file.write(content)
        self._labels.append(label)
        if aspect is not None:
            self._aspects.append(np.float32(aspect))
        self._checksums.append(_checksum(content, label, self._aspects[-1] if aspect is not None else None))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._file is not None:
            self._file.close()
        if kind is None:
            if len(self._labels) != self._images:
                raise ValueError(f"Expected {counted(self._images, 'image')}. Received: {len(self._labels)}.")
            _save(self._folder / "labels.npy", np.asarray(self._labels, dtype=np.uint16))
            _save(self._folder / "checksums.npy", np.asarray(self._checksums, dtype=np.uint32))
            if self._aspects:
                _save(self._folder / "aspects.npy", np.asarray(self._aspects, dtype=np.float32))

    def _open(self, row: int) -> None:
        if self._file is not None:
            self._file.close()
        self._file = (self._folder / f"images-{row // self._per_shard:05d}.npy").open("wb")
        count = min(self._per_shard, self._images - row)
        header = {"descr": "|u1", "fortran_order": False, "shape": (count, *self._shape)}
        np.lib.format.write_array_header_1_0(self._file, header)


class Split:
    """A split written by `SplitWriter`.

    Args:
        folder: the folder of the split.
        classes: the number of classes; labels must be smaller.

    Attributes:
        labels: (images,) uint16.
        aspects: (images,) float32, width / height of the photographs that were squeezed to squares; None if none were.
        image_shape: (height, width, 3) of every image.

    Raises:
        UserError: a file is missing, cut short or of another shape, or a label is out of range.
    """

    def __init__(self, folder: Path, classes: int) -> None:
        if not folder.is_dir():
            raise missing_input(folder)
        paths = sorted(folder.glob("images-*.npy"))
        if not paths:
            raise missing_input(folder / "images-00000.npy")
        _allow_open_files(folder, len(paths))
        self._shards = [_map(path) for path in paths]
        self.labels: npt.NDArray[np.uint16] = np.asarray(_map(folder / "labels.npy"))
        self.image_shape: tuple[int, int, int] = self._shards[0].shape[1:]
        self._checksums: npt.NDArray[np.uint32] = np.asarray(_map(folder / "checksums.npy"))
        squeezed = (folder / "aspects.npy").exists()
        self.aspects: npt.NDArray[np.float32] | None = np.asarray(_map(folder / "aspects.npy")) if squeezed else None
        self._folder = folder
        self._starts = np.cumsum([0, *(len(shard) for shard in self._shards)])
        self._check(folder, paths, classes)

    def __len__(self) -> int:
        return len(self.labels)

    def gather(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """A copy of the images in some rows, in their order: (rows, height, width, 3) uint8.

        Raises:
            UserError: an image or its label does not match its checksum.
        """
        images = np.take(self._shards[0], rows, axis=0) if len(self._shards) == 1 else self._from_shards(rows)
        aspects = [None] * len(rows) if self.aspects is None else [*self.aspects[rows]]
        given = zip(images, self.labels[rows].tolist(), aspects, strict=True)
        found = [_checksum(image.data, label, aspect) for image, label, aspect in given]
        wrong = np.flatnonzero(self._checksums[rows] != np.array(found, np.uint32))
        if len(wrong):
            raise damaged_input(self._folder, f"image {rows[wrong[0]]} or its label does not match its checksum")
        return images

    def _from_shards(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        images = np.empty((len(rows), *self.image_shape), dtype=np.uint8)
        shard_of = np.searchsorted(self._starts, rows, side="right") - 1
        for shard in np.unique(shard_of):
            here = shard_of == shard
            images[here] = self._shards[shard][rows[here] - self._starts[shard]]
        return images

    def _check(self, folder: Path, paths: list[Path], classes: int) -> None:
        for path, shard in zip(paths, self._shards, strict=True):
            if shard.dtype != np.uint8 or shard.ndim != 4 or shard.shape[1:] != self.image_shape:
                raise damaged_input(path, f"{shard.dtype} of shape {shard.shape} instead of uint8 images of one size")
        columns: list[tuple[str, npt.NDArray[Any], str]] = [
            ("labels.npy", self.labels, "uint16"),
            ("checksums.npy", self._checksums, "uint32"),
        ]
        if self.aspects is not None:
            columns.append(("aspects.npy", self.aspects, "float32"))
        for name, found, kind in columns:
            if found.dtype != kind or found.shape != (self._starts[-1],):
                images = counted(int(self._starts[-1]), "image")
                raise damaged_input(folder / name, f"{found.dtype} of shape {found.shape} for {images} instead of {kind}")
        if self.labels.max(initial=0) >= classes:
            raise UserError(
                f"{folder / 'labels.npy'} has the label {self.labels.max()}, but with {classes} classes labels are 0 to "
                f"{classes - 1}; remove it and run `dvc repro` to write it again."
            )


def _allow_open_files(folder: Path, number: int) -> None:
    """Raises the limit on open files if need be: a memory map keeps its file open, and 1,024 is the usual limit.

    With 224 pixels that would be 1.8 million images.

    Raises:
        UserError: the system allows fewer.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = len(os.listdir("/proc/self/fd")) + number + _SPARE_FILES  # noqa: PTH208 - there is no order to keep
    if resource.RLIM_INFINITY != soft < needed:
        if resource.RLIM_INFINITY != hard < needed:
            raise UserError(
                f"{folder} has {number:,} files, which stay open, and a process may open {hard:,} here: raise that limit to "
                f"{needed:,} (`ulimit -Hn`, or `LimitNOFILE` of a service)."
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _checksum(image: bytes | memoryview, label: int, aspect: np.float32 | None) -> int:
    checksum = zlib.crc32(image, label)
    return checksum if aspect is None else zlib.crc32(aspect.tobytes(), checksum)


def _save(path: Path, array: npt.NDArray[np.generic]) -> None:
    """Like `np.save`, whose error on a full disk says only how many items were not written, not why."""
    with path.open("wb") as file:
        file.write(_header(array))
        file.write(array.tobytes())


def _header(array: npt.NDArray[np.generic]) -> bytes:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
    return header.getvalue()


def _map(path: Path) -> np.memmap:
    try:
        array = np.lib.format.open_memmap(path, mode="r")
        with path.open("rb") as file:
            if file.read(array.offset) != _header(array) or path.stat().st_size != array.offset + array.nbytes:
                raise ValueError("its header or its size is not as written")
        return array
    except FileNotFoundError as error:
        raise missing_input(path) from error
    except Exception as error:  # NumPy parses the header as Python code, which can raise exceptions of many types
        raise damaged_input(path, error) from error
