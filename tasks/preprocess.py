"""Decodes and resizes every image once, and decides once which split it is in."""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from resnet.data.classes import read_classes, write_classes
from resnet.data.manifest import Manifest, read_manifest
from resnet.data.similar import find_similar, leaks, write_similar
from resnet.data.splits import SPLITS, Shares, assign_splits, torn_groups
from resnet.errors import UserError
from resnet.files import replacing
from tasks.params import Section
from tasks.stage import main

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Share = Annotated[float, Field(gt=0, lt=1)]


class Preprocess(Section):
    """Parameters of `preprocess`, see `params.yaml`."""

    image_size: Annotated[int, Field(ge=32, le=1024)]
    validation_share: Share
    test_share: Share
    split_seed: Annotated[int, Field(ge=0)]
    near_duplicates: Literal["report", "together", "ignore"]

    def check(self, whole: Mapping[str, Section]) -> None:
        """The splits leave images to train with."""
        held_out = self.validation_share + self.test_share
        if held_out >= 1:
            raise UserError(
                f"preprocess.validation_share and test_share add up to {held_out:g}, which leaves nothing to train with; "
                "together they must stay below 1."
            )


def preprocess(params: Preprocess, *, raw: Path, prepared: Path) -> None:
    """Writes each split's images as uint8 arrays, which image went where, and which look alike."""
    from resnet.data.prepared import choose_pictured, write_index, write_prepared

    classes = read_classes(raw / "classes.json")
    manifest = read_manifest(raw, classes)
    similar = find_similar(manifest, near=params.near_duplicates != "ignore")
    splits = assign_splits(
        manifest.labels,
        manifest.pixel_hashes,
        classes,
        Shares(params.validation_share, params.test_share),
        seed=params.split_seed,
        given=manifest.splits,
        groups=manifest.groups,
        together=similar.tolist() if params.near_duplicates == "together" else (),
    )
    with replacing(prepared) as partial:
        partial.mkdir()
        write_classes(partial / "classes.json", classes)
        write_index(partial / "index.csv", manifest, splits, classes)
        write_similar(partial / "near_duplicates.csv", manifest, similar, splits)
        pictured = choose_pictured(manifest, len(classes), similar, splits)
        write_prepared(partial, raw, manifest, splits, pictured=pictured, size=params.image_size)
    for note in _notes(params, manifest, splits, similar, prepared):
        print(f"preprocess: {note}")


def _notes(
    params: Preprocess,
    manifest: Manifest,
    splits: "npt.NDArray[np.int8]",
    similar: "npt.NDArray[np.int64]",
    prepared: Path,
) -> Iterator[str]:
    counts = Counter(splits.tolist())
    numbers = ", ".join(f"{counts[split]:,} {name}" for split, name in enumerate(SPLITS))
    yield f"{numbers} images of {params.image_size} pixels"
    across = int(leaks(similar, splits).sum())
    if len(similar):
        where = f"{across:,} of them across splits" if across else "none of them across splits"
        yield f"{len(similar):,} pairs of images look alike, {where}; see {prepared / 'near_duplicates.csv'}"
    torn = torn_groups(manifest.groups, splits)
    if torn:
        yield f"{len(torn):,} groups are in more than one of the splits that the source gives, {torn[0]!r} for one"


if __name__ == "__main__":
    sys.exit(main("preprocess"))
