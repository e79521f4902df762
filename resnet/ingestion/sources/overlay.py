"""Adds to class folders what a table beside them says: the split and group of each image."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from resnet.images.outcomes import Candidate, Ignored, Outcome, Rejected
from resnet.ingestion.sources.source import Source, in_order
from resnet.ingestion.sources.table import ImageRow, ImageTable, row_again


def with_tables(source: Source, tables: Sequence[ImageTable]) -> Source:
    """A source of class folders, with the splits and groups that tables give.

    Raises:
        UserError: an image of the table does not exist or is in two rows, or a split is unknown.
    """
    rows: dict[str, ImageRow] = {}
    notes = []
    for table in tables:
        for row in table.rows():
            if row.path in rows:
                raise row_again(table, row, f"line {rows[row.path].line}")
            rows[row.path] = row
        given = " and ".join(name for name in (table.columns.split, table.columns.group) if name)
        notes.append(f"the column {given} is from {table.file.path}, the classes are those of the folders")
    paths = {table.file.path for table in tables}
    splits = in_order((*source.splits, *(row.split for row in rows.values())))
    return Source(source.classes, partial(_files, source, rows, paths), (*source.notes, *notes), splits)


def beside_tables(source: Source, notes: Mapping[str, str]) -> Source:
    """A source of class folders, with tables beside it that are not used.

    Args:
        source: the class folders.
        notes: by the path of each table, why it is not used.
    """
    files = partial(_files, source, {}, set(notes))
    return Source(source.classes, files, (*source.notes, *notes.values()), source.splits)


def _files(source: Source, rows: Mapping[str, ImageRow], tables: set[str]) -> Iterator[Outcome]:
    for outcome in source.files():
        row = rows.get(outcome.path)
        if isinstance(outcome, Rejected) and outcome.path in tables:
            yield Ignored(outcome.path)
        elif isinstance(outcome, Candidate) and row is not None:
            yield replace(outcome, split=row.split or outcome.split, group=row.group or outcome.group)
        else:
            yield outcome
