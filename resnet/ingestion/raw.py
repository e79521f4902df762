"""From a source to `data/raw/`: what is an image, what is its label, what is left out and why.

Every file of the source ends as one of four: accepted, rejected with a reason, left out as a duplicate, or ignored because it
is no image by design. Of images of equal pixels one is accepted, and if they have different labels none is. Images whose
split the source gives stay as given, copies included.
"""

import csv
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TextIO

from resnet.core.checksums import RAW, write_sums
from resnet.core.classes import write_classes
from resnet.core.errors import UserError
from resnet.core.files import remove, replacing
from resnet.core.parallel import in_order
from resnet.images.decoding import ImageFacts, inspect
from resnet.images.manifest import COLUMNS
from resnet.images.outcomes import LONGEST_NAME, BadFile, Candidate, Ignored, Outcome, Reason, Rejected, shown
from resnet.images.perceptual_fingerprint import perceptual_fingerprint
from resnet.images.shards import SHARD_BYTES, ShardWriter, read_encoded
from resnet.ingestion.copies import Copies, LeftOut
from resnet.ingestion.ledger import Ledger
from resnet.ingestion.sources.source import Source

MANIFEST = "manifest.csv"


def write_raw(
    folder: Path,
    source: Source,
    *,
    max_pixels: int,
    on_bad: Literal["quarantine", "fail"] = "quarantine",
    max_rejected: float = 1.0,
    shard_bytes: int = SHARD_BYTES,
) -> Ledger:
    """Writes the images of a source in its order; the same source always makes the same bytes.

    Args:
        folder: takes the place of an older one when it is whole.
        source: of at least two classes.
        max_pixels: an image whose header says more is not decoded.
        on_bad: whether a rejected file is listed and left out, or ends the run.
        max_rejected: the share of rejects, ignored files not counted, above which the run ends.
        shard_bytes: size of the encoded images at which a new shard begins.

    Returns:
        The account of all files.

    Raises:
        UserError: fewer than two classes, more than 65,536, no image, too many rejects, or a full disk.
    """
    kept_list = folder.with_name("rejected.csv")
    remove(kept_list)
    with replacing(folder) as new:
        with Ledger(new, on_bad) as ledger:
            write_classes(new / "classes.json", source.classes)
            outcomes = in_order(partial(_examine, max_pixels=max_pixels), source.files())
            left_out = _write_readable(new, source.classes, outcomes, ledger, shard_bytes).left_out()
            if left_out:
                _rewrite(new, source.classes, left_out, ledger, shard_bytes)
        try:
            ledger.check(max_rejected)
        except UserError as error:  # what is wrong with which file took long to find out
            shutil.copy(new / "rejected.csv", kept_list)
            raise UserError(f"{str(error).rstrip('.')}; {kept_list} lists all.") from error
        write_sums(new / RAW)
    return ledger


@dataclass(frozen=True)
class _Image:
    file: Candidate
    facts: ImageFacts
    fingerprint: bytes
    encoded: bytes


def _examine(file: Outcome, max_pixels: int) -> _Image | Rejected | Ignored:
    if not isinstance(file, Candidate):
        return file
    if "\r" in file.path + file.label:
        return Rejected(file.path, Reason.NAME_NOT_USABLE, "a carriage return, which readers of CSV take for the end of a line")
    if len(file.path) + len(file.label) > LONGEST_NAME:
        return Rejected(shown(file.path), Reason.NAME_NOT_USABLE, f"names of more than {LONGEST_NAME} characters")
    try:
        encoded = file.read()
        facts, looks = inspect(encoded, max_pixels, perceptual_fingerprint)
    except BadFile as bad:
        return Rejected(file.path, bad.reason, bad.detail)
    return _Image(file, facts, looks, encoded)


def _write_readable(
    folder: Path, classes: list[str], outcomes: Iterable[_Image | Rejected | Ignored], ledger: Ledger, shard_bytes: int
) -> Copies:
    """Writes shards and manifest of all images, copies included."""
    numbers = {name: number for number, name in enumerate(classes)}
    copies = Copies()
    with _new_manifest(folder) as file, ShardWriter(folder, classes, shard_bytes) as shards:
        manifest = csv.writer(file, lineterminator="\n")
        manifest.writerow(COLUMNS)
        for outcome in outcomes:
            if isinstance(outcome, Ignored):
                ledger.ignore(outcome.path)
            elif isinstance(outcome, Rejected):
                ledger.reject(outcome)
            else:
                label = numbers[outcome.file.label]
                shards.add(outcome.file.path, label, outcome.encoded)
                manifest.writerow(_row(outcome))
                copies.add(outcome.facts.pixel_hash, label, given=outcome.file.split is not None)
                ledger.accept(outcome.file.label)
    return copies


def _new_manifest(folder: Path) -> TextIO:
    return (folder / MANIFEST).open("w", encoding="utf-8", newline="")


def _row(image: _Image) -> list[object]:
    file, facts = image.file, image.facts
    return [
        file.path,
        file.label,
        file.split,
        file.group,
        facts.width,
        facts.height,
        facts.format,
        facts.sha256,
        facts.pixel_hash,
        image.fingerprint.hex(),
        ";".join(facts.flags),
    ]


def _rewrite(folder: Path, classes: list[str], left_out: dict[int, LeftOut], ledger: Ledger, shard_bytes: int) -> None:
    """Writes shards and manifest again without what is to be left out.

    Whether an image is there under two labels is known only at the end, and the source may be slow to read again.
    """
    readable = folder / "readable"
    readable.mkdir()
    for path in [folder / MANIFEST, *folder.glob("images-*.parquet")]:
        path.rename(readable / path.name)
    numbers = {name: number for number, name in enumerate(classes)}
    others = {reason.other for reason in left_out.values()}
    named = {number: row for number, row in enumerate(_rows(readable)) if number in others}
    encoded = read_encoded(readable, (row["path"] for row in _rows(readable)))
    with _new_manifest(folder) as file, ShardWriter(folder, classes, shard_bytes) as shards:
        manifest = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        manifest.writeheader()
        for number, (row, image) in enumerate(zip(_rows(readable), encoded, strict=True)):
            if number in left_out:
                _note(row, named[left_out[number].other], left_out[number].conflict, ledger)
            else:
                shards.add(row["path"], numbers[row["label"]], image)
                manifest.writerow(row)
    remove(readable)


def _rows(folder: Path) -> Iterator[dict[str, str]]:
    with (folder / MANIFEST).open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _note(row: dict[str, str], other: dict[str, str], conflict: bool, ledger: Ledger) -> None:
    ledger.accept(row["label"], -1)
    if conflict:
        detail = f"labelled {row['label']!r}, but the same image is there as {other['path']!r}, labelled {other['label']!r}"
        ledger.reject(Rejected(row["path"], Reason.LABEL_CONFLICT, detail))
    else:
        ledger.leave_out(row["path"], other["path"])
