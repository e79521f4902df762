"""Parquet and Arrow files in the Hugging Face image layout as sources: a column of images, and a column of labels."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from resnet.core.errors import UserError
from resnet.images.outcomes import BadFile, Candidate, Outcome, Reason, Rejected, check_size
from resnet.ingestion.sources.columns import AUTO, SPLITS, Choice, is_unlabelled, may_be_splits, pick_label, plain, split_note
from resnet.ingestion.sources.row_files import SUFFIXES, read_rows, read_schema
from resnet.ingestion.sources.source import SPLIT_NAMES, Source, split_of

# Names of columns of plain bytes that hold images, without case, spaces and underscores.
_BYTES = ("image", "img", "bytes", "imagebytes", "imgbytes", "jpg", "jpeg", "png", "webp", "content", "data")
_NAMES = ("path", "filename", "filepath", "imagepath", "imagename", "imageid")  # columns that name plain bytes


@dataclass(frozen=True)
class _Columns:
    image: str
    label: str
    names: list[str] | None  # class names if the label column holds numbers
    split: str | None
    group: str | None
    is_struct: bool  # whether an image is a struct of bytes and path, and not plain bytes
    name: str | None = None  # column that names images of plain bytes


def parquet_source(path: Path, choice: Choice | None = None) -> Source:
    """The images of a Parquet or Arrow file, or of all such files in a folder.

    Images are structs of bytes and path, or plain bytes. Labels are text, numbers with their names in the schema, as `datasets`
    writes them, or plain whole numbers. A file called `test-00000-of-00001.parquet`, or in a folder `test`, belongs to that
    split, as on the Hugging Face hub. Columns `split` and `group` are read too, by the same names as in a table.

    Raises:
        UserError: a file is damaged or has another schema.
    """
    choice = choice or Choice()
    shards = find_shards(path) if path.is_dir() else [path]
    columns = [_columns(shard, choice) for shard in shards]
    if any(found.names != columns[0].names for found in columns):
        raise UserError(f"the files in {path} name their classes differently; expected the files of one data set.")
    data = list(zip(shards, columns, strict=True))
    classes = columns[0].names
    if classes is None:
        classes = _classes({value for shard, found in data for value in _values(shard, found)})
    others = sorted({name for shard in shards for name in _class_labels(read_schema(shard))} - {columns[0].label})
    notes = [f"labels are from the column {columns[0].label}, not from {', '.join(others)}"] if others else []
    if not columns[0].is_struct:
        notes.append(f"the images are the bytes of the column {columns[0].image}")
    notes += {note: None for shard, found in data if (note := split_note(_left(shard, found), found.split))}
    return Source(classes, partial(_files, path, data), tuple(notes))


def find_shards(folder: Path) -> list[Path]:
    """The files of a data set: at the top and in `data/`; if there are none, up to three folders down.

    Raises:
        UserError: they are of several data sets, each in a folder of its own.
    """
    near = [file for pattern in ("*", "data/*") for file in folder.glob(pattern) if _is_shard(file)]
    if near:
        return sorted(near)
    deep = [file for depth in (1, 2, 3) for file in folder.glob("*/" * depth + "*") if _is_shard(file)]
    found = sorted(file for file in deep if not any(part.startswith(".") for part in file.relative_to(folder).parts))
    sets = sorted({_without_split(file.relative_to(folder).parent) for file in found})
    if len(sets) > 1:
        raise UserError(
            f"{folder} has several data sets, in the folders {', '.join(sets[:5])}: name one of these folders as the source."
        )
    return found


def _is_shard(file: Path) -> bool:
    """Whether a file holds rows of a data set; `datasets` keeps results of its functions beside them, as `cache-*.arrow`."""
    return file.suffix.casefold() in SUFFIXES and not file.name.startswith("cache-")


def hold_images(shards: Sequence[Path]) -> bool:
    """Whether files have a column that may be of images, and are not tables beside images."""
    return any(_is_image(field.type) or _is_binary(field.type) for shard in shards for field in read_schema(shard))


def _without_split(folder: Path) -> str:
    parts = [part for part in folder.parts if part.casefold() not in SPLIT_NAMES]
    return "/".join(parts) or "."


def _columns(shard: Path, choice: Choice) -> _Columns:
    schema = read_schema(shard)
    image, is_struct = _image(shard, schema, choice)
    label, names = _label(shard, schema, choice)
    left = [name for name in schema.names if name not in (image, label)]
    texts = [name for name in left if _is_text(schema.field(name).type)]  # a number may be that of a fold
    split = _named(shard, texts, "split") or next((name for name in texts if _may_be_splits(shard, name)), None)
    own = [field.name for field in schema if plain(field.name) in _NAMES and _is_text(field.type) and field.name != label]
    name = own[0] if own and not is_struct else None
    return _Columns(image, label, names, split, _named(shard, left, "group"), is_struct, name)


def _named(shard: Path, columns: Sequence[str], name: str) -> str | None:
    found = [column for column in columns if plain(column) == name]
    if len(found) > 1:
        raise UserError(f"{shard} has several columns called {name}, {', '.join(found)}; rename or remove all but one.")
    return found[0] if found else None


def _may_be_splits(shard: Path, name: str) -> bool:
    return plain(name) in SPLITS and may_be_splits(name, (row[name] or "" for row in read_rows(shard, [name])))


def _image(shard: Path, schema: pa.Schema, choice: Choice) -> tuple[str, bool]:
    """The column of the images, and whether they are structs."""
    structs = [field.name for field in schema if _is_image(field.type)]
    plain_bytes = [field.name for field in schema if _is_binary(field.type)]
    if choice.path_column != AUTO and choice.path_column in (*structs, *plain_bytes):
        return choice.path_column, choice.path_column in structs
    if structs:
        return structs[0], True
    named = [name for known in _BYTES for name in plain_bytes if plain(name) == known]
    if named or len(plain_bytes) == 1:
        return (named or plain_bytes)[0], False
    columns = ", ".join(f"{field.name} ({field.type})" for field in schema) or "none"
    if plain_bytes:
        raise UserError(
            f"{shard} has several columns of bytes and none is called image; its columns are {columns}: name the one with the "
            "images in ingest.path_column."
        )
    raise UserError(
        f"{shard} has no column of images, that is of bytes or of structs of bytes and path; its columns are {columns}: "
        "expected the Hugging Face image layout, as datasets.Dataset.to_parquet writes it."
    )


def _is_image(kind: pa.DataType) -> bool:
    if not pa.types.is_struct(kind):
        return False
    return any(field.name == "bytes" and _is_binary(field.type) for field in kind)


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_text(kind: pa.DataType) -> bool:
    """Whether values are text, also dictionary-encoded, as pandas writes categories."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _label(shard: Path, schema: pa.Schema, choice: Choice) -> tuple[str, list[str] | None]:
    """The column of the labels, and the names of whole numbers in it. The one called `label` comes first."""
    known = {name: names for name, names in _class_labels(schema).items() if pa.types.is_integer(schema.field(name).type)}
    if choice.label_column == AUTO and known:
        label: str | None = min(known, key=lambda name: name != "label")
    else:
        usable = [field.name for field in schema if not _is_image(field.type) and not _is_binary(field.type)]
        label = pick_label(str(shard), usable, choice)
    if label is None:
        raise UserError(
            f"{shard} has no column label; its columns are {', '.join(schema.names)}: rename one, or name it in "
            "ingest.label_column."
        )
    names = known.get(label)
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise UserError(f"{shard} names the classes of {label} as {str(names)[:60]}; expected a list of names.")
    kind = schema.field(label).type
    if not _is_text(kind) and not pa.types.is_integer(kind):
        raise UserError(
            f"{shard} has labels of type {kind} in the column {label}; expected text, or whole numbers: write the names of the "
            "classes as text."
        )
    return label, names


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


def _left(shard: Path, columns: _Columns) -> list[str]:
    return [name for name in read_schema(shard).names if name not in (columns.image, columns.label)]


def _values(shard: Path, columns: _Columns) -> set[str | int]:
    return {row[columns.label] for row in read_rows(shard, [columns.label])}


def _classes(values: set[Any]) -> list[str]:
    """The class names among labels without names in the schema: text in its order, numbers in theirs."""
    known = [value for value in values if _label_text(value, None) is not None]
    numbers = sorted(value for value in known if isinstance(value, int))
    return [*map(str, numbers), *sorted({value.strip() for value in known if isinstance(value, str)})]


def _label_text(value: str | int | None, names: Sequence[str] | None) -> str | None:
    """The class of a label; None if it names no class."""
    if names is not None:
        return names[value] if isinstance(value, int) and 0 <= value < len(names) else None
    if isinstance(value, int):
        return str(value) if value >= 0 else None
    return None if is_unlabelled(value or "") else (value or "").strip() or None


def _files(source: Path, shards: list[tuple[Path, _Columns]]) -> Iterator[Outcome]:
    seen: set[str] = set()
    splits = [split_of(shard.relative_to(source if source.is_dir() else source.parent)) for shard, _ in shards]
    has_splits = "training" in splits  # otherwise a single test.parquet is the whole data set
    for (shard, columns), split in zip(shards, splits, strict=True):
        given = (columns.image, columns.label, columns.split, columns.group, columns.name)
        names = list(dict.fromkeys(name for name in given if name))
        for number, row in enumerate(read_rows(shard, names)):
            own = (row[columns.image] or {}).get("path") if columns.is_struct else row.get(columns.name or "")
            path = _name(own, f"{shard.relative_to(source.parent)}/{number:07d}", seen)
            yield _outcome(path, row, columns, split if has_splits else None)


def _name(own: object, row: str, seen: set[str]) -> str:
    """The path stored with the image, or its file and row if there is no path or it has occurred before."""
    name = own if isinstance(own, str) and own and own not in seen else row
    while name in seen:
        name += "'"
    seen.add(name)
    return name


def _outcome(path: str, row: dict[str, Any], columns: _Columns, split: str | None) -> Candidate | Rejected:
    value = row[columns.label]
    label = _label_text(value, columns.names)
    if label is None:
        # -1 means "no label" for datasets, which writes it into test splits with secret labels.
        reason = Reason.UNLABELLED if value is None or is_unlabelled(str(value)) else Reason.NO_LABEL
        return Rejected(path, reason, f"its label is {value!r}")
    given = str(row.get(columns.split or "") or "").strip().casefold()
    if given and given not in SPLIT_NAMES:
        return Rejected(path, Reason.NO_LABEL, f"its split is {row[columns.split or '']!r}, not train, validation or test")
    group = row.get(columns.group or "")
    image = row[columns.image]
    read = partial(_read, (image or {}).get("bytes") if columns.is_struct else image)
    return Candidate(path, label, read, SPLIT_NAMES.get(given, split), None if group is None else str(group))


def _read(encoded: bytes | None) -> bytes:
    if encoded is None:
        raise BadFile(Reason.UNREADABLE, "the file has a path for it, but no bytes")
    check_size(len(encoded))
    return encoded
