"""CSV files as sources: columns `path` and `label`, and optionally `split` and `group`."""

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from resnet.core.errors import UserError
from resnet.images.outcomes import Candidate, Ignored, Outcome, Rejected
from resnet.ingestion.sources.folder import read_file, walk
from resnet.ingestion.sources.source import SPLIT_NAMES, Source


@dataclass(frozen=True)
class _Row:
    line: int
    path: str
    label: str
    split: str | None
    group: str | None


def table_source(path: Path, *, whole_folder: bool = False) -> Source:
    """The images that a table lists. Paths are absolute or relative to the folder of the table.

    All lines are checked first; an invalid one could otherwise come to light after hours.

    Args:
        path: the table.
        whole_folder: whether to list files below its folder that are not in the table as ignored.

    Raises:
        UserError: a column is missing, a path does not exist or is on two lines, a label is empty, a split is unknown, or the
            file is not CSV in UTF-8.
    """
    labels: set[str] = set()
    seen: dict[str, int] = {}
    for row in _rows(path):
        labels.add(row.label)
        if row.path in seen:
            raise _wrong(path, row.line, f"{row.path} is already on line {seen[row.path]}; list each image once")
        seen[row.path] = row.line
        if not _is_there(path.parent / row.path):
            raise _wrong(
                path, row.line, f"there is no {row.path}; paths are relative to the folder of the table, {path.parent}"
            )
    note = f"DVC watches {path}, but not the images that it lists; it would watch all of a folder with a labels.csv"
    return Source(sorted(labels), partial(_files, path, whole_folder), () if whole_folder else (note,))


def _is_there(path: Path) -> bool:
    """Whether a path exists and is not a folder."""
    try:
        return path.exists() and not path.is_dir()
    except OSError:  # the name is too long
        return False


def _files(path: Path, whole_folder: bool) -> Iterator[Outcome]:
    listed = {path.name}
    for row in _rows(path):
        file = path.parent / row.path
        yield Candidate(row.path, row.label, partial(read_file, file), row.split, row.group)
        if whole_folder:
            listed.add(os.path.normpath(row.path))
    for entry in walk(path.parent) if whole_folder else ():
        if entry.path in listed:
            continue
        if isinstance(entry, Rejected):
            yield entry
        elif not entry.is_folder:
            yield Ignored(entry.path)


def _rows(path: Path) -> Iterator[_Row]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            found = reader.fieldnames or []
            if any("\0" in name for name in found):
                raise UserError(f"{path} is not in UTF-8 (it has NUL bytes, as UTF-16 has); save it as UTF-8.")
            for name in ("path", "label"):
                if name not in found:
                    columns = ", ".join(found) or "none"
                    raise UserError(f"{path} has no column {name}; its columns are {columns}: add it, separated by commas.")
            for cells in reader:
                yield _row(path, reader.line_num, cells)
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not in UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8.") from error
    except csv.Error as error:
        raise UserError(f"{path} cannot be read as CSV ({error}); fix it.") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); check the path and its permissions.") from error


def _row(path: Path, line: int, cells: dict[str, str]) -> _Row:
    values = {name: (cells.get(name) or "").strip() for name in ("label", "split", "group")}
    name = cells.get("path") or ""
    if not name or "\0" in name:
        raise _wrong(path, line, "the path is empty or contains a NUL; correct it")
    if not values["label"]:
        raise _wrong(path, line, f"the label of {name} is empty; add one, or remove the line")
    split = values["split"].casefold()
    if split and split not in SPLIT_NAMES:
        raise _wrong(path, line, f"the split {values['split']!r} is unknown; use train, validation or test, or leave it empty")
    return _Row(line, name, values["label"], SPLIT_NAMES.get(split), values["group"] or None)


def _wrong(path: Path, line: int, what: str) -> UserError:
    return UserError(f"{path}, line {line}: {what}.")
