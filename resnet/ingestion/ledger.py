"""The account of a source: every file ends as one of accepted, rejected, duplicate and ignored, and is listed."""

import csv
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal, Self

from resnet.core.errors import UserError
from resnet.images.outcomes import Reason, Rejected

_EXAMPLES = 3


class Ledger:
    """Writes `rejected.csv`, `duplicates.csv` and `ignored.csv`, as a context manager, and counts.

    Attributes:
        images: numbers of accepted ones by class.
        rejected: numbers by reason.
        duplicates: number of copies that were left out.
        ignored: number of files that are no images by design.

    Args:
        folder: to be created.
        on_bad: whether a rejected file is listed, or ends the run.
    """

    def __init__(self, folder: Path, on_bad: Literal["quarantine", "fail"]) -> None:
        folder.mkdir()
        self.images: Counter[str] = Counter()
        self.rejected: Counter[Reason] = Counter()
        self.duplicates = 0
        self.ignored = 0
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
        """Number of images in `manifest.csv`."""
        return self.images.total()

    @property
    def files(self) -> int:
        """All files of the source."""
        return self.accepted + self.rejected.total() + self.duplicates + self.ignored

    def accept(self, label: str, number: int = 1) -> None:
        """Counts an image of a class; -1 for one that has to be left out after all."""
        self.images[label] += number

    def reject(self, file: Rejected) -> None:
        """Lists a file that is left out.

        Raises:
            UserError: such files end the run.
        """
        if self._fail:
            raise UserError(
                f"{file.path!r} is rejected as {file.reason} ({file.detail}); mend it or take it out, or set ingest.on_bad to "
                "quarantine to go on without it."
            )
        self.rejected[file.reason] += 1
        if len(self._examples) < _EXAMPLES:
            self._examples.append(file)
        self._rejected_csv.writerow([_line(file.path), file.reason, _line(file.detail)])

    def leave_out(self, path: str, duplicate_of: str) -> None:
        """Lists a copy of an image that is accepted."""
        self.duplicates += 1
        self._duplicates_csv.writerow([path, duplicate_of])

    def ignore(self, path: str) -> None:
        """Lists a file that is no image by design."""
        self.ignored += 1
        self._ignored_csv.writerow([_line(path)])

    def check(self, max_rejected: float) -> None:
        """Raises `UserError` if nothing is left, or if more than a share of the files, ignored ones apart, was rejected."""
        judged = self.files - self.ignored
        rejected = self.rejected.total()
        if rejected > max_rejected * judged:
            raise UserError(
                f"{rejected:,} of {judged:,} files were rejected ({self.reasons()}), more than ingest.max_rejected allows "
                f"({max_rejected:g} of all); the first are {self._first()}: mend them, take them out, or allow more."
            )
        if not self.accepted:
            first = f"; the first are {self._first()}" if rejected else ""
            raise UserError(f"the source has no usable image ({self.reasons() or 'no files'}){first}: choose another source.")

    def reasons(self) -> str:
        """Numbers of rejects by reason, the most frequent first."""
        falling = sorted(self.rejected.items(), key=lambda item: (-item[1], item[0]))
        return ", ".join(f"{count:,} {reason}" for reason, count in falling)

    def _first(self) -> str:
        return ", ".join(f"{file.path!r} ({file.reason}: {file.detail})" for file in self._examples)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)


def _line(text: str) -> str:
    r"""A cell that every reader of CSV understands: Python quotes `\n`, but not `\r`."""
    return text.replace("\r", "\\r")
