"""Tables as sources: one row for each image, with its path or name and its class, and optionally its split and group."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile
from pathlib import Path

from resnet.core.errors import UserError
from resnet.core.label_sets import SEPARATOR, names_in
from resnet.images.outcomes import Candidate, Ignored, Outcome, Reason, Rejected
from resnet.ingestion.sources.columns import (
    AUTO,
    Choice,
    Columns,
    NoLabels,
    NotATable,
    find_columns,
    flags_problem,
    is_one,
    is_unlabelled,
    may_be_splits,
    no_label,
    plain,
    split_note,
)
from resnet.ingestion.sources.folder import read_file, walk
from resnet.ingestion.sources.label_cells import has_several, set_in
from resnet.ingestion.sources.places import IMAGES, Disk, Finder, Place, find_base
from resnet.ingestion.sources.rows import Row, TableFile
from resnet.ingestion.sources.source import SPLIT_NAMES, Source, in_order

_NO_LABEL = "the table has no label for it"
_ROWS = re.compile(r"[\r\n].*[,;\t]", re.DOTALL)  # a line break, and a separator of columns behind it


@dataclass(frozen=True)
class ImageRow:
    """A row of a table.

    Attributes:
        line: the number of its last line.
        path: of the image within the source.
        label: the name of its class, or of several ones as for `Source.multi_label`; None if the row has none.
        split: training, validation or test, if given.
        group: what must stay in one split, if given.
    """

    line: int
    path: str
    label: str | None
    split: str | None
    group: str | None


@dataclass(frozen=True)
class ImageTable:
    """A table whose columns are known.

    Attributes:
        file: the table.
        columns: what its columns mean.
        finder: finds its images.
        split: the split of all its images, if its name or folder says so.
        multi_label: whether its images have several labels each.
        is_said: whether the user says whether they have.
    """

    file: TableFile
    columns: Columns
    finder: Finder
    split: str | None = None
    multi_label: bool = False
    is_said: bool = False

    @property
    def has_labels(self) -> bool:
        """Whether it names the class of each image."""
        return self.columns.label is not None or bool(self.columns.one_hot)

    def rows(self) -> Iterator[ImageRow]:
        """All rows, in the order of the table.

        Raises:
            UserError: an image does not exist, a label is empty, or a split is unknown; with the line.
        """
        return (_row(self, row) for row in self.file.rows())

    def with_several(self) -> "ImageTable":
        """The same with several labels for each image."""
        return replace(self, file=replace(self.file, lists=self.columns.label), multi_label=True)

    def note(self) -> str | None:
        """How the table was interpreted, where that may be unexpected."""
        more = ", ..." if len(self.columns.one_hot) > 3 else ""
        label = self.columns.label or f"the one-hot columns {', '.join(self.columns.one_hot[:3])}{more}"
        parts = []
        if (plain(self.columns.path), plain(label)) != ("path", "label"):
            parts.append(f"its images are named by the column {self.columns.path} and their classes by {label}")
        if self.finder.bases != (self.file.folder,):
            parts.append(f"its images are in {', '.join(self.finder.bases[:5])}")
        others = [name for name in self.file.header() if name not in (self.columns.path, label, *self.columns.one_hot)]
        splits = split_note(others, self.columns.split)
        parts += [splits] if splits else []
        return f"{self.file.path}: {'; '.join(parts)}" if parts else None


def open_table(file: TableFile, place: Place, choice: Choice, split: str | None = None) -> ImageTable:
    """Finds out what the columns of a table mean and where its images are.

    Raises:
        NotATable: no column names the images, none of them exists, it lists classes, or it has no class, split or group.
        UserError: the table cannot be read or is ambiguous.
    """
    wanted = None if choice.image_folder == AUTO else choice.image_folder
    based = partial(find_base, place, file, wanted=wanted)

    def is_there(name: str) -> bool:
        return based(names=[name]).find(name) is not None

    header = file.header()
    _, first = next(file.rows(), (0, {}))
    splits = [name for name in header if may_be_splits(name, (cells.get(name, "") for _, cells in file.rows()))]
    columns = find_columns(file.shown, header, first, choice, is_there, splits=splits)
    names = [cells.get(columns.path, "") for _, cells in file.rows()]
    table = ImageTable(file, columns, based(names=names), split, is_said=choice.multi_label is not None)
    if not table.has_labels and columns.split is None and columns.group is None:
        raise no_label(file.shown, header)
    if has_several(file, columns, choice):
        table = table.with_several()
    if not any(table.finder.find(cells.get(columns.path, "")) for _, cells in file.rows()):
        kind = NotATable if table.has_labels else NoLabels
        row = next(file.rows(), None)
        if row is None:
            raise kind(f"{file.shown} has no rows: expected is one line for each image below the names of the columns.")
        _row(table, row, kind)
    if wanted is None and _lists_classes(table, place):
        raise NotATable(
            f"{file.shown} has one row for each class, and not for each image; if it lists images, name their folder in "
            "ingest.image_folder."
        )
    return table


def _lists_classes(table: ImageTable, place: Place) -> bool:
    """Whether a table is a list of class names, whose numbers are names of images by accident.

    It has one row for each class, and a row for each folder beside it or for less than half of the images.
    """
    beside = (name for name in place.folders(table.file.folder) if not name.startswith((".", "__MACOSX")))
    folders = {plain(name) for name in beside} - SPLIT_NAMES.keys()
    if table.columns.label is None or table.multi_label:
        return False
    labels = set()
    for number, (_, cells) in enumerate(table.file.rows(), 1):
        labels.add(plain(cells.get(table.columns.label) or ""))
        name = cells.get(table.columns.path, "").strip().casefold()
        if len(labels) < number or name.endswith(IMAGES) or "/" in name or "\\" in name:
            return False
    if len(labels) < 2:
        return False
    by_folder = len(folders) > 1 and table.finder.bases != (table.file.folder,)
    files = (name for base in table.finder.bases for name in place.files(base))
    few = sum(name.casefold().endswith(IMAGES) for name in files) > 2 * len(labels)
    return few or (by_folder and (folders <= labels or len(folders) == len(labels)))


def _row(table: ImageTable, row: Row, error: type[UserError] = UserError) -> ImageRow:
    line, cells = row
    columns = table.columns

    def wrong(what: str) -> UserError:
        return error(f"{table.file.shown}, line {line}: {what}.")

    name = cells.get(columns.path) or ""
    if not name.strip() or "\0" in name:
        raise wrong("the path is empty or contains a NUL; correct it")
    path = table.finder.find(name)
    path = path and table.finder.place.inside(path)
    if path is None:
        own = table.finder.bases == (table.file.folder,)
        start = "the folder of the table" if own else ", ".join(table.finder.bases[:5])
        raise wrong(f"there is no {name}; paths are relative to {start}, or to ingest.image_folder")
    given = (cells.get(columns.split or "") or "").strip()
    if given and given.casefold() not in SPLIT_NAMES:
        raise wrong(f"the split {given!r} is unknown; use train, validation or test, or leave it empty")
    split = SPLIT_NAMES.get(given.casefold(), table.split)
    group = (cells.get(columns.group or "") or "").strip() or None
    if table.multi_label:
        label = set_in(columns, cells, wrong)
    else:
        label = _one_hot(columns.one_hot, cells, wrong) if columns.one_hot else (cells.get(columns.label or "") or "").strip()
    may_be_empty = table.multi_label or bool(columns.one_hot) or not table.has_labels
    if not label and not may_be_empty and split in (None, "training"):
        raise wrong(
            f"the label of {name} is empty; add one, remove the line, or set ingest.multi_label to true if images may have any "
            "number of labels"
        )
    if label and "\0" in label:
        raise wrong(f"the label of {name} contains a NUL, {label[:40]!r}; correct it")
    if label and _ROWS.search(label):  # an open quote that a later one closed
        raise wrong(f"the label of {name} contains the next rows, {label[:40]!r}; close the quote before them")
    if not table.multi_label:
        label = None if is_unlabelled(label or "") else label or None
    return ImageRow(line, path, label, split, group)


def _one_hot(names: tuple[str, ...], cells: dict[str, str], wrong: Callable[[str], UserError]) -> str | None:
    """The column that has the 1; None if no column has one."""
    problem = flags_problem(names, cells)
    if problem:
        raise wrong(problem)
    ones = [name for name in names if is_one(cells.get(name, ""))]
    if len(ones) > 1:
        raise wrong(
            f"the image belongs to several classes ({', '.join(ones)}), but expected is one 1 in each line; set "
            "ingest.multi_label to true if images have several labels"
        )
    return ones[0] if ones else None


@dataclass(frozen=True)
class Listing:
    """All rows of the tables of a source, checked.

    Attributes:
        tables: the tables.
        classes: the class names, sorted.
        above: how many folders all paths have in common, if the images are in folders with names of splits below them, which
            then count; None if they are not.
        outside: whether an image is outside the source.
        multi_label: whether images have several labels each.
        unlabelled: the splits in which no image has a label, although their labels are known to be none of the classes.
    """

    tables: list[ImageTable]
    classes: list[str]
    above: int | None
    outside: bool
    multi_label: bool = False
    unlabelled: tuple[str, ...] = ()

    def rows(self) -> Iterator[ImageRow]:
        """The rows of all tables, with their splits."""
        for table in self.tables:
            for row in table.rows():
                if self.above is None:
                    yield row
                else:
                    yield replace(row, split=_split_of(row.path, _classes(row.label, self.multi_label), self.above))

    def notes(self) -> tuple[str, ...]:
        """How the tables were interpreted, where that may be unexpected."""
        notes = [note for table in self.tables if (note := table.note())]
        notes += [
            f"no image of the {split} split has a label: if they are unknown, write -1 into their cells, or leave them out"
            for split in self.unlabelled
        ]
        is_open = not self.multi_label and not all(table.is_said for table in self.tables)
        joined = next((name for name in self.classes if SEPARATOR in name), None) if is_open else None
        if joined is not None:
            notes.append(
                f"{joined!r} is one class; ingest.multi_label=true makes {SEPARATOR!r} separate several labels of an image"
            )
        return tuple(notes) if self.above is None else (*notes, "the splits are those of the folders that the images are in")


def check_rows(tables: list[ImageTable]) -> Listing:
    """Reads all rows first; an invalid one could otherwise come to light after hours.

    A single table called `train.csv` gives no split: its images are all that have labels.

    Raises:
        UserError: as `ImageTable.rows`, or an image is in two rows.
    """
    tables = tables if len(tables) > 1 else [replace(table, split=None) for table in tables]
    several = any(table.multi_label for table in tables)
    if several:
        tables = [table.with_several() for table in tables]
    labels = {name for table in tables for name in table.columns.one_hot}
    seen: dict[str, str] = {}
    labels_of: dict[str, str | None] = {}
    has_splits = outside = False
    for table in tables:
        for row in table.rows():
            here = f"line {row.line}" if len(tables) == 1 else f"line {row.line} of {table.file.path}"
            if row.path in seen:
                raise row_again(table, row, seen[row.path])
            seen[row.path] = here
            labels.update(_classes(row.label, several))
            outside |= row.path.startswith(("/", "../"))
            has_splits |= row.split is not None
            labels_of[row.path] = row.label
    above = _folders_above(labels_of)
    splits = {_split_of(path, _classes(label, several), above) for path, label in labels_of.items()}
    by_folder = not has_splits and None not in splits and "training" in splits and len(splits) > 1
    listing = Listing(tables, sorted(labels), above if by_folder else None, outside, several)
    return replace(listing, unlabelled=_without_labels(listing)) if several else listing


def _without_labels(listing: Listing) -> tuple[str, ...]:
    """The splits of the source whose images all have none of the classes."""
    labelled: dict[str, bool] = {}
    for row in listing.rows():
        if row.split is not None and row.label is not None:
            labelled[row.split] = labelled.get(row.split, False) or bool(row.label)
    return in_order(split for split, found in labelled.items() if not found)


def _classes(label: str | None, multi_label: bool) -> list[str]:
    """The class names in the label of a row."""
    if not label:
        return []
    return names_in(label) if multi_label else [label]


def row_again(table: ImageTable, row: ImageRow, before: str) -> UserError:
    """The error for a second row of an image; `before` says where the first one is."""
    return UserError(f"{table.file.shown}, line {row.line}: {row.path} is already on {before}; list each image once.")


def _folders_above(paths: Iterable[str]) -> int:
    """How many folders, from the top, all paths have in common."""
    folders = [path.split("/")[:-1] for path in paths]
    ends = zip(min(folders, default=[]), max(folders, default=[]), strict=False)  # in order, all others lie between these two
    return len(list(takewhile(lambda pair: pair[0] == pair[1], ends)))


def _split_of(path: str, classes: Collection[str], above: int) -> str | None:
    """The split that the nearest folder with the name of one means.

    The folders above all images say nothing about one of them, and a folder that is called as a class of the image is one of
    that class.
    """
    folders = (name for name in reversed(path.split("/")[above:-1]) if name not in classes)
    return next((SPLIT_NAMES[name.casefold()] for name in folders if name.casefold() in SPLIT_NAMES), None)


def outcome(row: ImageRow, read: Callable[[], bytes]) -> Outcome:
    """The outcome for the image of a row."""
    if row.label is None:
        return Rejected(row.path, Reason.UNLABELLED, _NO_LABEL)
    return Candidate(row.path, row.label, read, row.split, row.group)


def unlisted(path: str) -> Outcome:
    """The outcome for a file that the table of its source does not list."""
    is_image = path.casefold().endswith(IMAGES) and not path.rpartition("/")[2].startswith(".")
    return Rejected(path, Reason.UNLABELLED, "the table does not list it") if is_image else Ignored(path)


def on_disk(root: Path, path: str) -> TableFile:
    """A table in a folder."""
    return TableFile(path, str(root / path), lambda: (root / path).open("rb"))


def table_source(path: Path, choice: Choice | None = None) -> Source:
    """The images that a table lists.

    Args:
        path: the table.
        choice: what the user says about its columns.

    Raises:
        UserError: a column is missing or ambiguous, an image does not exist or is on two lines, a label is empty, a split is
            unknown, or the file is not a table in UTF-8.
    """
    table = open_table(on_disk(path.parent, path.name), Disk(path.parent), choice or Choice())
    if not table.has_labels:
        raise no_label(str(path), table.file.header())
    listing = check_rows([table])
    note = f"DVC watches {path}, but not the images that it lists; it would watch all of a folder with a labels.csv"
    files = partial(_listed, path.parent, listing)
    return Source(listing.classes, files, (*listing.notes(), note), multi_label=listing.multi_label)


def tables_source(root: Path, tables: list[ImageTable]) -> Source:
    """The images of a folder that its tables list. Other images have no label; other files are ignored.

    Raises:
        UserError: as `table_source`.
    """
    listing = check_rows(tables)
    notes = (f"DVC watches {root}, but not the images outside it that its table lists",) if listing.outside else ()
    files = partial(_whole_folder, root, listing)
    return Source(listing.classes, files, (*listing.notes(), *notes), multi_label=listing.multi_label)


def _listed(root: Path, listing: Listing) -> Iterator[Outcome]:
    for row in listing.rows():
        yield outcome(row, partial(read_file, root / row.path))


def _whole_folder(root: Path, listing: Listing) -> Iterator[Outcome]:
    listed = {row.path for row in listing.rows()}
    yield from _listed(root, listing)
    for entry in walk(root):
        if entry.path in listed:
            continue
        if isinstance(entry, Rejected):
            yield entry
        elif not entry.is_folder:
            yield unlisted(entry.path)
