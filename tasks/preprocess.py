"""Decodes and resizes every image, and assigns it to a split."""

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from resnet.core.checksums import PREPARED, RAW, verify, write_sums
from resnet.core.classes import read_classes, read_label_sets, read_label_texts, write_classes
from resnet.core.errors import UserError
from resnet.core.files import replacing
from resnet.core.label_sets import LabelSets
from resnet.core.tables import SPLITS
from resnet.core.words import agreeing, counted
from resnet.images.manifest import Manifest, read_manifest
from resnet.preparation.class_pairs import images_by_class
from resnet.preparation.folds import Fold, assign_fold
from resnet.preparation.similar_pairs import find_similar, leaks, limit_pairs, write_similar
from resnet.preparation.splits import (
    VALIDATION,
    Shares,
    absent_classes,
    assign_splits,
    few_for_validation,
    groups_across_splits,
)
from tasks.stage.command import main
from tasks.stage.params import SEEDS, Params, Section

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Share = Annotated[float, Field(gt=0, lt=1)]


class Preprocess(Section):
    """Parameters of the stage `preprocess`."""

    image_size: int = Field(ge=8, le=1024, description="height and width of all images in pixels")
    training_size: Annotated[int, Field(ge=8, le=1024)] | None = Field(
        description="height and width of stored training images, then whole photographs; null: squares of image_size"
    )
    validation_share: Share = Field(description="about this share of each class is used to choose the best epoch")
    test_share: Share = Field(description="about this share of each class is for the final evaluation only")
    split_seed: int = Field(
        ge=0, lt=SEEDS, description="random seed of the split; another seed puts other images into each split"
    )
    near_duplicates: Literal["report", "together", "ignore"] = Field(
        description="report lists images that look alike, together keeps them in one split, ignore skips the search"
    )
    fold: str | None = Field(
        description="1/5: the first of five about equal parts is for testing, for cross-validation; null: by test_share"
    )

    def check(self, whole: Params) -> None:
        """The other splits leave images for training, and these are not smaller than the others."""
        held_out = self.validation_share + self.test_share
        if held_out >= 1:
            raise UserError(
                f"preprocess.validation_share and test_share add up to {held_out:g}, which leaves no images for training; "
                "together they must stay below 1."
            )
        if self.training_size is not None and self.training_size < self.image_size:
            raise UserError(
                f"preprocess.training_size is {self.training_size}, which is below preprocess.image_size, {self.image_size}: "
                "raise it or set it to null; train.size_schedule trains with smaller images."
            )
        if self.fold is not None:
            Fold.parse(self.fold)


def preprocess(params: Preprocess, *, raw: Path, prepared: Path) -> None:
    """Writes the images of each split as uint8 arrays, the index of all images, and the pairs that look alike."""
    from resnet.preparation.prepared_data import choose_pictured, write_index, write_prepared

    verify(raw / RAW)
    classes, sets = read_classes(raw / "classes.json"), read_label_sets(raw / "classes.json")
    texts = read_label_texts(raw / "classes.json")
    manifest = read_manifest(raw, texts)
    similar = find_similar(manifest, near=params.near_duplicates != "ignore")
    splits = assign(params, manifest, classes, similar if params.near_duplicates == "together" else None, sets)
    listed = limit_pairs(manifest, similar, splits)
    counts = Counter(splits.tolist())
    stored = params.training_size or params.image_size
    least = 3 * (counts[0] * stored**2 + (len(manifest) - counts[0]) * params.image_size**2)
    with replacing(prepared, least=least) as partial:
        partial.mkdir()
        write_classes(partial / "classes.json", classes, sets)
        write_index(partial / "index.csv", manifest, splits, texts)
        write_similar(partial / "near_duplicates.csv", manifest, listed, splits)
        pictured = choose_pictured(manifest, len(classes), listed, splits, label_sets=sets)
        write_prepared(
            partial,
            raw,
            manifest,
            splits,
            pictured=pictured,
            size=params.image_size,
            training_size=params.training_size,
            label_sets=sets,
        )
        write_sums(partial / PREPARED)
    numbers = ", ".join(f"{counts[split]:,} {name}" for split, name in enumerate(SPLITS))
    whole = f", those for training whole at {stored} pixels" if params.training_size else ""
    print(f"preprocess: {numbers} images of {params.image_size} pixels{whole}")
    of_splits = _of_fold(params.fold, manifest) if params.fold else _given(manifest, splits, classes, sets)
    in_validation = manifest.labels[splits == VALIDATION]
    few = _few(images_by_class(in_validation, sets, len(classes)).tolist(), len(in_validation))
    for note in [*_similar(similar, listed, splits, prepared), *of_splits, *few]:
        print(f"preprocess: {note}")


def assign(
    params: Preprocess,
    manifest: Manifest,
    classes: list[str],
    together: "npt.NDArray[np.int64] | None",
    label_sets: LabelSets | None = None,
) -> "npt.NDArray[np.int8]":
    """The split of each image: a fold of all images if one is asked for, whatever splits the source has.

    Args:
        params: of the stage.
        manifest: of the images.
        classes: the class names.
        together: (pairs, 2) int64, row numbers of images that must stay together; None for no such images.
        label_sets: the sets of images with several labels each.

    Returns:
        (images,) int8, indices into `SPLITS`.

    Raises:
        UserError: the images cannot be split.
    """
    content = (manifest.labels, manifest.pixel_hashes, classes)
    if params.fold:
        return assign_fold(
            *content,
            Fold.parse(params.fold),
            validation_share=params.validation_share,
            seed=params.split_seed,
            groups=manifest.groups,
            together=together,
            label_sets=label_sets,
        )
    return assign_splits(
        *content,
        Shares(params.validation_share, params.test_share),
        seed=params.split_seed,
        given=manifest.splits,
        groups=manifest.groups,
        together=together,
        label_sets=label_sets,
    )


def _of_fold(fold: str, manifest: Manifest) -> Iterator[str]:
    """A note that the fold replaces other splits."""
    also = "; the splits of the source are not used" if any(manifest.splits) else ""
    yield f"the test split is fold {fold} of all images, whatever preprocess.test_share says{also}"


def _similar(
    similar: "npt.NDArray[np.int64]", listed: "npt.NDArray[np.int64]", splits: "npt.NDArray[np.int8]", prepared: Path
) -> Iterator[str]:
    """A note on images that look alike."""
    if len(similar):
        across = int(leaks(similar, splits).sum())
        pairs = f"{counted(len(similar), 'pair')} of images {agreeing(len(similar), 'looks', 'look')}"
        part = f"{len(listed):,} of them are in " if len(listed) < len(similar) else "see "
        yield f"{pairs} alike, {f'{across:,}' if across else 'none'} across splits; {part}{prepared / 'near_duplicates.csv'}"


def _few(of_class: list[int], total: int) -> Iterator[str]:
    """A warning of a small validation split."""
    if warning := few_for_validation(of_class, total):
        yield f"warning: {warning}"


def _given(
    manifest: Manifest, splits: "npt.NDArray[np.int8]", classes: list[str], label_sets: LabelSets | None
) -> Iterator[str]:
    """Notes on splits of the source: those that it lacks, and unusual ones."""
    given = set(filter(None, manifest.splits))
    lacking = [split for split in SPLITS[1:] if given and split not in given]
    if lacking:
        verb = agreeing(len(lacking), "split; it was", "splits; they were")
        yield f"the source gives no {' and no '.join(lacking)} {verb} cut from the images for training"
    torn = groups_across_splits(manifest.groups, splits)
    if torn:
        yield f"{_some('group', 'groups', torn)} in more than one of the splits that the source gives"
    for split, absent in absent_classes(manifest.labels, splits, classes, label_sets).items():
        yield f"{_some('class', 'classes', absent)} not in the {split} split that the source gives"


def _some(one: str, many: str, names: list[str]) -> str:
    shown = agreeing(len(names), f"({names[0]!r}) is", f"({names[0]!r} and others) are")
    return f"{counted(len(names), one, many)} {shown}"


if __name__ == "__main__":
    sys.exit(main("preprocess"))
