"""Parquet and Arrow files in the Hugging Face image layout as sources: a column of images, and a column of labels."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from resnet.core.errors import UserError
from resnet.core.label_sets import SEPARATOR, names_in
from resnet.images.outcomes import BadFile, Candidate, Outcome, Reason, Rejected, check_size
from resnet.ingestion.sources.columns import AUTO, SPLITS, Choice, is_unlabelled, may_be_splits, pick_label, plain, split_note
from resnet.ingestion.sources.label_cells import is_separated
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
    multi_label: bool = False  # whether images have several labels each


def parquet_source(path: Path, choice: Choice | None = None) -> Source:
    """The images of a Parquet or Arrow file, or of all such files in a folder.

    Images are structs of bytes and path, or plain bytes. Labels are text, numbers with their names in the schema, as `datasets`
    writes them, or plain whole numbers, or lists of these for images with several labels each. A file called
    `test-00000-of-00001.parquet`, or in a folder `test`, belongs to that split, as on the Hugging Face hub. Columns `split` and
    `group` are read too, by the same names as in a table.

    Raises:
        UserError: a file is damaged or has another schema.
    """
    choice = choice or Choice()
    shards = find_shards(path) if path.is_dir() else [path]
    columns = [_columns(shard, choice) for shard in shards]
    several = any(found.multi_label for found in columns)
    columns = [replace(found, multi_label=several) for found in columns]
    if any(found.names != columns[0].names for found in columns):
        raise UserError(f"the files in {path} name their classes differently; expected the files of one data set.")
    data = list(zip(shards, columns, strict=True))
    classes = columns[0].names
    if classes is None:
        classes = _classes({value for shard, found in data for value in _values(shard, found)})
        if several and set(classes) == {"0", "1"}:
            _refuse_flags(path, data)
    known = {name for shard in shards for name in _class_labels(read_schema(shard))}
    others = sorted(known - {columns[0].label})
    notes = [f"labels are from the column {columns[0].label}, not from {', '.join(others)}"] if others else []
    if not columns[0].is_struct:
        notes.append(f"the images are the bytes of the column {columns[0].image}")
    notes += {note: None for shard, found in data if (note := split_note(_left(shard, found), found.split))}
    return Source(classes, partial(_files, path, data), tuple(notes), multi_label=several)


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
    several = _has_several(shard, schema, label, choice)
    return _Columns(image, label, names, split, _named(shard, left, "group"), is_struct, name, several)


def _has_several(shard: Path, schema: pa.Schema, label: str, choice: Choice) -> bool:
    """Whether images have several labels each: by what the user says, or else lists, or texts with `|` in a column labels."""
    kind = schema.field(label).type
    if choice.multi_label is not None:
        return choice.multi_label
    return _is_list(kind) or (_is_text(kind) and is_separated(label, (row[label] for row in read_rows(shard, [label]))))


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


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _label(shard: Path, schema: pa.Schema, choice: Choice) -> tuple[str, list[str] | None]:
    """The column of the labels, and the names of whole numbers in it. The one called `label` comes first."""
    known = {name: names for name, names in _class_labels(schema).items() if pa.types.is_integer(schema.field(name).type)}
    in_lists = _class_labels(schema, in_lists=True)
    of_lists = {name: names for name, names in in_lists.items() if _is_list(schema.field(name).type)}
    if choice.label_column == AUTO and known:
        label: str | None = min(known, key=lambda name: name != "label")
    else:
        usable = [field.name for field in schema if not _is_image(field.type) and not _is_binary(field.type)]
        label = pick_label(str(shard), usable, choice)
    if label is None and len(of_lists) == 1 and choice.multi_label is not False:
        (label,) = of_lists
    if label is None:
        raise UserError(
            f"{shard} has no column label; its columns are {', '.join(schema.names)}: rename one, or name it in "
            "ingest.label_column."
        )
    names = (known | of_lists).get(label)
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise UserError(f"{shard} names the classes of {label} as {str(names)[:60]}; expected a list of names.")
    kind = schema.field(label).type
    one = kind.value_type if _is_list(kind) and choice.multi_label is not False else kind
    if not _is_text(one) and not pa.types.is_integer(one):
        raise UserError(
            f"{shard} has labels of type {kind} in the column {label}; expected text, or whole numbers: write the names of the "
            "classes as text."
        )
    return label, names


def _class_labels(schema: pa.Schema, *, in_lists: bool = False) -> dict[str, Any]:
    """The names of the classes by the column that they are of; `in_lists` for columns of lists of class labels instead."""
    given = _features(schema)
    if in_lists:  # `Sequence` of older versions of datasets, `List` of newer ones, or a list in Python
        given = {name: _inner(feature) for name, feature in given.items()}
    features = {name: feature for name, feature in given.items() if isinstance(feature, dict)}
    return {
        name: feature.get("names")
        for name, feature in features.items()
        if feature.get("_type") == "ClassLabel" and name in schema.names
    }


def _inner(feature: Any) -> Any:
    """The feature that a list is of; the feature itself if it is no list."""
    if isinstance(feature, list):
        return feature[0] if feature else None
    return feature.get("feature", feature) if isinstance(feature, dict) else None


def _features(schema: pa.Schema) -> dict[str, Any]:
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError):
        return {}
    return features if isinstance(features, dict) else {}


def _left(shard: Path, columns: _Columns) -> list[str]:
    return [name for name in read_schema(shard).names if name not in (columns.image, columns.label)]


def _values(shard: Path, columns: _Columns) -> set[str | int]:
    values = (row[columns.label] for row in read_rows(shard, [columns.label]))
    return {one for value in values for one in _each(value)} if columns.multi_label else set(values)


def _refuse_flags(path: Path, data: list[tuple[Path, _Columns]]) -> None:
    """Raises `UserError` if lists have a 0 or 1 for each class, which would be read as the numbers of two classes."""
    lists = [row[found.label] for shard, found in data for row in read_rows(shard, [found.label]) if row[found.label]]
    flags = next((value for value in lists if len(set(value)) < len(value)), None)
    if flags is not None and len({len(value) for value in lists}) == 1:
        raise UserError(
            f"{path} has lists of {len(flags)} numbers, as {flags}, in the column {data[0][1].label}, which look like a 0 or 1 "
            "for each class; expected the names or the numbers of the classes of each image: write those."
        )


def _each(value: Any) -> list[Any]:
    """The labels of an image with several: those of a list, or the names in a text."""
    if isinstance(value, list):
        return value
    return names_in(value) if isinstance(value, str) else [value]


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


def _set_text(value: Any, names: Sequence[str] | None) -> str | None:
    """The labels of an image as text, "" for none of the classes; None if one names no class or they are unknown."""
    if value is None:
        return None
    texts = [_label_text(one, names) for one in _each(value)]
    known = [text for text in texts if text is not None]
    return SEPARATOR.join(known) if len(known) == len(texts) else None


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
    label = _set_text(value, columns.names) if columns.multi_label else _label_text(value, columns.names)
    if label is None:
        # -1 means "no label" for datasets, which writes it into test splits with secret labels.
        only = value[0] if columns.multi_label and isinstance(value, list) and len(value) == 1 else value
        reason = Reason.UNLABELLED if value is None or is_unlabelled(str(only)) else Reason.NO_LABEL
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
