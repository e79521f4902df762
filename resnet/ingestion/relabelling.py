"""Applies decisions about labels to the images of a source, and lists what became of each decision."""

import csv
from collections import Counter
from dataclasses import replace
from pathlib import Path

from resnet.images.outcomes import Candidate, Reason, Rejected
from resnet.ingestion.decisions import LEAVE_OUT, RELABEL, Decisions
from resnet.ingestion.labelling import Labelling
from resnet.ingestion.ledger import Ledger

DECIDED = "decided.csv"
COLUMNS = ("path", "given", "decision", "label")


class Relabelling:
    """The decisions while a source is read.

    Args:
        decisions: about labels.
        labelling: of the images.
    """

    def __init__(self, decisions: Decisions, labelling: Labelling) -> None:
        self._decisions = decisions
        self._labelling = labelling
        self._rows: list[tuple[str, str, str, str]] = []
        self._matched: set[str] = set()

    def applied(self, file: Candidate, pixel_hash: str) -> Candidate | Rejected:
        """The file with its decided label, or why it is left out."""
        decision = self._decisions.by_hash.get(pixel_hash)
        if decision is None:
            return file
        self._matched.add(pixel_hash)
        given = self._labelling.cell(file.label)
        if decision.kind == LEAVE_OUT:
            self._rows.append((file.path, given, decision.kind, ""))
            return Rejected(file.path, Reason.LEFT_OUT, f"labelled {file.label!r}, left out by {self._decisions.name}")
        label = self._labelling.text(decision.label) if decision.kind == RELABEL else file.label
        self._rows.append((file.path, given, decision.kind, self._labelling.cell(label)))
        return replace(file, label=label)

    def finish(self, folder: Path, ledger: Ledger) -> None:
        """Writes `decided.csv`, and counts in the ledger. Without decisions there is no such file.

        The file has a row for each image with a decision: its label in the source, and its label now, empty if it is left out.
        Of images with several labels each, `|` is the empty set.
        Then follows a row without labels for each decision that is about no image.

        Raises:
            UserError: all decisions are about no image.
        """
        if not len(self._decisions):
            return
        self._decisions.require_match(len(self._matched))
        unmatched = [one for one in self._decisions if one.pixel_hash not in self._matched]
        ledger.decided = Counter(kind for _, given, kind, label in self._rows if kind != RELABEL or given != label)
        ledger.unmatched = len(unmatched)
        with (folder / DECIDED).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(self._rows)
            writer.writerows((one.path.replace("\r", "\\r"), "", one.kind, "") for one in unmatched)
