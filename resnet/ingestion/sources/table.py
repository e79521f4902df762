"""A CSV file with the columns `path` and `label`, and `split` and `group` if there are any, as a source."""

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from resnet.core.errors import UserError
from resnet.images.outcomes import Candidate, Ignored, Outcome, Rejected
from resnet.ingestion.sources.folder import read_file, walk
from resnet.ingestion.sources.layout import SPLIT_NAMES
from resnet.ingestion.sources.source import Source


@dataclass(frozen=True)
class _Row:
    line: int
    path: str
    label: str
    split: str | None
    group: str | None


def table_source(path: Path, *, whole_folder: bool = False) -> Source:
    """The images that a table lists; paths are relative to its folder, or absolute.

    The table is checked as a whole first: a line that is wrong would otherwise come to light after hours.

    Args:
        path: of the table.
        whole_folder: whether files beside the table that it does not list are to be accounted for, as ignored.

    Raises:
        UserError: a column is missing, a path is not there or stands in two lines, a label is empty, a split is unknown, or
            the file is not CSV in UTF-8.
    """
    labels: set[str] = set()
    seen: dict[str, int] = {}
    for row in _rows(path):
        labels.add(row.label)
        if row.path in seen:
            raise _wrong(path, row.line, f"{row.path} stands in line {seen[row.path]} already, but an image has one line")
        seen[row.path] = row.line
        if not _is_there(path.parent / row.path):
            raise _wrong(
                path, row.line, f"there is no {row.path}; paths are relative to the folder of the table, {path.parent}"
            )
    alone = f"DVC watches {path} and not the images that it lists; a folder with a labels.csv it watches as a whole"
    return Source(sorted(labels), partial(_files, path, whole_folder), () if whole_folder else (alone,))


def _is_there(path: Path) -> bool:
    """Whether there is something other than a folder."""
    try:
        return path.exists() and not path.is_dir()
    except OSError:  # a name that is too long for any file
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
        raise UserError(f"{path} cannot be read as CSV ({error}); mend it.") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}).") from error


def _row(path: Path, line: int, cells: dict[str, str]) -> _Row:
    values = {name: (cells.get(name) or "").strip() for name in ("label", "split", "group")}
    name = cells.get("path") or ""
    if not name or "\0" in name:
        raise _wrong(path, line, "the path is empty or has a NUL in it")
    if not values["label"]:
        raise _wrong(path, line, f"the label of {name} is empty; give it one, or take the line out")
    split = values["split"].casefold()
    if split and split not in SPLIT_NAMES:
        raise _wrong(path, line, f"the split {values['split']!r} is unknown; use train, validation or test, or leave it empty")
    return _Row(line, name, values["label"], SPLIT_NAMES.get(split), values["group"] or None)


def _wrong(path: Path, line: int, what: str) -> UserError:
    return UserError(f"{path}, line {line}: {what}.")
