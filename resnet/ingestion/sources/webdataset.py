"""WebDataset's tar archives as sources: for each image a file with the same name up to the first dot, with its class.

The class is in a `.cls` file, as a number or text, or in a `.json` file, in a field such as `label`. Format:
https://github.com/webdataset/webdataset.
"""

import json
import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from resnet.core.errors import UserError
from resnet.images.outcomes import LONGEST_NAME, BadFile, Candidate, Ignored, Outcome, Reason, Rejected
from resnet.ingestion.archives.reading import Member, read_archive
from resnet.ingestion.sources.columns import Choice, is_unlabelled, pick_label
from resnet.ingestion.sources.places import IMAGES
from resnet.ingestion.sources.rows import cell_of
from resnet.ingestion.sources.source import Source, in_order, split_of

_CLASSES = ("cls", "cls.txt")
_MAX_JSON_BYTES = 1 << 20


def webdataset_source(path: Path, shards: list[Path], choice: Choice) -> Source:
    """The images of the tar archives of a data set; `train-000000.tar`, or one in a folder `train`, belongs to that split.

    The archives are read twice: first for the classes, then for the images.

    Args:
        path: the archive, or the folder with the archives.
        shards: the archives.
        choice: which field of the `.json` files is the class.

    Raises:
        UserError: an archive is damaged, a label cannot be read, or there is none.
    """
    root = path if path.is_dir() else path.parent
    labels = {shard: _labels(shard, choice) for shard in sorted(shards)}
    splits = {shard: split_of(shard.relative_to(root)) for shard in labels}
    if "training" not in splits.values() or len(set(splits.values())) < 2:
        splits = dict.fromkeys(labels)
    known = {label for found in labels.values() for label in found.values() if not is_unlabelled(label)} - {""}
    if not known:
        raise UserError(
            f"{path} has no .cls file, and no .json file with a field label or class: add them, or name the field in "
            "ingest.label_column."
        )
    is_numbers = all(label.isascii() and label.isdigit() for label in known)
    classes = sorted(known, key=(lambda label: (int(label), label)) if is_numbers else None)
    return Source(classes, partial(_files, path, labels, splits), splits=in_order(splits.values()))


def _split_name(name: str) -> tuple[str, str]:
    """The key of a sample, and the rest of the name after the first dot of its last part."""
    folder, _, file = name.rpartition("/")
    stem, _, rest = file.partition(".")
    return f"{folder}/{stem}", rest.casefold()


def _is_label(name: str) -> bool:
    rest = _split_name(name)[1]
    return rest in _CLASSES or rest.endswith("json")


def _labels(shard: Path, choice: Choice) -> dict[str, str]:
    """The class of each sample by its key; `.cls` counts more than `.json`."""
    found: dict[str, str] = {}
    certain: set[str] = set()
    for item in read_archive(shard, contents=_is_label):
        if not isinstance(item, Member) or not _is_label(item.name):
            continue
        key, rest = _split_name(item.name)
        text = _text(shard, item)
        if rest in _CLASSES:
            found[key] = text.strip()
            certain.add(key)
        elif key not in certain:
            label = _from_json(f"{item.name} in {shard}", text, choice)
            found.update({} if label is None else {key: label})
    return found


def _text(shard: Path, item: Member) -> str:
    try:
        content = item.read()
        most = LONGEST_NAME if _split_name(item.name)[1] in _CLASSES else _MAX_JSON_BYTES
        if len(content) > most:
            raise BadFile(Reason.TOO_LARGE, f"{len(content):,} bytes; at most {most:,} are read")
        return content.decode("utf-8")
    except (BadFile, UnicodeDecodeError) as error:
        why = error.detail if isinstance(error, BadFile) else "it is not in UTF-8"
        raise UserError(f"the label {item.name} in {shard} cannot be read: {why}; create the archive again.") from error


def _from_json(name: str, text: str, choice: Choice) -> str | None:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{name} is not JSON ({error}); create the archive again.") from error
    if not isinstance(values, dict):
        return None
    usable = {key: value for key, value in values.items() if isinstance(value, str | int) or _is_whole(value)}
    fields = {str(key): cell_of(value).strip() for key, value in usable.items()}
    label = pick_label(name, list(fields), choice)
    return None if label is None else fields[label]


def _is_whole(value: object) -> bool:
    """Whether a number may be a class, as pandas writes it beside empty cells: 1.0 or NaN; 13.5 is a measurement."""
    return isinstance(value, float) and (value.is_integer() or math.isnan(value))


def _files(path: Path, labels: dict[Path, dict[str, str]], splits: dict[Path, str | None]) -> Iterator[Outcome]:
    for shard, known in labels.items():
        before = f"{shard.relative_to(path).as_posix()}/" if path.is_dir() else ""
        for item in read_archive(shard):
            if isinstance(item, Rejected):
                yield Rejected(before + item.path, item.reason, item.detail)
            elif isinstance(item, Member):
                yield _outcome(before + item.name, item, known, splits[shard])


def _outcome(path: str, item: Member, labels: dict[str, str], split: str | None) -> Outcome:
    key, rest = _split_name(item.name)
    if not f".{rest}".endswith(IMAGES):
        return Ignored(path)
    label = labels.get(key)
    if label is None:
        return Rejected(path, Reason.NO_LABEL, "there is no .cls file and no label in a .json file with its name")
    if not label or is_unlabelled(label):
        return Rejected(path, Reason.UNLABELLED, f"its label is {label!r}")
    return Candidate(path, label, item.read, split)
