"""Which tables of a folder or an archive describe its images, by the names that data sets give to such tables."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from resnet.core.errors import UserError
from resnet.ingestion.sources.columns import Choice, NoLabels, NotATable
from resnet.ingestion.sources.places import Place
from resnet.ingestion.sources.rows import SUFFIXES, TableFile
from resnet.ingestion.sources.source import SPLIT_NAMES
from resnet.ingestion.sources.table import ImageTable, open_table

_OF_A_FOLDER = ("labels", "metadata", "_classes", "splits", "split")  # _classes.csv is that of Roboflow
_SPLIT_SUFFIXES = ("", "_labels", "labels", "-labels")  # train.csv, train_labels.csv, trainLabels.csv
_MAX_WRAPPING = 3  # levels of folders that may wrap the rest


@dataclass(frozen=True)
class Tables:
    """The tables of a source.

    Attributes:
        found: tables that belong together and describe images of the source.
        passed_over: by path why other tables with such names do not.
        notes: sentences about tables that are not read beside those with labels.
    """

    found: list[ImageTable]
    passed_over: dict[str, NotATable]
    notes: tuple[str, ...] = ()

    @property
    def have_labels(self) -> bool:
        """Whether they name the classes of the images, and not only their splits or groups."""
        return bool(self.found) and self.found[0].has_labels


Group = list[tuple[str, str | None]]  # paths of tables that belong together, each with its split


def find_tables(place: Place, choice: Choice, table: Callable[[str], TableFile]) -> Tables:
    """The tables of a source that have usual names: `labels.csv`, `metadata.csv`, `train.csv` and so on.

    Args:
        place: the folder or archive.
        choice: what the user says about tables.
        table: opens a table by its path.

    Raises:
        UserError: a table describes images of the source, but is ambiguous or cannot be read, or it has labels and belongs to
            such a table, but its images are not found.
    """
    passed_over: dict[str, NotATable] = {}
    for group in _groups(place):
        tables: list[ImageTable] = []
        unfit: dict[str, NotATable] = {}
        for path, split in group:
            try:
                tables.append(open_table(table(path), place, choice, split))
            except NotATable as error:
                unfit[path] = error
        passed_over |= unfit
        _refuse_two_of_one(tables)
        labelled = [one for one in tables if one.has_labels]
        if any(one.split in (None, "training") for one in labelled):
            _refuse_unfit(group, labelled, unfit)
            used = {one.file.path for one in labelled}
            left = {path: "it has no labels" for path, _ in group if path not in used}
            unread = {path: str(error).removesuffix(".") for path, error in passed_over.items()} | left
            return Tables(labelled, passed_over, tuple(f"{path} is not read, because {why}" for path, why in unread.items()))
        if tables and not labelled:
            return Tables(tables, passed_over)
    return Tables([], passed_over)


def _refuse_two_of_one(tables: list[ImageTable]) -> None:
    seen: dict[tuple[str, str | None], ImageTable] = {}
    for table in tables:
        other = seen.setdefault((table.file.folder, table.split), table)
        if other is not table:
            raise UserError(
                f"{other.file.shown} and {table.file.path} are two tables for the same images; remove or rename one of them."
            )


def _refuse_unfit(group: Group, labelled: list[ImageTable], unfit: dict[str, NotATable]) -> None:
    """Raises `UserError` if the labels of a split would be lost because its table cannot be used."""
    known = {(one.file.folder, one.split) for one in labelled}
    for path, split in group:
        error = unfit.get(path)
        if error is not None and not isinstance(error, NoLabels) and (path.rpartition("/")[0], split) not in known:
            raise UserError(f"{str(error).removesuffix('.')}; to leave this table out, rename it.") from error


def only_table(place: Place, choice: Choice, table: Callable[[str], TableFile]) -> list[ImageTable]:
    """The only one of `other_tables`; none if there is none.

    Raises:
        UserError: there are several.
    """
    found = other_tables(place, choice, table)
    if len(found) > 1:
        raise UserError(
            f"several tables may describe the images, {', '.join(one.file.path for one in found)}: name the right one as "
            "ingest.source, or rename it to labels.csv."
        )
    return found


def other_tables(place: Place, choice: Choice, table: Callable[[str], TableFile]) -> list[ImageTable]:
    """Tables at the top whose rows name images and their classes, whatever their names.

    Raises:
        UserError: a table describes images, but is ambiguous, or cannot be read.
    """
    found = []
    for path in _tables(place, top_of(place)):
        if "submission" in path.casefold():  # of a competition: made-up labels of the test images
            continue
        try:
            opened = open_table(table(path), place, choice)
        except NotATable:
            continue
        found += [opened] if opened.has_labels else []
    return found


def top_of(place: Place) -> str:
    """The first folder from the top that has a table, or several folders or none."""
    top = ""
    for _ in range(_MAX_WRAPPING):
        folders = _visible(place.folders(top))
        if len(folders) != 1 or _tables(place, top) or folders[0].casefold() in SPLIT_NAMES:
            break
        top = _join(top, folders[0])
    return top


def _groups(place: Place) -> Iterator[Group]:
    top = top_of(place)
    tables = _tables(place, top)
    splits = sorted(name for name in _visible(place.folders(top)) if name.casefold() in SPLIT_NAMES)
    inside = [(path, SPLIT_NAMES[name.casefold()]) for name in splits for path in _tables(place, _join(top, name))]
    for stem in _OF_A_FOLDER:
        for group in (((path, None) for path in tables), inside):
            found = [(path, split) for path, split in group if _stem(path) == stem]
            if found:
                yield found
        if stem == "metadata":
            yield from _by_split(tables)


def _by_split(tables: list[str]) -> Iterator[Group]:
    """The tables with names of splits, if one is for training."""
    found: dict[str, Group] = {}
    for suffix in _SPLIT_SUFFIXES:
        here: dict[str, Group] = {}
        for path in tables:
            split = SPLIT_NAMES.get(_stem(path).removesuffix(suffix)) if _stem(path).endswith(suffix) else None
            if split:
                here.setdefault(split, []).append((path, split))
        found = here | found
    if "training" in found:
        yield [pair for split in ("training", "validation", "test") for pair in found.get(split, [])]


def _tables(place: Place, folder: str) -> list[str]:
    return [_join(folder, name) for name in sorted(place.files(folder)) if name.casefold().endswith(SUFFIXES)]


def _visible(names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if not name.startswith((".", "__MACOSX")))


def _stem(path: str) -> str:
    return path.rpartition("/")[2].rpartition(".")[0].casefold()


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
