"""Copies the images of a source into `data/raw/` unchanged, with their labels; reports what was left out and why."""

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from resnet.core.errors import listed, printable
from resnet.core.words import agreeing, counted
from tasks.stage.command import main
from tasks.stage.params import MOST, Section

if TYPE_CHECKING:
    from resnet.ingestion.ledger import Ledger
    from resnet.ingestion.sources.source import Source


class Ingest(Section):
    """Parameters of the stage `ingest`."""

    source: str = Field(
        min_length=1,
        description="builtin/digits, a folder, an archive, a .csv, a .parquet, s3://..., or tfds:NAME; see data/README.md",
    )
    path_column: str = Field(
        min_length=1, description="column of a table that names the images, or of a .parquet with the images; auto: by its name"
    )
    label_column: str = Field(min_length=1, description="column of a table or a .parquet with the classes; auto: by its name")
    image_folder: str = Field(
        min_length=1, description="folder that the paths of a table start from; auto: its own, images, train, or of its name"
    )
    on_bad: Literal["quarantine", "fail"] = Field(
        description="files that are not usable images: quarantine lists and skips them, fail stops the run"
    )
    max_rejected: float = Field(ge=0, le=1, description="largest share of rejected files; the run stops above it")
    max_pixels: int = Field(ge=1, le=2**32, description="images with more pixels are rejected without decoding")
    min_images_per_class: int = Field(ge=1, le=MOST, description="classes with fewer images are left out; 1 keeps all classes")
    # For Python, and so for pydantic, true is 1.
    class_level: Annotated[
        Literal["auto", 1, 2, 3, 4, 5, 6, 7, 8], BeforeValidator(lambda value: "true" if value is True else value)
    ] = Field(description="level of the folders that name the classes, 1 for those directly in the source; auto finds it")
    multi_label: Annotated[Literal["auto"] | bool, WithJsonSchema({"enum": ["auto", False, True]})] = Field(
        description="true: several labels an image, as a|b; false: one; auto: by lists, or by a|b in a column labels"
    )


def ingest(params: Ingest, *, decisions_csv: Path, raw: Path) -> None:
    """Reads the source and writes its images, their labels, and lists of everything that was left out."""
    from resnet.core.classes import confusable
    from resnet.ingestion.decisions import read_decisions
    from resnet.ingestion.labelling import labelling_of
    from resnet.ingestion.raw_data import write_raw
    from resnet.ingestion.sources.catalog import open_source

    decisions = read_decisions(decisions_csv)  # before the source, which may take minutes to look through
    source = open_source(
        params.source,
        class_level=None if params.class_level == "auto" else params.class_level,
        path_column=params.path_column,
        label_column=params.label_column,
        image_folder=params.image_folder,
        multi_label=None if params.multi_label == "auto" else params.multi_label,
    )
    if source.multi_label:
        print(
            "ingest: images have several labels each, or none; empty labels mean none of the classes (ingest.multi_label: "
            "false for one label each)"
        )
    for note in [*source.notes, *confusable(source.classes)]:
        print(f"ingest: {note}")
    ledger = write_raw(
        raw,
        source,
        max_pixels=params.max_pixels,
        on_bad=params.on_bad,
        max_rejected=params.max_rejected,
        min_images_per_class=params.min_images_per_class,
        decisions=decisions,
    )
    by_class = labelling_of(ledger.classes, multi_label=source.multi_label).by_class(ledger.images)
    found = f"{counted(ledger.accepted, 'image')} of {counted(len(ledger.classes), 'class', 'classes')}"
    print(f"ingest: {found} from {printable(params.source)}")
    small = [name for name in source.classes if name not in ledger.classes]
    for note in [
        *_decided(ledger, decisions_csv, len(decisions)),
        *_left_out(ledger, raw),
        *_small(small, params.min_images_per_class, ledger.shortened if source.multi_label else None),
        *_empty(ledger.classes, by_class),
        *(_everywhere(by_class, ledger.accepted) if source.multi_label else []),
        *_unused(source, ledger),
    ]:
        print(f"ingest: {note}")


def _decided(ledger: "Ledger", decisions_csv: Path, decisions: int) -> list[str]:
    """Notes on what the decisions about labels changed, and on those that are about no image."""
    notes = []
    if decisions:
        labels, left_out = counted(ledger.decided["relabel"], "label"), counted(ledger.decided["leave out"], "image")
        notes.append(f"decisions in {decisions_csv} changed {labels} and left out {left_out}")
    if ledger.unmatched:
        unmatched = f"{ledger.unmatched:,} of {counted(decisions, 'decision')} in {decisions_csv}"
        verb = agreeing(ledger.unmatched, "is", "are")
        notes.append(f"warning: {unmatched} {verb} about no image of the source")
    return notes


def _left_out(ledger: "Ledger", raw: Path) -> list[str]:
    """A note on the files that are not among the images; empty if there are none."""
    parts = []
    if ledger.rejected:
        parts.append(f"{ledger.rejected.total():,} rejected ({ledger.reasons()}), see {raw / 'rejected.csv'}")
    parts += [f"{one}, see {raw / 'rejected.csv'}" for one in ledger.set_aside_in_words()]
    if ledger.duplicates:
        parts.append(f"{counted(ledger.duplicates, 'duplicate')}, see {raw / 'duplicates.csv'}")
    if ledger.ignored:
        ignored = f"{ledger.ignored:,} ignored as {agreeing(ledger.ignored, 'no image', 'no images')}"
        parts.append(f"{ignored}, see {raw / 'ignored.csv'}")
    return [f"left out of {counted(ledger.files, 'file')}: {'; '.join(parts)}"] if parts else []


def _small(names: list[str], least: int, shortened: int | None = None) -> list[str]:
    """A note on the classes that were left out; `shortened` is the number of images that lost labels instead."""
    classes = counted(len(names), "class", "classes")
    images = "" if shortened is None else f", from the labels of {counted(shortened, 'image')}, which stay"
    return [f"left out {classes} with fewer than {counted(least, 'image')}{images}: {listed(names)}"] if names else []


def _empty(classes: list[str], images: Counter[str]) -> list[str]:
    names = [name for name in classes if not images[name]]
    return [f"without an image: {listed(names)}; preprocess will refuse them"] if names else []


def _everywhere(images: Counter[str], whole: int) -> list[str]:
    names = [name for name, count in images.items() if count == whole]
    if not names:
        return []
    labels, them = agreeing(len(names), "label", "labels"), agreeing(len(names), "it", "them")
    return [f"warning: every image has the {labels} {listed(names)}, so there is nothing to learn about {them}"]


def _unused(source: "Source", ledger: "Ledger") -> list[str]:
    """A note for each split of the source whose files are all unusable."""
    return [
        f"no file of the {split} split that the source gives is usable; preprocess cuts it from the training images"
        for split in source.splits
        if split not in (*ledger.splits, "training")
    ]


if __name__ == "__main__":
    sys.exit(main("ingest"))
