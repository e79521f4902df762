"""Decodes and resizes every image once, and decides once which split it is in."""

import csv
import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

from pydantic import Field

from resnet.data.arrays import SplitWriter
from resnet.data.classes import read_classes, write_classes
from resnet.data.images import decode, resize_and_crop
from resnet.data.manifest import Entry, read_manifest
from resnet.data.splits import SPLITS, assign_splits
from resnet.errors import UserError
from resnet.files import replacing
from tasks.params import Section
from tasks.stage import main

Share = Annotated[float, Field(gt=0, lt=1)]


class Preprocess(Section):
    """Parameters of `preprocess`, see `params.yaml`."""

    image_size: Annotated[int, Field(ge=32, le=1024)]
    validation_share: Share
    test_share: Share
    split_seed: Annotated[int, Field(ge=0)]

    def check(self, whole: Mapping[str, Section]) -> None:
        """The splits leave images to train with."""
        held_out = self.validation_share + self.test_share
        if held_out >= 1:
            raise UserError(
                f"preprocess.validation_share and test_share add up to {held_out:g}, which leaves nothing to train with; "
                "together they must stay below 1."
            )


def preprocess(params: Preprocess, *, raw: Path, prepared: Path) -> None:
    """Writes each split's images as uint8 arrays, and which image went where."""
    classes = read_classes(raw / "classes.json")
    entries = read_manifest(raw, classes)
    splits = assign_splits(
        [entry.label for entry in entries],
        [entry.sha256 for entry in entries],
        classes,
        validation_share=params.validation_share,
        test_share=params.test_share,
        seed=params.split_seed,
    )
    with replacing(prepared) as partial:
        partial.mkdir()
        write_classes(partial / "classes.json", classes)
        _write_index(partial / "index.csv", entries, splits, classes)
        _write_splits(partial, raw, entries, splits, params.image_size)
    counts = Counter(splits)
    print(f"preprocess: {', '.join(f'{counts[split]:,} {split}' for split in SPLITS)} images of {params.image_size} pixels")


def _write_splits(folder: Path, raw: Path, entries: list[Entry], splits: list[str], size: int) -> None:
    from resnet.data.raw import read_encoded

    counts = Counter(splits)
    with ExitStack() as stack:
        writers = {split: stack.enter_context(SplitWriter(folder / split, counts[split], size)) for split in SPLITS}
        for (entry, encoded), split in zip(read_encoded(raw, entries), splits, strict=True):
            writers[split].add(resize_and_crop(decode(encoded, entry.path), size), entry.label)


def _write_index(path: Path, entries: list[Entry], splits: list[str], classes: list[str]) -> None:
    """`row` is the image's place in the arrays of its split."""
    rows: Counter[str] = Counter()
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["path", "label", "split", "row"])
        for entry, split in zip(entries, splits, strict=True):
            writer.writerow([entry.path, classes[entry.label], split, rows[split]])
            rows[split] += 1


if __name__ == "__main__":
    sys.exit(main("preprocess"))
