"""Writes `data/raw/` from a source: which files are images, their labels, what is left out and why.

Every file of the source is accepted, rejected with a reason, left out as a duplicate, or ignored because it is not meant to be
an image. Of images with equal pixels one is accepted; if their labels differ, none is. Images that the source assigns to a
split are all kept, including duplicates. Texts and annotations are ignored, unless their content is an image.
"""

import csv
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, TextIO

from resnet.core.checksums import RAW, write_sums
from resnet.core.classes import write_classes
from resnet.core.errors import UserError
from resnet.core.files import remove, replacing
from resnet.core.parallel import in_order
from resnet.core.words import agreeing
from resnet.images.decoding import ImageFacts, inspect
from resnet.images.manifest import COLUMNS
from resnet.images.outcomes import LONGEST_NAME, BadFile, Candidate, Ignored, Outcome, Reason, Rejected, shown
from resnet.images.perceptual_fingerprint import perceptual_fingerprint
from resnet.images.shards import SHARD_BYTES, ShardWriter, read_encoded
from resnet.ingestion.decisions import Decisions
from resnet.ingestion.duplicates import Duplicate, DuplicateFinder
from resnet.ingestion.labelling import Labelling, labelling_of
from resnet.ingestion.ledger import Ledger
from resnet.ingestion.relabelling import Relabelling
from resnet.ingestion.sources.source import Source

MANIFEST = "manifest.csv"
_NO_DECISIONS = Decisions()
_LONGEST_START = 16  # bytes; a text this short may begin as the header of an image does


def write_raw(
    folder: Path,
    source: Source,
    *,
    max_pixels: int,
    on_bad: Literal["quarantine", "fail"] = "quarantine",
    max_rejected: float = 1.0,
    min_images_per_class: int = 1,
    decisions: Decisions = _NO_DECISIONS,
    shard_bytes: int = SHARD_BYTES,
) -> Ledger:
    """Writes the images of a source in its order. The same source always gives the same bytes.

    Args:
        folder: is replaced atomically when all files are written.
        source: of at least two classes.
        max_pixels: images with more pixels, according to their header, are not decoded but rejected.
        on_bad: "quarantine" to list rejected files and leave them out, "fail" to stop at the first one.
        max_rejected: the largest allowed share of rejected files among all files that are not ignored.
        min_images_per_class: if more than 1, classes with fewer images are left out, and their images are listed. Images with
            several labels each are kept, without the labels of such classes.
        decisions: what people decided about labels. If there are any, `decided.csv` lists what became of
            them; see `resnet.ingestion.relabelling`.
        shard_bytes: the size of encoded images at which a new shard begins.

    Returns:
        The counts of all files.

    Raises:
        UserError: there are fewer than two classes or more than 65,536, a name of a class does not suit images with several
            labels, no images or too many rejected files, the decisions do not fit the source, or the disk is full.
    """
    labelling = labelling_of(source.classes, multi_label=source.multi_label)
    decisions.require_classes(source.classes, multi_label=source.multi_label)
    kept_list = folder.with_name("rejected.csv")
    remove(kept_list)
    with replacing(folder) as new:
        with Ledger(new, on_bad) as ledger:
            ledger.classes = source.classes
            write_classes(new / "classes.json", source.classes)
            examined = in_order(partial(_examine, max_pixels=max_pixels, labelling=labelling), source.files())
            relabelling = Relabelling(decisions, labelling)
            outcomes = (_relabelled(outcome, relabelling) for outcome in examined)
            duplicates = _write_readable(new, labelling, outcomes, ledger, shard_bytes).find()
            relabelling.finish(new, ledger)
            small = _small_classes(new, labelling, duplicates, ledger, min_images_per_class)
            if duplicates or small:
                left_out = _LeftOut(labelling, duplicates, small)
                _leave_out(new, left_out, min_images_per_class, ledger)
                labelling = labelling.fewer(small)
                ledger.classes = labelling.classes
                _rewrite(new, left_out, labelling, shard_bytes)
            # The sets of images are known only now: decisions change them, and small classes leave them.
            used = [label for label, images in ledger.images.items() if images]
            write_classes(new / "classes.json", labelling.classes, labelling.sets(used))
        try:
            ledger.check(max_rejected)
        except UserError as error:  # keep the list: it may have taken hours to make
            shutil.copy(new / "rejected.csv", kept_list)
            them = agreeing(ledger.rejected.total() + ledger.set_aside.total(), "it", "all of them")
            raise UserError(f"{str(error).rstrip('.')}; {kept_list} lists {them}.") from error
        write_sums(new / RAW)
    return ledger


@dataclass(frozen=True)
class _Image:
    file: Candidate
    facts: ImageFacts
    fingerprint: bytes
    encoded: bytes


def _examine(file: Outcome, max_pixels: int, labelling: Labelling) -> _Image | Rejected | Ignored:
    if not isinstance(file, Candidate):
        return file
    if labelling.multi_label:
        file = replace(file, label=labelling.text(file.label))
    if "\r" in file.path + file.label:
        return Rejected(file.path, Reason.NAME_NOT_USABLE, "a carriage return, which CSV readers take for the end of a line")
    if len(file.path) + len(file.label) > LONGEST_NAME:
        return Rejected(
            shown(file.path), Reason.NAME_NOT_USABLE, f"path and label together have more than {LONGEST_NAME} characters"
        )
    encoded = None
    try:
        encoded = file.read()
        facts, looks = inspect(encoded, max_pixels, perceptual_fingerprint)
    except BadFile as bad:
        if file.unlikely and _is_no_image(encoded, bad.reason):
            return Ignored(file.path)
        return Rejected(file.path, bad.reason, bad.detail)
    return _Image(file, facts, looks, encoded)


def _is_no_image(encoded: bytes | None, reason: Reason) -> bool:
    """Whether a file is no image at all, rather than a bad one; `encoded` is None if it could not be read or is too long."""
    if encoded is None:
        return reason == Reason.TOO_LARGE
    return reason in (Reason.NOT_AN_IMAGE, Reason.EMPTY) or len(encoded) < _LONGEST_START


def _relabelled(outcome: _Image | Rejected | Ignored, relabelling: Relabelling) -> _Image | Rejected | Ignored:
    if not isinstance(outcome, _Image):
        return outcome
    file = relabelling.applied(outcome.file, outcome.facts.pixel_hash)
    return file if isinstance(file, Rejected) else replace(outcome, file=file)


def _write_readable(
    folder: Path, labelling: Labelling, outcomes: Iterable[_Image | Rejected | Ignored], ledger: Ledger, shard_bytes: int
) -> DuplicateFinder:
    """Writes the shards and the manifest of all readable images, duplicates included."""
    numbers: dict[str, int] = {}
    finder = DuplicateFinder()
    with _new_manifest(folder) as file, _shards(folder, labelling, shard_bytes) as shards:
        manifest = csv.writer(file, lineterminator="\n")
        manifest.writerow(COLUMNS)
        for outcome in outcomes:
            if isinstance(outcome, Ignored):
                ledger.ignore(outcome.path)
            elif isinstance(outcome, Rejected):
                ledger.reject(outcome)
            else:
                label = numbers.setdefault(outcome.file.label, len(numbers))
                shards.add(outcome.file.path, labelling.stored(outcome.file.label), outcome.encoded)
                manifest.writerow(_row(outcome))
                finder.add(outcome.facts.pixel_hash, label, has_split=outcome.file.split is not None)
                ledger.accept(outcome.file.label, outcome.file.split)
    return finder


def _shards(folder: Path, labelling: Labelling, shard_bytes: int) -> ShardWriter:
    return ShardWriter(folder, labelling.classes, shard_bytes, multi_label=labelling.multi_label)


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


def _small_classes(
    folder: Path, labelling: Labelling, duplicates: dict[int, Duplicate], ledger: Ledger, least: int
) -> Counter[str]:
    """The classes with fewer images than asked for, without duplicates, and the number of their images."""
    if least <= 1:
        return Counter()
    left_out = Counter(row["label"] for number, row in enumerate(_rows(folder)) if number in duplicates)
    images = labelling.by_class(ledger.images)
    images.subtract(labelling.by_class(left_out))
    return Counter({name: images[name] for name in labelling.classes if images[name] < least})


@dataclass(frozen=True)
class _LeftOut:
    """The duplicates and the classes to leave out; `small` has the number of images of each class."""

    labelling: Labelling
    duplicates: dict[int, Duplicate]
    small: Counter[str]

    def left(self, number: int, label: str) -> str | None:
        """What is left of the label of the image in a row; None if the image is left out."""
        return None if number in self.duplicates else self.labelling.without(label, self.small)


def _leave_out(folder: Path, left_out: _LeftOut, least: int, ledger: Ledger) -> None:
    """Lists the duplicates and the images of small classes; counts those that lose only some of their labels."""
    duplicates, small = left_out.duplicates, left_out.small
    others = {duplicate.other for duplicate in duplicates.values()}
    named = {number: row for number, row in enumerate(_rows(folder)) if number in others}
    for number, row in enumerate(_rows(folder)):
        path, label = row["path"], row["label"]
        left = left_out.left(number, label)
        if left == label:
            continue
        ledger.withdraw(label)
        if number in duplicates:
            _list_duplicate(row, named[duplicates[number].other], duplicates[number].conflict, ledger)
        elif left is None:
            detail = f"class {label!r} has fewer images ({small[label]}) than ingest.min_images_per_class asks for ({least})"
            ledger.reject(Rejected(path, Reason.SMALL_CLASS, detail))
        else:
            ledger.accept(left)
            ledger.shortened += 1


def _list_duplicate(row: dict[str, str], other: dict[str, str], conflict: bool, ledger: Ledger) -> None:
    if conflict:
        detail = f"labelled {row['label']!r}, but {other['path']!r} has the same pixels and is labelled {other['label']!r}"
        ledger.reject(Rejected(row["path"], Reason.LABEL_CONFLICT, detail))
    else:
        ledger.leave_out(row["path"], other["path"])


def _rewrite(folder: Path, left_out: _LeftOut, kept: Labelling, shard_bytes: int) -> None:
    """Writes the shards and the manifest again, without duplicates and without small classes.

    A label conflict can come to light with the last file, and so can the size of a class. The images are copied from the first
    shards, because the source may be slow to read again.
    """
    readable = folder / "readable"
    readable.mkdir()
    for path in [folder / MANIFEST, *folder.glob("images-*.parquet")]:
        path.rename(readable / path.name)
    encoded = read_encoded(readable, (row["path"] for row in _rows(readable)))
    with _new_manifest(folder) as file, _shards(folder, kept, shard_bytes) as shards:
        manifest = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        manifest.writeheader()
        for number, (row, image) in enumerate(zip(_rows(readable), encoded, strict=True)):
            label = left_out.left(number, row["label"])
            if label is not None:
                shards.add(row["path"], kept.stored(label), image)
                manifest.writerow(row | {"label": label})
    remove(readable)


def _rows(folder: Path) -> Iterator[dict[str, str]]:
    with (folder / MANIFEST).open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)
