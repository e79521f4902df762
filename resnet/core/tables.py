"""CSV tables that one stage writes and another reads: their names, and a reader that checks them."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from resnet.core.errors import damaged_input, missing_input
from resnet.core.words import counted

if TYPE_CHECKING:
    import pandas as pd

SPLITS = ("training", "validation", "test")
SET_ASIDE = ("unlabelled", "small_class", "left_out")  # reasons in rejected.csv that are no fault of a file
HISTORY_COLUMNS = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")  # of reports/history.csv


def read_table(path: Path, columns: Mapping[str, str], rows: int | None = None) -> "pd.DataFrame":
    """The columns of a CSV file.

    Columns of type "str" stay text, also where a class or file name looks like a number or a missing value ("7", "nan").

    Args:
        path: the file.
        columns: pandas types by column name; the file may have more columns.
        rows: the expected number of rows, if known.

    Raises:
        UserError: the file is missing, lacks a column, has an incomplete line, a value of another type, or another number of
            rows.
    """
    import pandas as pd

    try:
        # Not `pd.read_csv`, which fills up incomplete lines with empty text.
        with path.open(encoding="utf-8", newline="") as file:
            lines = csv.reader(file)
            header = next(lines, [])
            if not {*columns} <= {*header}:
                raise ValueError(f"its columns are not {', '.join(columns)}")
            wanted = [header.index(name) for name in columns]
            table = pd.DataFrame(_cells(lines, len(header), wanted), columns=list(columns))
        typed = table.astype(dict(columns))
    except FileNotFoundError as error:
        raise missing_input(path) from error
    except (ValueError, csv.Error) as error:
        raise damaged_input(path, error) from error
    if rows is not None and len(typed) != rows:
        raise damaged_input(path, f"it has {counted(len(typed), 'row')} instead of {rows:,}")
    return typed


def _cells(lines: Iterable[list[str]], length: int, wanted: list[int]) -> Iterator[list[str]]:
    for line in lines:
        if len(line) != length:
            raise ValueError("one of its lines is incomplete")
        yield [line[place] for place in wanted]
