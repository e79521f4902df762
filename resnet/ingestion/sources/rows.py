"""Reads the rows of a table: CSV, with commas, semicolons or tabs, or JSON lines."""

import csv
import io
import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO, TextIO

from resnet.core.errors import UserError
from resnet.core.label_sets import SEPARATOR
from resnet.core.words import counted

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson")
_DELIMITERS = ",;\t|"
_LONGEST_LINE = 1 << 20  # characters of a header or of a line of JSON

Row = tuple[int, dict[str, str]]  # the number of the line on which it ends, and its cells by column


@dataclass(frozen=True)
class TableFile:
    """A table, on a disk or in an archive.

    Attributes:
        path: of the table within its source, separated by `/`.
        shown: its name in messages.
        open: opens it for reading bytes.
        lists: the column of JSON lines, if any, whose lists are sets of labels; see `list_cell`.
    """

    path: str
    shown: str
    open: Callable[[], BinaryIO]
    lists: str | None = None

    @property
    def folder(self) -> str:
        """The folder that it is in; empty at the top."""
        return self.path.rpartition("/")[0]

    @property
    def stem(self) -> str:
        """Its name without folder and suffix."""
        return PurePosixPath(self.path).stem

    def header(self) -> list[str]:
        """The names of the columns, without spaces around them; those of the first row for JSON lines.

        Raises:
            UserError: as `rows`.
        """
        with self._opened() as file:
            if self._is_csv:
                return _read_header(self, file)[0]
            return list(next(_json_rows(self, file), (0, {}))[1])

    def rows(self) -> Iterator[Row]:
        """All rows. Rows whose cells are all empty and columns without a name are skipped, spaces around cells are kept.

        Raises:
            UserError: the file cannot be read, is not in UTF-8, or is neither CSV nor JSON lines, as its suffix says.
        """
        with self._opened() as file:
            yield from _csv_rows(self, file) if self._is_csv else _json_rows(self, file)

    def has_lists(self, column: str) -> bool:
        """Whether a column of JSON lines has a list; a table in CSV has none.

        Raises:
            UserError: as `rows`.
        """
        if self._is_csv:
            return False
        with self._opened() as file:
            return any(isinstance(values.get(column), list) for _, values in _json_objects(self, file))

    @property
    def _is_csv(self) -> bool:
        return self.path.casefold().endswith((".csv", ".tsv"))

    @contextmanager
    def _opened(self) -> Iterator[TextIO]:
        try:
            with io.TextIOWrapper(self.open(), encoding="utf-8-sig", newline="") as file:
                yield file
        except UnicodeDecodeError as error:
            raise UserError(
                f"{self.shown} is not in UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8."
            ) from error
        except csv.Error as error:
            raise UserError(f"{self.shown}: the header cannot be read as CSV ({error}); fix it.") from error
        except OSError as error:
            raise UserError(f"{self.shown} cannot be read ({error.strerror}); check the path and its permissions.") from error


def _read_header(table: TableFile, file: TextIO) -> tuple[list[str], str, int]:
    """The names of the columns, the delimiter, and the number of lines that were read."""
    line, lines = file.readline(_LONGEST_LINE), 1
    given = ""
    if line.casefold().startswith("sep=") and len(line.strip()) == 5:  # Excel's way to name the delimiter
        given = line[4]
        line, lines = file.readline(_LONGEST_LINE), 2
    if "\0" in line:
        raise UserError(f"{table.shown} is not in UTF-8 (it has NUL bytes, as UTF-16 has); save it as UTF-8.")
    split = {delimiter: next(csv.reader([line], delimiter=delimiter), []) for delimiter in given or _DELIMITERS}
    delimiter = max(split, key=lambda one: len(split[one]))  # of equals the first one, the comma
    names = [name.strip() for name in split[delimiter]]
    twice = next((name for name in names if name and names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if twice is not None:
        raise UserError(f"{table.shown}, line {lines}: two columns are called {twice}; rename or remove one of them.")
    return names, delimiter, lines


def _csv_rows(table: TableFile, file: TextIO) -> Iterator[Row]:
    header, delimiter, before = _read_header(table, file)
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    line = before
    try:
        for cells in reader:
            line = before + reader.line_num
            if any(cell.strip() for cell in cells[len(header) :]):
                raise UserError(
                    f"{table.shown}, line {line}: there are {len(cells)} cells, but {counted(len(header), 'column')}; put a "
                    f"cell that contains {delimiter!r} in double quotes, with no space before them, or add a name to the "
                    "header."
                )
            if any(cell.strip() for cell in cells):  # a spreadsheet writes an empty row as `,,,`
                yield line, {name: cell for name, cell in zip(header, cells, strict=False) if name}
    except csv.Error as error:
        if before + reader.line_num == line + 1 and "field limit" in str(error):  # an open quote would go on in the next line
            raise UserError(
                f"{table.shown}, line {line + 1}: a cell has more than {csv.field_size_limit():,} characters; shorten it."
            ) from error
        raise UserError(
            f"{table.shown}, line {line + 1}: this cannot be read as CSV ({error}); close the double quote that is open here, "
            "and write a double quote within a cell twice."
        ) from error


def _json_rows(table: TableFile, file: TextIO) -> Iterator[Row]:
    for number, values in _json_objects(table, file):
        try:
            cells = {name: list_cell(value) if name == table.lists else cell_of(value) for name, value in values.items()}
        except ValueError as error:
            raise UserError(f"{table.shown}, line {number}: {table.lists} has {error}; expected a list of names.") from error
        yield number, cells


def _json_objects(table: TableFile, file: TextIO) -> Iterator[tuple[int, dict[str, object]]]:
    number = 0
    while line := file.readline(_LONGEST_LINE):
        number += 1
        if not line.strip():
            continue
        try:
            values = json.loads(line, object_pairs_hook=_once)
        except _TwiceError as error:
            raise UserError(
                f"{table.shown}, line {number}: {error} occurs twice in an object; remove or rename one."
            ) from error
        except (ValueError, RecursionError) as error:
            raise UserError(
                f"{table.shown}, line {number}: this is not JSON ({error}); expected one object a line, as in "
                '{"file_name": "1.jpg", "label": "cat"}.'
            ) from error
        if not isinstance(values, dict):
            raise UserError(f"{table.shown}, line {number}: expected a JSON object, with braces; correct the line.")
        yield number, values


class _TwiceError(Exception):
    """A name occurs twice in an object of JSON."""


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object of JSON; the standard library would keep the last value of a name without a word."""
    found: dict[str, object] = {}
    for name, value in pairs:
        if name.strip() in found:
            raise _TwiceError(name.strip())
        found[name.strip()] = value
    return found


def list_cell(value: object) -> str:
    """A list of labels as the text of a cell, with `|` between them; -1, which means unknown, for null and NaN.

    Raises:
        ValueError: it is an object, or a list with something else than names and numbers or with a name that has `|`; the
            message says what.
    """
    if isinstance(value, dict):
        raise ValueError(f"the object {str(value)[:40]!r} instead of a list")
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-1"
    if not isinstance(value, list):
        return cell_of(value)
    names = [cell_of(one).strip() for one in value]
    unfit = next((one for one, name in zip(value, names, strict=True) if not name or SEPARATOR in name), None)
    if unfit is not None or None in value:
        raise ValueError(f"{str(unfit)[:40]!r} in its list")
    return SEPARATOR.join(names)


def cell_of(value: object) -> str:
    """A value of JSON as the text of a cell: 1.0 is 1; empty for null, NaN, lists and objects, which are no labels."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return "" if math.isnan(value) else str(int(value)) if value.is_integer() else str(value)
    return str(value) if isinstance(value, str | int) else ""
