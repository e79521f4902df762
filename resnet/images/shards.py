"""Writes and reads the Parquet shards of `data/raw/`: the encoded images in the image layout of Hugging Face.

The layout is a struct of bytes and path, and a label whose names are in the schema, or a list of them.
`datasets.load_dataset("parquet", ...)` and pandas read it without conversion.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from resnet.core.errors import damaged_input
from resnet.core.words import counted

SHARD_BYTES = 240 * 2**20  # a shard may exceed it by one group
_GROUP_BYTES = 16 * 2**20  # written together, so memory holds them
_GROUP_IMAGES = 4096


class ShardWriter:
    """Context manager that writes `images-00000.parquet` and so on. The same images always give the same bytes.

    Args:
        folder: where the shards are written.
        classes: names of the labels.
        shard_bytes: size of the encoded images at which a new shard begins.
        multi_label: whether the label of an image is a list of numbers.
    """

    def __init__(self, folder: Path, classes: list[str], shard_bytes: int = SHARD_BYTES, *, multi_label: bool = False) -> None:
        label: dict[str, Any] = {"names": classes, "_type": "ClassLabel"}
        if multi_label:
            label = {"feature": label, "_type": "Sequence"}
        features = {"image": {"_type": "Image"}, "label": label}
        image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        self._schema = pa.schema(
            [("image", image), ("label", pa.list_(pa.int64()) if multi_label else pa.int64())],
            metadata={"huggingface": json.dumps({"info": {"features": features}})},
        )
        self._folder = folder
        self._shard_bytes = shard_bytes
        self._writer: pq.ParquetWriter | None = None
        self._shards = 0
        self._size = 0
        self._group: list[dict[str, Any]] = []
        self._group_size = 0

    def add(self, path: str, label: int | list[int], encoded: bytes) -> None:
        """Appends one image."""
        self._group.append({"image": {"bytes": encoded, "path": path}, "label": label})
        self._group_size += len(encoded)
        if self._group_size >= _GROUP_BYTES or len(self._group) >= _GROUP_IMAGES:
            self._write_group()

    def _write_group(self) -> None:
        if self._writer is None:
            # Encoded images gain nothing from compression or a dictionary.
            self._writer = pq.ParquetWriter(
                self._folder / f"images-{self._shards:05d}.parquet", self._schema, compression="none", use_dictionary=False
            )
            self._shards += 1
        self._writer.write_table(pa.Table.from_pylist(self._group, schema=self._schema))
        self._size += self._group_size
        self._group, self._group_size = [], 0
        if self._size >= self._shard_bytes:
            self._close_shard()

    def _close_shard(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer, self._size = None, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self._group and kind is None:
            self._write_group()
        self._close_shard()


def read_encoded(folder: Path, paths: Iterable[str]) -> Iterator[bytes]:
    """Yields the encoded images in the order of the manifest; memory holds a few at a time.

    Raises:
        UserError: a shard is missing or damaged, or holds other images than the manifest lists.
    """
    stored = _stored(folder)
    count = 0
    for path in paths:
        image = next(stored, None)
        if image is None or image["path"] != path:
            found = "nothing" if image is None else image["path"]
            raise damaged_input(folder, f"its manifest lists {path} where its shards hold {found}")
        count += 1
        yield image["bytes"]
    if next(stored, None) is not None:
        raise damaged_input(folder, f"its shards hold more than the {counted(count, 'image')} that its manifest lists")


def _stored(folder: Path) -> Iterator[dict[str, Any]]:
    for shard in sorted(folder.glob("images-*.parquet")):
        try:
            # By default pyarrow reads the whole shard into memory (pre_buffer).
            for batch in pq.ParquetFile(shard, pre_buffer=False).iter_batches(batch_size=64, columns=["image"]):
                yield from batch["image"].to_pylist()
        except (pa.ArrowException, OSError, KeyError) as error:
            raise damaged_input(shard, error) from error
