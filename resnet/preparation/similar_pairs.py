"""`near_duplicates.csv` of `data/prepared/`: pairs of images that look alike, with their splits.

A pair in two splits is a leak: a network may be tested on an image that it was trained on. Video frames make too many pairs to
list (1,000 clips of 60 frames make 1.77 million). The file holds a selection in which every image still occurs; see
`limit_pairs`.
"""

import csv
from pathlib import Path

import numpy as np
import numpy.typing as npt

from resnet.core.tables import SPLITS
from resnet.images.manifest import Manifest
from resnet.images.perceptual_fingerprint import HASH_BYTES
from resnet.preparation.components import pairs_of_equal
from resnet.preparation.near_duplicates import near_duplicates

COLUMNS = ("path", "split", "other", "other_split", "distance")
MAX_PAIRS = 10  # of an image


def find_similar(manifest: Manifest, *, near: bool) -> npt.NDArray[np.int64]:
    """Pairs of images with equal pixels, and of near-duplicates.

    Images with equal pixels are left only if the source assigns them to splits.

    Args:
        manifest: the images.
        near: whether to search for near-duplicates.

    Returns:
        (pairs, 2) row numbers i < j, in ascending order.
    """
    pairs = pairs_of_equal(manifest.pixel_hashes.view("S32").ravel())
    if near:
        pairs = np.concatenate([pairs, near_duplicates(manifest.fingerprints)])
    return np.column_stack(np.divmod(np.unique(pairs @ [len(manifest), 1]), len(manifest)))


def limit_pairs(manifest: Manifest, pairs: npt.NDArray[np.int64], splits: npt.NDArray[np.int8]) -> npt.NDArray[np.int64]:
    """Selects the pairs to write: at most `MAX_PAIRS` / 2 + 1 times the number of images.

    The pairs of each image are ranked: leaks first, then by distance. A pair is kept if both of its images rank it among their
    first `MAX_PAIRS`, or one of them ranks it first. So every image of a pair keeps a pair, and every image of a leak a leak.

    Args:
        manifest: the images.
        pairs: (pairs, 2) row numbers from `find_similar`.
        splits: (images,) int8, indices into `resnet.core.tables.SPLITS`.

    Returns:
        (pairs, 2) row numbers, in their original order.
    """
    best_first = np.lexsort((_distances(manifest, pairs), ~leaks(pairs, splits)))
    images = pairs[best_first].ravel()
    order = np.argsort(images, kind="stable")
    rank = np.empty(len(images), dtype=np.int64)
    rank[order] = np.arange(len(images)) - np.searchsorted(images[order], images[order])
    ranks = rank.reshape(-1, 2)
    kept = (ranks < MAX_PAIRS).all(axis=1) | (ranks == 0).any(axis=1)
    return pairs[np.sort(best_first[kept])]


def write_similar(path: Path, manifest: Manifest, pairs: npt.NDArray[np.int64], splits: npt.NDArray[np.int8]) -> None:
    """Writes a line for each pair, with the Hamming distance of the perceptual hashes, at least 1, or 0 for equal pixels."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for (one, other), distance in zip(pairs.tolist(), _distances(manifest, pairs).tolist(), strict=True):
            names = SPLITS[splits[one]], SPLITS[splits[other]]
            writer.writerow([manifest.paths[one], names[0], manifest.paths[other], names[1], distance])


def _distances(manifest: Manifest, pairs: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    one, other = pairs.T
    hashes, pixels = manifest.fingerprints[:, :HASH_BYTES], manifest.pixel_hashes
    bits = np.bitwise_count(hashes[one] ^ hashes[other]).sum(axis=1, dtype=np.int64)
    return np.where((pixels[one] == pixels[other]).all(axis=1), 0, bits.clip(1))


def leaks(pairs: npt.NDArray[np.int64], splits: npt.NDArray[np.int8]) -> npt.NDArray[np.bool_]:
    """(pairs,) bool: whether the images of a pair are in different splits."""
    return splits[pairs[:, 0]] != splits[pairs[:, 1]]
