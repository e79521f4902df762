"""Parquet files in the Hugging Face image layout as sources: a column of structs of bytes and path, and a label column."""

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
from resnet.ingestion.sources.source import SPLIT_NAMES, Source

_BATCH_ROWS = 64  # rows in memory at a time


@dataclass(frozen=True)
class _Columns:
    image: str
    label: str
    names: list[str] | None  # class names if the label column holds numbers
    others: list[str]  # split and group, if the file has them


def parquet_source(path: Path) -> Source:
    """The images of a Parquet file, or of all Parquet files in a folder and in its `data/`.

    Labels are text, or numbers with their names in the schema, as `datasets` writes them. A file called
    `test-00000-of-00001.parquet` belongs to that split, as on the Hugging Face hub. Columns `split` and `group` are read too.

    Raises:
        UserError: a file is damaged or has another schema.
    """
    shards = sorted([*path.glob("*.parquet"), *path.glob("data/*.parquet")]) if path.is_dir() else [path]
    columns = [_columns(shard) for shard in shards]
    if any(found.names != columns[0].names for found in columns):
        raise UserError(f"the Parquet files in {path} name their classes differently; expected the files of one data set.")
    data = list(zip(shards, columns, strict=True))
    classes = columns[0].names
    if classes is None:
        classes = sorted({label for shard, found in data for label in _texts(shard, found)})
    others = sorted({name for shard in shards for name in _class_labels(pq.read_schema(shard))} - {columns[0].label})
    notes = (f"labels are from the column {columns[0].label}, not from {', '.join(others)}",) if others else ()
    return Source(classes, partial(_files, path, data), notes)


def _columns(shard: Path) -> _Columns:
    try:
        schema = pq.read_schema(shard)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{shard} is damaged or not a Parquet file ({str(error).splitlines()[0]}); fetch it again.") from error
    images = [field.name for field in schema if _is_image(field.type)]
    if not images:
        columns = ", ".join(f"{field.name} ({field.type})" for field in schema) or "none"
        raise UserError(
            f"{shard} has no column of images, that is of structs of bytes and path; its columns are {columns}: expected the "
            "Hugging Face image layout, as datasets.Dataset.to_parquet writes it."
        )
    label, names = _label(shard, schema)
    others = [name for name in ("split", "group") if name in schema.names]
    if "split" in others and not _is_text(schema.field("split").type):
        others.remove("split")  # for example the number of a fold
    return _Columns(images[0], label, names, others)


def _is_image(kind: pa.DataType) -> bool:
    if not pa.types.is_struct(kind):
        return False
    fields = {field.name: field.type for field in kind}
    return "bytes" in fields and (pa.types.is_binary(fields["bytes"]) or pa.types.is_large_binary(fields["bytes"]))


def _is_text(kind: pa.DataType) -> bool:
    """Whether values are text, also dictionary-encoded, as pandas writes categories."""
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
    has_splits = "training" in splits  # otherwise a single test.parquet is the whole data set
    for (shard, columns), split in zip(shards, splits, strict=True):
        names = [columns.image, columns.label, *columns.others]
        try:
            # With the default, pre_buffer=True, the whole file is read into memory at once.
            batches = pq.ParquetFile(shard, pre_buffer=False).iter_batches(_BATCH_ROWS, columns=names)
            for number, row in enumerate(row for batch in batches for row in batch.to_pylist()):
                own = (row[columns.image] or {}).get("path")
                path = _name(own, f"{shard.relative_to(source.parent)}/{number:07d}", seen)
                yield _outcome(path, row, columns, split if has_splits else None)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise UserError(f"{shard} is damaged ({str(error).splitlines()[0]}); fetch it again.") from error


def _split_of(shard: Path) -> str | None:
    """The split by file name: "training" for `train-00000-of-00002.parquet`."""
    return SPLIT_NAMES.get(shard.stem.partition("-")[0].casefold())


def _name(own: object, row: str, seen: set[str]) -> str:
    """The path stored with the image, or its file and row if there is no path or it has occurred before."""
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
