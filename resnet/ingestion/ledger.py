"""Accounts for every file of a source: each is listed as accepted, rejected, duplicate or ignored."""

import csv
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal, Self

from resnet.core.errors import UserError
from resnet.core.words import agreeing, counted
from resnet.images.outcomes import Reason, Rejected

_EXAMPLES = 3
_IN_WORDS = {Reason.LEFT_OUT: "left out by your decisions", Reason.SMALL_CLASS: "of small classes"}


class Ledger:
    """A context manager that writes `rejected.csv`, `duplicates.csv` and `ignored.csv` and counts files.

    Attributes:
        classes: the names of the classes, in the order of their labels, without those that were left out.
        splits: the splits of the source that have an image, duplicates and conflicts included.
        images: number of accepted images by label: a class, or a set of classes as text.
        shortened: number of accepted images that lost the labels of classes that were left out.
        rejected: number of rejected files by reason.
        set_aside: number of files that are left out without a fault of their own, by reason; also listed in `rejected.csv`.
        duplicates: number of duplicates left out.
        ignored: number of files that are not meant to be images.
        decided: number of images by the decision that people made about them, without those that had the decided label already.
        unmatched: number of decisions that are about no image of the source.

    Args:
        folder: is created for the tables.
        on_bad: "quarantine" to list rejected files, "fail" to stop at the first one.
    """

    def __init__(self, folder: Path, on_bad: Literal["quarantine", "fail"]) -> None:
        folder.mkdir()
        self.classes: list[str] = []
        self.splits: set[str] = set()
        self.images: Counter[str] = Counter()
        self.rejected: Counter[Reason] = Counter()
        self.set_aside: Counter[Reason] = Counter()
        self.duplicates = 0
        self.ignored = 0
        self.shortened = 0
        self.decided: Counter[str] = Counter()
        self.unmatched = 0
        self._fail = on_bad == "fail"
        self._examples: list[Rejected] = []
        self._stack = ExitStack()
        self._rejected_csv = self._table(folder / "rejected.csv", "path", "reason", "detail")
        self._duplicates_csv = self._table(folder / "duplicates.csv", "path", "duplicate_of")
        self._ignored_csv = self._table(folder / "ignored.csv", "path")

    def _table(self, path: Path, *columns: str) -> Any:
        writer = csv.writer(self._stack.enter_context(path.open("w", encoding="utf-8", newline="")), lineterminator="\n")
        writer.writerow(columns)
        return writer

    @property
    def accepted(self) -> int:
        """The number of images in `manifest.csv`."""
        return self.images.total()

    @property
    def files(self) -> int:
        """The number of files of the source."""
        return self.accepted + self.rejected.total() + self.set_aside.total() + self.duplicates + self.ignored

    def accept(self, label: str, split: str | None = None) -> None:
        """Counts an image with a label."""
        self.images[label] += 1
        if split:
            self.splits.add(split)

    def withdraw(self, label: str) -> None:
        """Takes back an image that was accepted; the caller then lists it as rejected or as a duplicate."""
        self.images[label] -= 1

    def reject(self, file: Rejected) -> None:
        """Lists a rejected file.

        Raises:
            UserError: `on_bad` is "fail", and something is wrong with the file.
        """
        if file.reason.is_fault:
            self._count_fault(file)
        else:
            self.set_aside[file.reason] += 1
        self._rejected_csv.writerow([_cell(file.path), file.reason, _cell(file.detail)])

    def _count_fault(self, file: Rejected) -> None:
        if self._fail:
            raise UserError(
                f"{file.path!r} is rejected as {file.reason} ({file.detail}); fix or remove it, or set ingest.on_bad to "
                "quarantine to continue without it."
            )
        self.rejected[file.reason] += 1
        if len(self._examples) < _EXAMPLES:
            self._examples.append(file)

    def leave_out(self, path: str, duplicate_of: str) -> None:
        """Lists a duplicate of an accepted image."""
        self.duplicates += 1
        self._duplicates_csv.writerow([path, duplicate_of])

    def ignore(self, path: str) -> None:
        """Lists a file that is not meant to be an image."""
        self.ignored += 1
        self._ignored_csv.writerow([_cell(path)])

    def check(self, max_rejected: float) -> None:
        """Raises `UserError` if no image is left or too many files were rejected.

        Args:
            max_rejected: the largest allowed share of rejected files among all files that are neither ignored nor set aside.
        """
        considered = self.files - self.ignored - self.set_aside.total()
        rejected = self.rejected.total()
        if rejected > max_rejected * considered:
            found = f"{rejected:,} of {counted(considered, 'file')} {agreeing(rejected, 'was', 'were')} rejected"
            raise UserError(
                f"{found} ({self.reasons()}), more than ingest.max_rejected allows (a share of {max_rejected:g}); "
                f"{self._first()}: fix or remove {agreeing(rejected, 'it', 'them')}, or raise the limit."
            )
        if not self.accepted:
            first = f"; {self._first()}" if rejected else ""
            raise UserError(f"the source has no usable image ({self._found() or 'no files'}){first}: {self._advice()}.")

    def _advice(self) -> str:
        """What to do without an image: what the user set comes before the source."""
        decided, small = self.set_aside[Reason.LEFT_OUT], self.set_aside[Reason.SMALL_CLASS]
        steps = [
            *(["change the decisions that leave images out"] if decided else []),
            *(["lower ingest.min_images_per_class"] if small else []),
        ]
        return " and ".join(steps) or "choose another source"

    def reasons(self) -> str:
        """The number of rejected files by reason, the most frequent reason first."""
        return _numbers(self.rejected)

    def _found(self) -> str:
        return ", ".join(filter(None, [self.reasons(), *self.set_aside_in_words()]))

    def set_aside_in_words(self) -> list[str]:
        """For each reason to leave out files without a fault, their number and the reason."""
        return [f"{count:,} {_IN_WORDS.get(reason, reason)}" for reason, count in sorted(self.set_aside.items()) if count]

    def _first(self) -> str:
        examples = ", ".join(f"{file.path!r} ({file.reason}: {file.detail})" for file in self._examples)
        return f"{agreeing(self.rejected.total(), 'the file is', 'the first are')} {examples}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)


def _numbers(counts: Counter[Reason]) -> str:
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count:,} {reason}" for reason, count in ranked)


def _cell(text: str) -> str:
    r"""A cell that every CSV reader understands: Python's writer quotes cells with `\n`, but not those with a lone `\r`."""
    return text.replace("\r", "\\r")
