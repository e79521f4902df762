"""Several labels of an image in a table: names with `|` between them, lists in JSON lines, or several 1s in one-hot columns.

A cell that is empty, an empty list and zeros only mean that the image has none of the classes. -1, null and a cell that is not
there mean that its labels are unknown.
"""

from collections.abc import Callable, Iterable, Mapping

from resnet.core.errors import UserError
from resnet.core.label_sets import SEPARATOR, names_in
from resnet.ingestion.sources.columns import Choice, Columns, flags_problem, is_one, is_unlabelled, plain
from resnet.ingestion.sources.rows import TableFile


def has_several(file: TableFile, columns: Columns, choice: Choice) -> bool:
    """Whether the images of a table have several labels each.

    If the user leaves that open, they have if a column of JSON lines has lists, or one called labels has a cell with `|`.
    """
    if choice.multi_label is not None:
        return choice.multi_label and (columns.label is not None or bool(columns.one_hot))
    label = columns.label
    if label is None:
        return False
    return file.has_lists(label) or (plain(label) == "labels" and _any_separator(cells.get(label) for _, cells in file.rows()))


def _any_separator(cells: Iterable[str | None]) -> bool:
    return any(SEPARATOR in (cell or "") for cell in cells)


def is_separated(name: str, values: Iterable[object]) -> bool:
    """Whether a column of texts, as of a Parquet file, is called labels and has one with `|`."""
    return plain(name) == "labels" and any(isinstance(value, str) and SEPARATOR in value for value in values)


def set_in(columns: Columns, cells: Mapping[str, str], wrong: Callable[[str], UserError]) -> str | None:
    """The labels in a row as text, "" for none of the classes; None if they are unknown.

    Args:
        columns: of the table, one with labels or one-hot columns.
        cells: of the row, by column.
        wrong: makes the error for the row.

    Raises:
        UserError: a one-hot column has something else than 0 and 1, or -1 is beside other labels.
    """
    if columns.one_hot:
        problem = flags_problem(columns.one_hot, cells)
        if problem:
            raise wrong(problem)
        given = any(cells.get(name, "").strip() for name in columns.one_hot)
        return SEPARATOR.join(name for name in columns.one_hot if is_one(cells.get(name, ""))) if given else None
    cell = cells.get(columns.label or "")
    names = ["-1"] if cell is None else names_in(cell)
    if not any(map(is_unlabelled, names)):
        return SEPARATOR.join(names)
    if not all(map(is_unlabelled, names)):
        raise wrong(f"the labels {cell!r} have -1, which means that they are unknown, beside others; remove it or the others")
    return None
