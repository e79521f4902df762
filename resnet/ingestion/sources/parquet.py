"""Parquet files in the image layout of Hugging Face as a source: a struct of bytes and path, and a label."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from resnet.core.errors import UserError
from resnet.images.outcomes import BadFile, Candidate, Outcome, Reason, Rejected, check_size
from resnet.ingestion.sources.layout import SPLIT_NAMES
from resnet.ingestion.sources.source import Source

_ROWS = 64  # in memory at a time


@dataclass(frozen=True)
class _Columns:
    image: str
    label: str
    names: list[str] | None  # of whole numbers in the label column
    others: list[str]  # split and group, where they are there


def parquet_source(path: Path) -> Source:
    """The images of a Parquet file, or of all in a folder or in its `data/`.

    Labels are numbers with their names in the schema, as `datasets` writes them, or text. A file called
    `test-00000-of-00001.parquet` is of that split, as on the Hugging Face hub; a column `split` or `group` counts too.

    Raises:
        UserError: a file is damaged or of another schema.
    """
    shards = sorted([*path.glob("*.parquet"), *path.glob("data/*.parquet")]) if path.is_dir() else [path]
    columns = [_columns(shard) for shard in shards]
    if any(found.names != columns[0].names for found in columns):
        raise UserError(f"the Parquet files in {path} name their classes differently; expected one data set.")
    data = list(zip(shards, columns, strict=True))
    classes = columns[0].names
    if classes is None:
        classes = sorted({label for shard, found in data for label in _texts(shard, found)})
    others = sorted({name for shard in shards for name in _class_labels(pq.read_schema(shard))} - {columns[0].label})
    notes = (f"labels are of the column {columns[0].label}, not of {', '.join(others)}",) if others else ()
    return Source(classes, partial(_files, path, data), notes)


def _columns(shard: Path) -> _Columns:
    try:
        schema = pq.read_schema(shard)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{shard} is damaged or no Parquet file ({str(error).splitlines()[0]}); fetch it again.") from error
    images = [field.name for field in schema if _is_image(field.type)]
    if not images:
        columns = ", ".join(f"{field.name} ({field.type})" for field in schema) or "none"
        raise UserError(
            f"{shard} has no column of images, which is a struct of bytes and path; its columns are {columns}: expected the "
            "image layout of Hugging Face, as datasets.Dataset.to_parquet writes it."
        )
    label, names = _label(shard, schema)
    others = [name for name in ("split", "group") if name in schema.names]
    if "split" in others and not _is_text(schema.field("split").type):
        others.remove("split")  # the number of a fold, say
    return _Columns(images[0], label, names, others)


def _is_image(kind: pa.DataType) -> bool:
    if not pa.types.is_struct(kind):
        return False
    fields = {field.name: field.type for field in kind}
    return "bytes" in fields and (pa.types.is_binary(fields["bytes"]) or pa.types.is_large_binary(fields["bytes"]))


def _is_text(kind: pa.DataType) -> bool:
    """Also as pandas writes categories."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _label(shard: Path, schema: pa.Schema) -> tuple[str, list[str] | None]:
    """The column of the labels, and the names of whole numbers in it. The one called `label` comes first."""
    for name, names in sorted(_class_labels(schema).items(), key=lambda item: item[0] != "label"):
        if pa.types.is_integer(schema.field(name).type):
            if not (isinstance(names, list) and all(isinstance(label, str) for label in names)):
                raise UserError(f"{shard} names the classes of {name} as {str(names)[:60]}; expected a list of names.")
            return name, names
    if "label" not in schema.names:
        raise UserError(f"{shard} has no column label; its columns are {', '.join(schema.names)}: add or rename one.")
    kind = schema.field("label").type
    if not _is_text(kind):
        raise UserError(
            f"{shard} has labels of type {kind} whose names are not in the schema; expected a ClassLabel with names, as "
            "datasets writes it, or text: write the names as text into the column label."
        )
    return "label", None


def _class_labels(schema: pa.Schema) -> dict[str, Any]:
    """The names of the classes by the column that they are of."""
    features = {name: feature for name, feature in _features(schema).items() if isinstance(feature, dict)}
    return {
        name: feature.get("names")
        for name, feature in features.items()
        if feature.get("_type") == "ClassLabel" and name in schema.names
    }


def _features(schema: pa.Schema) -> dict[str, Any]:
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError):
        return {}
    return features if isinstance(features, dict) else {}


def _texts(shard: Path, columns: _Columns) -> set[str]:
    labels = pq.read_table(shard, columns=[columns.label])[columns.label].unique().to_pylist()
    return {label for label in labels if label}


def _files(source: Path, shards: list[tuple[Path, _Columns]]) -> Iterator[Outcome]:
    seen: set[str] = set()
    splits = [_split_of(shard) for shard, _ in shards]
    has_splits = "training" in splits  # a lone test.parquet is just a file
    for (shard, columns), split in zip(shards, splits, strict=True):
        names = [columns.image, columns.label, *columns.others]
        try:
            # Without pre_buffer=False all of the file is read into memory at once.
            batches = pq.ParquetFile(shard, pre_buffer=False).iter_batches(_ROWS, columns=names)
            for number, row in enumerate(row for batch in batches for row in batch.to_pylist()):
                own = (row[columns.image] or {}).get("path")
                path = _name(own, f"{shard.relative_to(source.parent)}/{number:07d}", seen)
                yield _outcome(path, row, columns, split if has_splits else None)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise UserError(f"{shard} is damaged ({str(error).splitlines()[0]}); fetch it again.") from error


def _split_of(shard: Path) -> str | None:
    """`train` of `train-00000-of-00002.parquet`, in our words."""
    return SPLIT_NAMES.get(shard.stem.partition("-")[0].casefold())


def _name(own: object, row: str, seen: set[str]) -> str:
    """The image's own path; where it has none or one that was there before, its file and row."""
    name = own if isinstance(own, str) and own and own not in seen else row
    while name in seen:
        name += "'"
    seen.add(name)
    return name


def _outcome(path: str, row: dict[str, Any], columns: _Columns, split: str | None) -> Candidate | Rejected:
    label = row[columns.label]
    if columns.names is not None:
        label = columns.names[label] if label is not None and 0 <= label < len(columns.names) else None
    if not label:
        return Rejected(path, Reason.NO_LABEL, f"its label is {row[columns.label]!r}")
    given = str(row.get("split") or "").casefold()
    if given and given not in SPLIT_NAMES:
        return Rejected(path, Reason.NO_LABEL, f"its split is {row['split']!r}, not train, validation or test")
    group = row.get("group")
    read = partial(_read, (row[columns.image] or {}).get("bytes"))
    return Candidate(path, label, read, SPLIT_NAMES.get(given, split), None if group is None else str(group))


def _read(encoded: bytes | None) -> bytes:
    if encoded is None:
        raise BadFile(Reason.UNREADABLE, "the Parquet file has a path for it, but no bytes")
    check_size(len(encoded))
    return encoded
