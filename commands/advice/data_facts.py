"""What `advise` knows of the data: numbers, original sizes, balance, and whether mirror images look alike.

It reads `data/raw/`, which `ingest` writes. The splits are those that `preprocess` will make of it. Only training images are
looked at.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from commands.advice.mirror import SIDE, MirrorTest, try_mirrors
from commands.advice.rules import ENOUGH_VALIDATION, few_validation
from resnet.core.classes import read_classes, read_label_sets, read_label_texts
from resnet.core.errors import damaged_input
from resnet.core.label_sets import LabelSets
from resnet.core.parallel import in_order
from resnet.core.tables import SPLITS, read_table
from resnet.core.words import counted
from resnet.images.decoding import load
from resnet.images.manifest import Manifest, read_manifest
from resnet.images.outcomes import BadFile
from resnet.preparation.class_pairs import images_by_class
from resnet.preparation.similar_pairs import find_similar
from resnet.preparation.splits import TRAINING
from tasks.preprocess import Preprocess, assign
from tasks.stage.params import Params

_CLASSES = 50  # or sets, of which images are taken for the test, those with the most: its time grows with their square
_NEARLY = 0.8  # of the wanted validation images: with more, the share stays as it is
_SAMPLE = 1000  # images for the test of mirror images: about 10 s with photographs on 2 cores
_GROUPS = 64  # row groups of 16 MB that are read for them


@dataclass(frozen=True)
class DataFacts:
    """The data.

    Attributes:
        source: as in `ingest.source`.
        images: number of images in each split: training, validation, test.
        classes: number of classes.
        rarest: training images of the class that has the fewest.
        largest: training images of the class that has the most.
        short_side: the shorter side of an original image in pixels, as the median.
        mirror: the test of mirror images.
        validation_share: `preprocess.validation_share` for these numbers; raised where it gave too few validation images.
        multi_label: whether images have several labels each. The test of mirror images is then of whole sets.
    """

    source: str
    images: tuple[int, int, int]
    classes: int
    rarest: int
    largest: int
    short_side: int
    mirror: MirrorTest
    validation_share: float = 0.1
    multi_label: bool = False

    @property
    def are_small(self) -> bool:
        """Whether the images are as small as those that docs/recipes.md measures as small."""
        return self.short_side <= 64

    def sentence(self) -> str:
        """The data in one line."""
        numbers = ", ".join(f"{count:,} {split}" for count, split in zip(self.images, SPLITS, strict=True))
        several = ", several for an image" if self.multi_label else ""
        few = f"; {few_validation(self.images[1])}" if self.images[1] < ENOUGH_VALIDATION else ""
        return (
            f"{self.source}: {numbers} images of {self.classes:,} classes{several}; the shorter side has "
            f"{counted(self.short_side, 'pixel')} (median); {self.rarest:,} to {self.largest:,} training images in a class{few}"
        )


@dataclass(frozen=True)
class Sample:
    """Some training images in their original encoding; `labels` are (images,) int64."""

    encoded: list[bytes]
    labels: npt.NDArray[np.int64]


def read_facts(raw: Path, params: Params) -> tuple[DataFacts, Sample]:
    """Reads the tables of `data/raw/`, and a sample of the training images.

    Raises:
        UserError: a file is missing or damaged, or the images cannot be split.
    """
    classes, sets = read_classes(raw / "classes.json"), read_label_sets(raw / "classes.json")
    texts = read_label_texts(raw / "classes.json")
    manifest = read_manifest(raw, texts)
    splits, validation_share = _splits(params.section(Preprocess), manifest, classes, sets)
    counts = np.bincount(splits, minlength=len(SPLITS)).tolist()
    of_training = manifest.labels[splits == TRAINING]
    of_class = images_by_class(of_training, sets, len(classes))
    sizes = read_table(raw / "manifest.csv", {"width": "int64", "height": "int64"})
    frequent = np.argsort(-np.bincount(of_training, minlength=len(texts)), kind="stable")[:_CLASSES]
    sample = take_sample(raw, manifest, np.flatnonzero((splits == TRAINING) & np.isin(manifest.labels, frequent)))
    facts = DataFacts(
        params.value("ingest.source", str),
        (counts[0], counts[1], counts[2]),
        len(classes),
        int(of_class.min()),
        int(of_class.max()),
        int(np.median(np.minimum(sizes["width"], sizes["height"]))),
        try_mirrors(small_copies(raw, sample), sample.labels, texts),
        validation_share,
        sets is not None,
    )
    return facts, sample


def _splits(
    params: Preprocess, manifest: Manifest, classes: list[str], sets: LabelSets | None
) -> tuple[npt.NDArray[np.int8], float]:
    """The splits that `preprocess` will make, (images,) int8, and the share of validation that gives enough of its images."""
    together = find_similar(manifest, near=True) if params.near_duplicates == "together" else None
    splits = assign(params, manifest, classes, together, sets)
    given = set() if params.fold else {*manifest.splits}
    if "validation" in given:
        return splits, params.validation_share
    training, validation, test = np.bincount(splits, minlength=len(SPLITS)).tolist()
    rest = training + validation
    wanted = min(ENOUGH_VALIDATION, rest / 5)
    # A share of all images, or of those that are not in a test split which is fixed otherwise.
    share = math.ceil(100 * wanted / (rest if params.fold or "test" in given else rest + test)) / 100
    if validation >= _NEARLY * wanted or share <= params.validation_share:
        return splits, params.validation_share
    return assign(params.model_copy(update={"validation_share": share}), manifest, classes, together, sets), share


def take_sample(raw: Path, manifest: Manifest, rows: npt.NDArray[np.int64]) -> Sample:
    """A sample of some images, from all parts of the shards.

    Args:
        raw: `data/raw/`.
        manifest: of all images.
        rows: those to choose from.

    Raises:
        UserError: a shard is damaged or holds other images than the manifest lists.
    """
    wanted = np.zeros(len(manifest), np.bool_)
    wanted[rows] = True
    groups = list(_groups(raw))
    if sum(length for *_, length in groups) != len(manifest):
        raise damaged_input(raw, f"its manifest lists {counted(len(manifest), 'image')}, but its shards hold another number")
    starts = np.cumsum([0, *(length for *_, length in groups)])
    chosen = np.unique(np.linspace(0, len(groups) - 1, min(_GROUPS, len(groups))).round().astype(int))
    near = np.concatenate([np.arange(starts[number], starts[number + 1]) for number in chosen])
    near = near[wanted[near]]
    taken = np.sort(np.random.default_rng(0).permutation(near)[:_SAMPLE])
    encoded: list[bytes] = []
    for number in chosen:
        own = taken[(taken >= starts[number]) & (taken < starts[number + 1])]
        if len(own):
            encoded += _read(groups[number][0], groups[number][1], own - starts[number], [manifest.paths[row] for row in own])
    return Sample(encoded, manifest.labels[taken].astype(np.int64))


def _groups(raw: Path) -> Iterator[tuple[Path, int, int]]:
    """The row groups of all shards in order: the file, the number in it, and how many images it has."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for shard in sorted(raw.glob("images-*.parquet")):
        try:
            facts = pq.ParquetFile(shard).metadata
        except (pa.ArrowException, OSError) as error:
            raise damaged_input(shard, error) from error
        yield from ((shard, number, facts.row_group(number).num_rows) for number in range(facts.num_row_groups))


def _read(shard: Path, group: int, rows: npt.NDArray[np.int64], paths: list[str]) -> list[bytes]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        images = pq.ParquetFile(shard).read_row_group(group, columns=["image"])["image"].take(rows).to_pylist()
        found = [image["path"] for image in images]
    except (pa.ArrowException, OSError, KeyError, TypeError) as error:
        raise damaged_input(shard, error) from error
    for path, other in zip(paths, found, strict=True):
        if path != other:
            raise damaged_input(shard, f"the manifest lists {path} where it holds {other}")
    return [image["bytes"] for image in images]


def small_copies(raw: Path, sample: Sample) -> npt.NDArray[np.uint8]:
    """The sample at `SIDE` pixels: (images, SIDE, SIDE, 3) uint8.

    Raises:
        UserError: an image no longer decodes.
    """
    return np.stack(list(in_order(lambda encoded: _load(raw, encoded, SIDE), sample.encoded)))


def _load(raw: Path, encoded: bytes, size: int) -> npt.NDArray[np.uint8]:
    try:
        return load(encoded, size)
    except BadFile as bad:
        raise damaged_input(raw, f"one of its images no longer decodes: {bad.detail}") from bad
