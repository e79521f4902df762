"""The images whose labels a person should look at, and `suspects.csv`, the table in which the person decides."""

import csv
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from resnet.core.files import replacing
from resnet.ingestion.decisions import Decision, decisions_in

if TYPE_CHECKING:
    from resnet.audit.ranking import Ranking

COLUMNS = ("number", "decision", "label", "given", "score", "path", "pixel_hash")


@dataclass(frozen=True)
class Suspect:
    """An image whose label is probably wrong.

    Attributes:
        number: from 1, the most suspect first.
        path: its name in the source.
        pixel_hash: of its pixels, 64 hexadecimal digits.
        given: its label.
        label: the most probable other class, or what a person decided.
        score: from 0 to 1, lower is more suspect.
        decision: of a person, or empty.
    """

    number: int
    path: str
    pixel_hash: str
    given: str
    label: str
    score: float
    decision: str = ""


def list_suspects(
    ranking: "Ranking",
    labels: Sequence[int],
    paths: Sequence[str],
    pixel_hashes: Sequence[str],
    classes: Sequence[str],
    *,
    decided: Collection[str] = (),
) -> list[Suspect]:
    """The suspects of a ranking, each image once, without those that a person has decided about.

    Args:
        ranking: of all images.
        labels: of each image, indices into `classes`.
        paths: the name of each image.
        pixel_hashes: of each image.
        classes: the class names.
        decided: hashes of the images with a decision.
    """
    seen, found = set(decided), list[Suspect]()
    for row in ranking.order[: ranking.suspects].tolist():
        if pixel_hashes[row] not in seen:
            seen.add(pixel_hashes[row])
            suggested, score = classes[ranking.suggested[row]], float(ranking.score[row])
            found.append(Suspect(len(found) + 1, paths[row], pixel_hashes[row], classes[labels[row]], suggested, score))
    return found


def with_earlier_decisions(suspects: Sequence[Suspect], path: Path, decided: Collection[str]) -> list[Suspect]:
    """The suspects with the decisions that a person wrote into an earlier table and did not add to `decisions.csv` yet.

    Those about images that are no longer suspects follow at the end, so that no decision is lost.

    Args:
        suspects: of a new audit.
        path: of the earlier table, which may be missing.
        decided: hashes of the images with a decision in `decisions.csv`.

    Raises:
        UserError: the earlier table cannot be read.
    """
    earlier: dict[str, Decision] = {}
    if path.exists():
        rows = decisions_in(path, COLUMNS, undecided=True)
        earlier = {one.pixel_hash: one for one in rows if one.pixel_hash not in decided}
    kept = []
    for suspect in suspects:
        decision = earlier.pop(suspect.pixel_hash, None)
        kept.append(replace(suspect, decision=decision.kind, label=decision.label or suspect.label) if decision else suspect)
    for number, one in enumerate(earlier.values(), len(kept) + 1):
        kept.append(Suspect(number, one.path, one.pixel_hash, "", one.label, 1.0, one.kind))
    return kept


def write_suspects(path: Path, suspects: Iterable[Suspect]) -> None:
    """Writes the table, the most suspect image first."""
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for one in suspects:
            writer.writerow([one.number, one.decision, one.label, one.given, f"{one.score:.6f}", one.path, one.pixel_hash])
