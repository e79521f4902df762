"""Finds out what the columns of a table mean, by the names that data sets give them."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from resnet.core.errors import UserError
from resnet.ingestion.sources.source import SPLIT_NAMES

AUTO = "auto"

# Names are compared without case and without spaces, underscores and hyphens. The first row that has a column decides.
PATHS = (
    ("path",),
    (
        *("filename", "filenames", "file", "files", "filepath", "filepaths", "image", "images", "imagepath", "imagefile"),
        *("imagefilename", "imagename", "img", "imgpath", "imgfile", "imgname", "imageurl", "relativepath"),
    ),
    ("imageid", "imgid", "id", "idcode", "isicid", "uuid", "key", "name"),
)
LABELS = (
    ("label",),
    (
        *("labels", "class", "classname", "classes", "category", "categoryname", "target", "labelname"),
        *("breed", "species", "variety", "diagnosis", "dx", "cls", "y"),
    ),
    ("classid", "labelid", "categoryid", "targetid"),
)
SPLITS = ("subset", "set", "partition")  # columns of splits, if all their values are names of splits and none is called split
_ONE, _ZERO = ("1", "1.0", "true"), ("0", "0.0", "false", "")


class NotATable(UserError):  # noqa: N818 (it may be no error: the source is then of another kind)
    """A file is no table of images and labels; the folder beside it may still be a source of another kind."""


class NoLabels(NotATable):
    """A table names no classes, as that of a test split with secret labels."""


@dataclass(frozen=True)
class Choice:
    """What the user says about a table; "auto" leaves it to the names.

    Attributes:
        path_column: the column with the path or name of each image, or in Parquet with the images.
        label_column: the column with the class of each image.
        image_folder: the folder that the paths start from, absolute or relative to the folder of the table.
        multi_label: whether images may have several labels each; None leaves it to what the labels look like.
    """

    path_column: str = AUTO
    label_column: str = AUTO
    image_folder: str = AUTO
    multi_label: bool | None = None


@dataclass(frozen=True)
class Columns:
    """The columns that matter.

    Attributes:
        path: names the image.
        label: names the class; None if there is no such column.
        one_hot: columns named like the classes, with 1 in that of the image's class; empty if there is a `label`.
        split: names the split, if any.
        group: names what must stay in one split, if any.
    """

    path: str
    label: str | None
    one_hot: tuple[str, ...]
    split: str | None
    group: str | None


def find_columns(
    table: str,
    header: Sequence[str],
    first: Mapping[str, str],
    choice: Choice,
    is_there: Callable[[str], bool],
    *,
    splits: Sequence[str] = (),
) -> Columns:
    """What the columns of a table mean.

    Args:
        table: its name, for messages.
        header: the names of its columns.
        first: its first row.
        choice: what the user says.
        is_there: whether an image with this name exists.
        splits: columns that give splits if none is called so; see `may_be_splits`.

    Raises:
        NotATable: no column names the images.
        UserError: several columns may do so, several may name the class, or a column that the user names does not exist.
    """
    split, group = _named(table, header, "split"), _named(table, header, "group")
    split = split or next((name for name in splits if name not in (choice.path_column, choice.label_column)), None)
    left = [name for name in header if name not in (split, group) and name]
    path = _chosen(table, header, choice.path_column, "path_column")
    label = _chosen(table, header, choice.label_column, "label_column")
    path = path or _path(table, [name for name in left if name != label], first, is_there)
    found = [label] if label else _first_tier([name for name in left if name != path], LABELS)
    if len(found) > 1:
        has_image = path is not None and is_there(first.get(path, ""))
        raise _ambiguous(table, found, "the class", "label_column", UserError if has_image else NotATable)
    label = found[0] if found else None
    others = [name for name in left if name not in (path, label)]
    if path is None and label is not None and len(others) == 1:
        (path,) = others
    if path is None:
        raise NotATable(
            f"{table} has no column {' or '.join(['path', 'file_name', 'image'])} that names the images; its columns are "
            f"{_listed(header)}: rename one, or name it in ingest.path_column."
        )
    one_hot: tuple[str, ...] = ()
    if label is None and len(others) == 1:
        (label,) = others
    elif label is None and len(others) > 1 and all(is_flag(first.get(name, "")) for name in others):
        one_hot = tuple(others)
    return Columns(path, label, one_hot, split, group)


def no_label(table: str, header: Sequence[str]) -> NoLabels:
    """The error for a table without a column of classes."""
    return NoLabels(
        f"{table} has no column label or class that names the class of each image; its columns are {_listed(header)}: "
        "rename one, or name it in ingest.label_column."
    )


def pick_label(table: str, columns: Sequence[str], choice: Choice) -> str | None:
    """The column of classes among these, by its name; None if there is none.

    Raises:
        UserError: several may be it, or the user names one that does not exist.
    """
    chosen = _chosen(table, columns, choice.label_column, "label_column")
    found = [chosen] if chosen else _first_tier(columns, LABELS)
    if len(found) > 1:
        raise _ambiguous(table, found, "the class", "label_column")
    return found[0] if found else None


def may_be_splits(name: str, values: Iterable[str]) -> bool:
    """Whether a column is called like one of splits, and all its values, as far as there are any, are names of splits."""
    if plain(name) not in SPLITS:
        return False
    given = {value.strip().casefold() for value in values} - {""}
    return bool(given) and given <= SPLIT_NAMES.keys()


def split_note(header: Iterable[str], split: str | None) -> str | None:
    """Which column of another name gives the splits, or is called so and does not."""
    if split is not None and plain(split) != "split":
        return f"the splits are in the column {split}"
    left = [name for name in header if plain(name) in SPLITS] if split is None else []
    return f"the column {left[0]} is not read, because not all its values are train, validation or test" if left else None


def is_unlabelled(label: str) -> bool:
    """Whether a label means that the image has none: -1 by convention, which pandas writes as -1.0 beside empty cells."""
    return label.strip() in ("-1", "-1.0")


def is_flag(cell: str) -> bool:
    """Whether a cell may be of a one-hot column."""
    return cell.strip().casefold() in (*_ONE, *_ZERO)


def is_one(cell: str) -> bool:
    """Whether a one-hot column has a 1."""
    return cell.strip().casefold() in _ONE


def flags_problem(names: Iterable[str], cells: Mapping[str, str]) -> str | None:
    """What is wrong with the one-hot columns of a row, for a message; None if all are 0 or 1."""
    other = next((name for name in names if not is_flag(cells.get(name, ""))), None)
    if other is None:
        return None
    return f"the column {other} is {cells[other]!r}, not 0 or 1; name the column of the class in ingest.label_column"


def plain(name: str) -> str:
    """A name for comparison: without case, spaces, underscores and hyphens."""
    return re.sub(r"[\s_-]+", "", name).casefold()


def _named(table: str, header: Sequence[str], name: str) -> str | None:
    found = [column for column in header if plain(column) == name]
    if len(found) > 1:
        raise UserError(f"{table} has several columns called {name}, {', '.join(found)}; rename or remove all but one.")
    return found[0] if found else None


def _chosen(table: str, header: Sequence[str], wanted: str, parameter: str) -> str | None:
    if wanted == AUTO:
        return None
    if wanted in header:
        return wanted
    found = [name for name in header if plain(name) == plain(wanted)]
    if len(found) != 1:
        raise (NoLabels if parameter == "label_column" else NotATable)(
            f"{table} has no column {wanted}, which ingest.{parameter} names; its columns are {_listed(header)}: "
            "name one of these, or set the parameter to auto."
        )
    return found[0]


def _first_tier(columns: Sequence[str], tiers: tuple[tuple[str, ...], ...]) -> list[str]:
    found = ([name for name in columns if plain(name) in tier] for tier in tiers)
    return next((names for names in found if names), [])


def _path(table: str, columns: Sequence[str], first: Mapping[str, str], is_there: Callable[[str], bool]) -> str | None:
    found = _first_tier(columns, PATHS)
    if len(found) > 1:
        there = [name for name in found if is_there(first.get(name, ""))]
        if len(there) > 1:
            raise _ambiguous(table, there, "the image", "path_column")
        return there[0] if there else found[0]
    return found[0] if found else None


def _ambiguous(table: str, columns: Sequence[str], what: str, parameter: str, error: type[UserError] = UserError) -> UserError:
    return error(
        f"{table} has several columns that may name {what}, {', '.join(columns)}: name the right one in ingest.{parameter}."
    )


def _listed(columns: Sequence[str]) -> str:
    """Names of columns; the first ten of a table with a column for each pixel."""
    more = f" and {len(columns) - 10:,} more" if len(columns) > 10 else ""
    return (", ".join(columns[:10]) or "none") + more
