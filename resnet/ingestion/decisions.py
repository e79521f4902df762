"""What people decided about labels: `decisions.csv`, which `ingest` applies.

A decision is about an image, whatever its name and encoding: the hash of its pixels says which. So it also holds for copies,
and solves a conflict between their labels.
"""

import csv
import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from resnet.core.errors import UserError, listed
from resnet.core.files import replacing
from resnet.core.label_sets import names_in
from resnet.core.words import agreeing
from resnet.ingestion.sources.rows import TableFile

RELABEL, LEAVE_OUT, KEEP = "relabel", "leave out", "keep"
KINDS = (RELABEL, LEAVE_OUT, KEEP)
COLUMNS = ("pixel_hash", "path", "decision", "label")
_HASH = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Decision:
    """A decision about an image.

    Attributes:
        pixel_hash: of the image, 64 hexadecimal digits.
        path: its name, for people.
        kind: one of `KINDS`.
        label: the class of the image from now on, or its classes with `|` between them, if it is relabelled; otherwise
            without meaning.
        line: in its file, for messages.
    """

    pixel_hash: str
    path: str
    kind: str
    label: str
    line: int = 0


@dataclass(frozen=True)
class Decisions:
    """All decisions.

    Attributes:
        name: of their file, for messages.
        by_hash: each decision by the hash of the pixels of its image.
    """

    name: str = "decisions"
    by_hash: Mapping[str, Decision] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Decision]:
        return iter(self.by_hash.values())

    def __len__(self) -> int:
        return len(self.by_hash)

    def require_classes(self, classes: Sequence[str], *, multi_label: bool = False) -> None:
        """Raises `UserError` if an image gets a class that the source does not have.

        Args:
            classes: of the source.
            multi_label: whether images have several labels each, as in `cat|dog`; `|` is then none of the classes.
        """
        known = set(classes)
        for decision in self:
            if decision.kind != RELABEL:
                continue
            names = names_in(decision.label) if multi_label else [decision.label]
            unknown = next((name for name in names if name not in known), None)
            if unknown is not None:
                near = difflib.get_close_matches(unknown, classes, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"the classes are {listed(classes, 10)}."
                raise UserError(
                    f"{self.name}, line {decision.line}: {decision.path!r} is to get the label {unknown!r}, which is no "
                    f"class of the source: {hint}"
                )

    def require_match(self, found: int) -> None:
        """Raises `UserError` if there are decisions, but none about an image of the source.

        Args:
            found: the number of decisions about images of the source.
        """
        if len(self) and not found:
            what = (
                f"the only decision in {self.name} is about no image of the source, so it is for another image"
                if len(self) == 1
                else f"none of the {len(self):,} decisions in {self.name} is about an image of the source, so they are for "
                "other images"
            )
            raise UserError(f"{what}: correct ingest.source, or leave only the first row in that file.")


def read_decisions(path: Path) -> Decisions:
    """Reads a file of decisions: CSV in UTF-8 with the columns `COLUMNS`, separated by commas, semicolons or tabs.

    Raises:
        UserError: the file is missing or cannot be read, lacks a column, has a row that is no decision, or two about one image.
    """
    if not path.exists():
        raise UserError(f"{path} is missing, a table with the columns {', '.join(COLUMNS)}: `git checkout {path}` restores it.")
    table = csv_table(path)
    require_columns(path, table.header(), COLUMNS, empty=f"`git checkout {path}` restores it")
    return Decisions(str(path), by_hash(path, (decision_of(path, line, row) for line, row in table.rows())))


def csv_table(path: Path) -> TableFile:
    """A table in which people decide, which exists.

    Raises:
        UserError: it is no CSV by its name.
    """
    if path.suffix.casefold() not in (".csv", ".tsv"):  # such as .xlsx
        raise UserError(f"{path} is not named as a CSV file: save it as CSV in UTF-8, and use that file.")
    return TableFile(path.name, str(path), lambda: path.open("rb"))


def require_columns(path: Path, header: Sequence[str], columns: Sequence[str], *, empty: str) -> None:
    """Raises `UserError` if a table lacks a column.

    Args:
        path: of the table.
        header: the names of its columns.
        columns: that it must have.
        empty: what to do if it has no columns at all.
    """
    if not any(header):
        raise UserError(f"{path} is empty, but its first row must name {', '.join(columns)}: {empty}.")
    if missing := [name for name in columns if name not in header]:
        noun = agreeing(len(missing), "column", "columns")
        raise UserError(f"{path} lacks the {noun} {', '.join(missing)}: its first row must name {', '.join(columns)}.")


def by_hash(path: Path, decisions: Iterable[Decision]) -> dict[str, Decision]:
    """Each decision by the hash of its image.

    Raises:
        UserError: two are about one image.
    """
    found: dict[str, Decision] = {}
    for decision in decisions:
        first = found.setdefault(decision.pixel_hash, decision)
        if first is not decision:
            raise UserError(
                f"{path}, lines {first.line} and {decision.line}: two decisions about the image {decision.path!r}: keep one."
            )
    return found


def hash_of(row: Mapping[str, str]) -> str:
    """The hash in a row of a table, in the letters that `ingest` writes; people may write capital ones."""
    return row.get("pixel_hash", "").strip().casefold()


def kind_of(row: Mapping[str, str]) -> str:
    """The decision in a row of a table, however it is capitalised; empty if there is none."""
    return row.get("decision", "").strip().casefold()


def decision_of(path: Path, line: int, row: Mapping[str, str], column: str = "label") -> Decision:
    """The decision in a row of a table.

    Args:
        path: of the table.
        line: of the row, for messages.
        row: its cells by column.
        column: that has the class of a relabelled image.

    Raises:
        UserError: the row is no decision.
    """
    place, pixel_hash, kind = f"{path}, line {line}", hash_of(row), kind_of(row)
    if not _HASH.fullmatch(pixel_hash):
        raise UserError(
            f"{place}: pixel_hash is {pixel_hash[:70]!r}, but expected are 64 hexadecimal digits: copy it from suspects.csv."
        )
    if kind not in KINDS:
        raise UserError(f"{place}: the decision is {row.get('decision', '')!r}, but expected is one of {', '.join(KINDS)}.")
    label = row.get(column) or ""
    if kind == RELABEL and not label:
        raise UserError(f"{place}: the decision is to relabel, but the column {column} is empty: write the right class there.")
    return Decision(pixel_hash, row.get("path", ""), kind, label, line)


def write_decisions(path: Path, decisions: Iterable[Decision]) -> None:
    """Replaces a file of decisions."""
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows((one.pixel_hash, one.path, one.kind, one.label if one.kind == RELABEL else "") for one in decisions)
