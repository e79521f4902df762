"""`data/raw/`: the images of a source, encoded as they came, in a few Parquet files.

The files are in the image layout of Hugging Face (a struct of bytes and path, a label with its names in the schema), so
`datasets.load_dataset("parquet", ...)` and pandas read them as they are. `manifest.csv` has a line for each image,
`classes.json` the names of the labels in their order.
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from resnet.data.classes import write_classes
from resnet.data.manifest import COLUMNS, Entry
from resnet.errors import UserError, damaged_input
from resnet.files import replacing

if TYPE_CHECKING:  # readers of `data/raw/` do not depend on where it came from
    from resnet.data.sources import Sample, Source

SHARD_BYTES = 240 * 2**20  # and at most a group more
_GROUP_BYTES = 16 * 2**20


def write_raw(folder: Path, source: "Source", shard_bytes: int = SHARD_BYTES) -> int:
    """Writes the images of a source in its order; the same source always makes the same bytes.

    Args:
        folder: takes the place of an older one when it is whole.
        source: of at least two classes.
        shard_bytes: size of the encoded images at which a new shard begins.

    Returns:
        The number of images.

    Raises:
        UserError: fewer than two classes, more than 65,536, an image that cannot be read, or a full disk.
    """
    count = 0
    with replacing(folder) as partial:
        partial.mkdir()
        write_classes(partial / "classes.json", source.classes)
        with (
            (partial / "manifest.csv").open("w", encoding="utf-8", newline="") as file,
            closing(_Shards(partial, source.classes, shard_bytes)) as shards,
        ):
            manifest = csv.writer(file, lineterminator="\n")
            manifest.writerow(COLUMNS)
            for group in _groups(source.samples()):
                manifest.writerows(_manifest_row(sample) for sample in group)
                shards.write(group)
                count += len(group)
    return count


def read_encoded(folder: Path, entries: list[Entry]) -> Iterator[tuple[Entry, bytes]]:
    """The encoded images of all entries, in their order, a few in memory at a time.

    Raises:
        UserError: a shard is missing or damaged, or holds other images than the manifest lists.
    """
    stored = _stored(folder)
    for entry in entries:
        image = next(stored, None)
        if image is None or image["path"] != entry.path:
            found = "nothing" if image is None else image["path"]
            raise damaged_input(folder, f"its manifest lists {entry.path} where its shards hold {found}")
        yield entry, image["bytes"]
    if next(stored, None) is not None:
        raise damaged_input(folder, f"its shards hold more than the {len(entries)} images that its manifest lists")


def _stored(folder: Path) -> Iterator[dict[str, Any]]:
    for shard in sorted(folder.glob("images-*.parquet")):
        try:
            for batch in pq.ParquetFile(shard).iter_batches(batch_size=256, columns=["image"]):
                yield from batch["image"].to_pylist()
        except (pa.ArrowException, OSError, KeyError) as error:
            raise damaged_input(shard, error) from error


def _groups(samples: Iterable["Sample"]) -> Iterator[list["Sample"]]:
    """Samples to be encoded together, so that no more than a group is in memory."""
    group: list[Sample] = []
    size = 0
    for sample in samples:
        group.append(sample)
        size += len(sample.encoded)
        if size >= _GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


class _Shards:
    """Parquet files in the image layout of Hugging Face, each of about `shard_bytes`."""

    def __init__(self, folder: Path, classes: list[str], shard_bytes: int) -> None:
        features = {"image": {"_type": "Image"}, "label": {"names": classes, "_type": "ClassLabel"}}
        image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        self._schema = pa.schema(
            [("image", image), ("label", pa.int64())],
            metadata={"huggingface": json.dumps({"info": {"features": features}})},
        )
        self._numbers = {name: number for number, name in enumerate(classes)}
        self._folder = folder
        self._shard_bytes = shard_bytes
        self._writer: pq.ParquetWriter | None = None
        self._shards = 0
        self._size = 0

    def write(self, group: list["Sample"]) -> None:
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._folder / f"images-{self._shards:05d}.parquet", self._schema)
            self._shards += 1
        rows = [
            {"image": {"bytes": sample.encoded, "path": sample.path}, "label": self._numbers[sample.label]} for sample in group
        ]
        self._writer.write_table(pa.Table.from_pylist(rows, schema=self._schema))
        self._size += sum(len(sample.encoded) for sample in group)
        if self._size >= self._shard_bytes:
            self.close()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer, self._size = None, 0


def _manifest_row(sample: "Sample") -> tuple[object, ...]:
    try:
        with Image.open(io.BytesIO(sample.encoded)) as image:
            width, height, kind = image.width, image.height, image.format
    except OSError as error:
        raise UserError(f"{sample.path} cannot be read as an image; replace it, or take it out of the source.") from error
    return sample.path, sample.label, width, height, kind, hashlib.sha256(sample.encoded).hexdigest()
