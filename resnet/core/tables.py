"""The tables that stages hand on: names in them, and a reader that says which one is not what it should be."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from resnet.core.errors import damaged_input, missing_input

if TYPE_CHECKING:
    import pandas as pd

SPLITS = ("training", "validation", "test")
HISTORY_COLUMNS = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")  # of reports/history.csv


def read_table(path: Path, columns: Mapping[str, str], rows: int | None = None) -> "pd.DataFrame":
    """The columns of a CSV file.

    Names of classes and files are text, also where they look like numbers or like a missing value ("7", "nan").

    Args:
        path: of the file.
        columns: types by name; the file may have others.
        rows: how many there must be, if that is known.

    Raises:
        UserError: the file is missing, lacks a column, has a line that is not whole or a value of another type, or not as many
            rows.
    """
    import pandas as pd

    try:
        table = pd.read_csv(path, dtype="str", keep_default_na=False)
        if table.isna().any(axis=None) or not {*columns} <= {*table}:
            raise ValueError(f"its columns are not {', '.join(columns)}, or a line of it is not whole")
        typed = table[list(columns)].astype(dict(columns))
    except FileNotFoundError as error:
        raise missing_input(path) from error
    except ValueError as error:
        raise damaged_input(path, error) from error
    if rows is not None and len(typed) != rows:
        raise damaged_input(path, f"it has {len(typed)} lines where {rows} should be")
    return typed
