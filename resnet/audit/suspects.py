"""The images whose labels a person should look at, and `suspects.csv`, the table in which the person decides."""

import csv
import itertools
import shutil
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from resnet.core.errors import UserError
from resnet.core.files import replacing
from resnet.ingestion.decisions import COLUMNS as OF_DECISIONS
from resnet.ingestion.decisions import RELABEL, Decision, by_hash, csv_table, decision_of, hash_of, kind_of, require_columns
from resnet.ingestion.sources.rows import TableFile

if TYPE_CHECKING:
    from resnet.audit.ranking import Ranking

# People edit `decision` and `suggested`; `audit_suggested` shows to a later audit whether somebody changed `suggested`.
COLUMNS = ("number", "decision", "suggested", "given", "score", "path", "pixel_hash", "audit_suggested")
_NEEDED = COLUMNS[:-1]


@dataclass(frozen=True)
class Suspect:
    """An image whose label is probably wrong.

    Attributes:
        number: from 1, the most suspect first.
        path: its name in the source.
        pixel_hash: of its pixels, 64 hexadecimal digits.
        given: its label; empty if it is listed for an earlier decision only, and is no longer a suspect.
        suggested: the most probable other class, or the class that a person wrote.
        score: from 0 to 1, lower is more suspect.
        decision: of a person, or empty.
        audit_suggested: the most probable other class if a person wrote `suggested`, otherwise empty.
    """

    number: int
    path: str
    pixel_hash: str
    given: str
    suggested: str
    score: float
    decision: str = ""
    audit_suggested: str = ""


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


def decisions_in(path: Path) -> dict[str, Decision]:
    """The decisions in a table of suspects by the hash of the image; rows without a decision are skipped.

    Args:
        path: of the table, which exists.

    Raises:
        UserError: the table cannot be read, has a row that is no decision, or two decisions about one image.
    """
    rows = _suspects_table(path).rows()
    return by_hash(path, (decision_of(path, line, row, "suggested") for line, row in rows if kind_of(row)))


def _suspects_table(path: Path) -> TableFile:
    table = csv_table(path)
    header = table.header()
    if set(OF_DECISIONS) <= set(header) and "suggested" not in header:
        raise UserError(
            f"{path} is a table of decisions, as data/decisions.csv is, which `ingest` reads, but expected is a table of "
            "suspects: name the suspects.csv of an audit, or edit data/decisions.csv itself."
        )
    require_columns(path, header, _NEEDED, empty="remove it, and `python -m flows.audit` writes a new one")
    return table


def with_earlier_decisions(
    suspects: Sequence[Suspect], path: Path, decided: Collection[str], images: Collection[str] | None = None
) -> list[Suspect]:
    """The suspects with what a person wrote into an earlier table and did not add to `decisions.csv` yet.

    That is the decisions, and classes in the column `suggested`. Those about images that are no longer suspects follow at the
    end, so that nothing is lost.

    Args:
        suspects: of a new audit.
        path: of the earlier table, which may be missing.
        decided: hashes of the images with a decision in `decisions.csv`.
        images: hashes of the images of the new audit. What the table says about others is left out; None: nothing is.

    Raises:
        UserError: as `decisions_in`, for the earlier table.
    """
    earlier = _undecided(path, decided)
    earlier = {key: one for key, one in earlier.items() if images is None or key in images}
    kept = [_merged(suspect, earlier.pop(suspect.pixel_hash, None)) for suspect in suspects]
    return kept + [replace(one, number=number) for number, one in enumerate(earlier.values(), len(kept) + 1)]


def keep_other_images(path: Path, decided: Collection[str], images: Collection[str]) -> tuple[int, Path] | None:
    """Copies an earlier table, if a person wrote into rows of it about images that the new audit does not have.

    Args:
        path: of the earlier table, which may be missing.
        decided: hashes of the images with a decision in `decisions.csv`.
        images: hashes of the images of the new audit.

    Returns:
        The number of such rows, and the copy, which has a name of its own; None if there are no such rows.

    Raises:
        UserError: as `decisions_in`, for the earlier table.
    """
    rows = sum(key not in images for key in _undecided(path, decided))
    if not rows:
        return None
    names = (path.with_name(f"{path.stem}-of-other-images-{number}{path.suffix}") for number in itertools.count(1))
    copy = next(name for name in names if not name.exists())
    shutil.copyfile(path, copy)
    return rows, copy


def _undecided(path: Path, decided: Collection[str]) -> dict[str, Suspect]:
    """What a person wrote into a table, but for images with a decision in `decisions.csv`; nothing if it is missing."""
    return {key: one for key, one in _written(path).items() if key not in decided} if path.exists() else {}


def _merged(suspect: Suspect, earlier: Suspect | None) -> Suspect:
    """A suspect with what a person wrote into its earlier row; a class that only an audit suggested gives way to a new one."""
    if earlier is None:
        return suspect
    is_written = earlier.decision == RELABEL or earlier.audit_suggested
    if is_written and earlier.suggested != suspect.suggested:
        suspect = replace(suspect, suggested=earlier.suggested, audit_suggested=suspect.suggested)
    return replace(suspect, decision=earlier.decision)


def _written(path: Path) -> dict[str, Suspect]:
    """The rows in which a person wrote something, by the hash of the image, without number, label and score."""
    decisions = decisions_in(path)
    found = {key: Suspect(0, one.path, key, "", one.label, 1.0, one.kind) for key, one in decisions.items()}
    for _, row in _suspects_table(path).rows():
        key, suggested, by_audit = hash_of(row), row.get("suggested", ""), row.get("audit_suggested", "")
        if suggested and by_audit and suggested != by_audit:
            found.setdefault(key, Suspect(0, row.get("path", ""), key, "", suggested, 1.0))
            found[key] = replace(found[key], audit_suggested=by_audit)
    return found


def write_suspects(path: Path, suspects: Iterable[Suspect]) -> None:
    """Writes the table, the most suspect image first."""
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for one in suspects:
            names = (one.number, one.decision, one.suggested, one.given, f"{one.score:.6f}", one.path, one.pixel_hash)
            writer.writerow([*names, one.audit_suggested or one.suggested])
