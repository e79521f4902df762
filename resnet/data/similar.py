"""`near_duplicates.csv` of `data/prepared/`: pairs of images that look alike, and in which splits they are.

A pair in two splits is a leak: what is measured on the one was seen in the other.
"""

import csv
from pathlib import Path

import numpy as np
import numpy.typing as npt

from resnet.data.manifest import Manifest
from resnet.data.near_duplicates import HASH_BYTES, near_duplicates
from resnet.data.splits import SPLITS

COLUMNS = ("path", "split", "other", "other_split", "distance")


def find_similar(manifest: Manifest, *, near: bool) -> npt.NDArray[np.int64]:
    """Pairs of equal pixels, which only a source that gives splits has left, and of near-duplicates.

    Args:
        manifest: of the images.
        near: whether to search for near-duplicates.

    Returns:
        (pairs, 2) row numbers i < j, in ascending order.
    """
    pairs = _equal(manifest.pixel_hashes)
    if near:
        pairs = np.concatenate([pairs, near_duplicates(manifest.fingerprints)])
    return np.unique(pairs, axis=0)


def _equal(pixel_hashes: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Each image that has the pixels of another, with the one before it."""
    keys = pixel_hashes.view("S32").ravel()
    order = np.argsort(keys, kind="stable")
    equal = keys[order][1:] == keys[order][:-1]
    return np.stack([order[:-1][equal], order[1:][equal]], axis=1).astype(np.int64)


def write_similar(path: Path, manifest: Manifest, pairs: npt.NDArray[np.int64], splits: npt.NDArray[np.int8]) -> None:
    """A line for each pair; `distance` counts the bits of the perceptual hashes that differ, at least 1; 0 for equal pixels."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for one, other in pairs.tolist():
            names = SPLITS[splits[one]], SPLITS[splits[other]]
            writer.writerow([manifest.paths[one], names[0], manifest.paths[other], names[1], _distance(manifest, one, other)])


def _distance(manifest: Manifest, one: int, other: int) -> int:
    if (manifest.pixel_hashes[one] == manifest.pixel_hashes[other]).all():
        return 0
    hashes = manifest.fingerprints[[one, other], :HASH_BYTES]
    return max(1, int(np.bitwise_count(hashes[0] ^ hashes[1]).sum()))


def leaks(pairs: npt.NDArray[np.int64], splits: npt.NDArray[np.int8]) -> npt.NDArray[np.bool_]:
    """(pairs,) bool: whether the two are in different splits."""
    return splits[pairs[:, 0]] != splits[pairs[:, 1]]
