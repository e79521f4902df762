"""Writes `data/prepared/`: the images of each split at one size, an index of them, and thumbnails for the report."""

import csv
import io
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from resnet.core.errors import damaged_input
from resnet.core.label_sets import LabelSets
from resnet.core.parallel import in_order
from resnet.core.tables import SPLITS
from resnet.dataset.arrays import SplitWriter
from resnet.images.decoding import load, load_and_shrink, load_whole, load_whole_and_shrink
from resnet.images.manifest import Manifest
from resnet.images.outcomes import BadFile
from resnet.images.shards import read_encoded
from resnet.preparation.class_pairs import class_pairs
from resnet.preparation.similar_pairs import leaks

_MAX_THUMBNAILS_OF_A_CLASS = 24
_MAX_THUMBNAILS = 1200  # but at least one of each class
_MAX_PAIRS = 60  # pairs of similar images with thumbnails, leaks first
_MANY_CLASSES = 200  # with as many classes, thumbnails are small


def write_prepared(
    folder: Path,
    raw: Path,
    manifest: Manifest,
    splits: npt.NDArray[np.int8],
    *,
    pictured: npt.NDArray[np.bool_],
    size: int,
    training_size: int | None = None,
    label_sets: LabelSets | None = None,
) -> None:
    """Decodes and resizes all images.

    Args:
        folder: receives a folder for each split, see `resnet.dataset.arrays`, and `thumbnails.parquet`.
        raw: `data/raw/`, with the encoded images.
        manifest: the images.
        splits: (images,) int8, indices into `resnet.core.tables.SPLITS`.
        pictured: (images,) bool, whether to write a thumbnail.
        size: height and width, in pixels.
        training_size: those of the training images, which are then stored whole, squeezed to squares; None: as all others.
        label_sets: the sets of images with several labels each.

    Raises:
        UserError: the images in `raw` are damaged.
    """
    _, classes = class_pairs(manifest.labels, label_sets)
    side = 96 if classes.max(initial=0) < _MANY_CLASSES else 48
    sides = (side if wanted else 0 for wanted in pictured)
    whole = [training_size if SPLITS[split] == "training" else None for split in splits.tolist()]
    work = zip(manifest.paths, read_encoded(raw, manifest.paths), sides, whole, strict=True)
    counts = Counter(splits.tolist())
    thumbnails: list[tuple[str, bytes]] = []
    with ExitStack() as stack:
        sizes = [training_size or size, size, size]
        named = zip(SPLITS, sizes, strict=True)
        writers = [stack.enter_context(SplitWriter(folder / name, counts[n], one)) for n, (name, one) in enumerate(named)]
        prepared = in_order(lambda item: _prepare(raw, item, size), work)
        for row, (pixels, aspect, thumbnail) in enumerate(prepared):
            writers[splits[row]].add(pixels, int(manifest.labels[row]), aspect)
            if thumbnail:
                thumbnails.append((manifest.paths[row], thumbnail))
    _write_thumbnails(folder / "thumbnails.parquet", thumbnails)


def _prepare(
    raw: Path, item: tuple[str, bytes, int, int | None], size: int
) -> tuple[npt.NDArray[np.uint8], float | None, bytes]:
    """The pixels, the aspect if the image is stored whole, and the thumbnail if one is wanted.

    Args:
        raw: for messages.
        item: path, image file, side of the thumbnail (0 for none), and the size if the image is stored whole.
        size: otherwise.
    """
    path, encoded, side, whole = item
    try:
        if not side:
            return (*load_whole(encoded, whole), b"") if whole else (load(encoded, size), None, b"")
        if whole:
            squeezed, small = load_whole_and_shrink(encoded, whole, side)
            return *squeezed, _jpeg(small)
        pixels, small = load_and_shrink(encoded, size, side)
        return pixels, None, _jpeg(small)
    except BadFile as bad:  # `ingest` has decoded it, with the same code
        raise damaged_input(raw, f"{path} no longer decodes: {bad.detail}") from bad


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _write_thumbnails(path: Path, thumbnails: list[tuple[str, bytes]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    paths, pictures = [path for path, _ in thumbnails], [jpeg for _, jpeg in thumbnails]
    table = pa.table({"path": pa.array(paths, pa.string()), "jpeg": pa.array(pictures, pa.binary())})
    pq.write_table(table, path, compression="none", use_dictionary=False)


def choose_pictured(
    manifest: Manifest,
    classes: int,
    pairs: npt.NDArray[np.int64],
    splits: npt.NDArray[np.int8],
    *,
    label_sets: LabelSets | None = None,
) -> npt.NDArray[np.bool_]:
    """Chooses the images that get thumbnails, (images,) bool.

    They are some images of each class, and of none of them, which depend on the content of the images alone, and those of the
    first similar pairs.
    """
    each = max(1, min(_MAX_THUMBNAILS_OF_A_CLASS, _MAX_THUMBNAILS // classes))
    key = np.ascontiguousarray(manifest.pixel_hashes[:, :8]).view(np.uint64)[:, 0]
    rows, labels = class_pairs(manifest.labels, label_sets)
    none = np.setdiff1d(np.arange(len(manifest)), rows)
    rows, labels = np.concatenate([rows, none]), np.concatenate([labels, np.full(len(none), classes)])
    order = np.lexsort((key[rows], labels))
    _, first, counts = np.unique(labels[order], return_index=True, return_counts=True)
    rank = np.arange(len(order)) - np.repeat(first, counts)
    pictured = np.zeros(len(manifest), dtype=np.bool_)
    pictured[rows[order[rank < each]]] = True
    pictured[pairs[np.argsort(~leaks(pairs, splits), kind="stable")][:_MAX_PAIRS]] = True
    return pictured


def write_index(path: Path, manifest: Manifest, splits: npt.NDArray[np.int8], label_texts: list[str]) -> None:
    """Writes a line for each image; `row` is its row in the arrays of its split.

    Args:
        path: of the table.
        manifest: the images.
        splits: (images,) int8, indices into `resnet.core.tables.SPLITS`.
        label_texts: what each label means, see `resnet.core.classes.read_label_texts`.
    """
    rows: Counter[int] = Counter()
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["path", "label", "split", "row"])
        for name, label, split in zip(manifest.paths, manifest.labels.tolist(), splits.tolist(), strict=True):
            writer.writerow([name, label_texts[label], SPLITS[split], rows[split]])
            rows[split] += 1
