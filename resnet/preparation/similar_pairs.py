"""`near_duplicates.csv` of `data/prepared/`: pairs of images that look alike, and in which splits they are.

A pair in two splits is a leak: what is measured on the one was seen in the other. The frames of a film make more pairs than
anyone reads (1,000 clips of 60 make 1.77 million), so the file holds a part of them that leaves out no image, see `limit_pairs`.
"""

import csv
from pathlib import Path

import numpy as np
import numpy.typing as npt

from resnet.core.tables import SPLITS
from resnet.images.manifest import Manifest
from resnet.images.perceptual_fingerprint import HASH_BYTES
from resnet.preparation.near_duplicates import near_duplicates
from resnet.preparation.splits import pairs_of_equal

COLUMNS = ("path", "split", "other", "other_split", "distance")
MOST_PAIRS = 10  # of an image


def find_similar(manifest: Manifest, *, near: bool) -> npt.NDArray[np.int64]:
    """Pairs of equal pixels, which only a source that gives splits has left, and of near-duplicates.

    Args:
        manifest: of the images.
        near: whether to search for near-duplicates.

    Returns:
        (pairs, 2) row numbers i < j, in ascending order.
    """
    pairs = pairs_of_equal(manifest.pixel_hashes.view("S32").ravel())
    if near:
        pairs = np.concatenate([pairs, near_duplicates(manifest.fingerprints)])
    return np.column_stack(np.divmod(np.unique(pairs @ [len(manifest), 1]), len(manifest)))


def limit_pairs(manifest: Manifest, pairs: npt.NDArray[np.int64], splits: npt.NDArray[np.int8]) -> npt.NDArray[np.int64]:
    """The pairs to write, at most `MOST_PAIRS` / 2 + 1 times as many as images.

    An image's pairs have an order: leaks first, then the least distance. Kept is a pair that is among the first `MOST_PAIRS` of
    both images, or the first of one of them. So each image of a pair stays in one, and each image of a leak in a leak.

    Args:
        manifest: of the images.
        pairs: (pairs, 2), of `find_similar`.
        splits: (images,) int8, indices into `resnet.preparation.splits.SPLITS`.

    Returns:
        (pairs, 2), in the order that they came in.
    """
    best_first = np.lexsort((_distances(manifest, pairs), ~leaks(pairs, splits)))
    images = pairs[best_first].ravel()
    order = np.argsort(images, kind="stable")
    rank = np.empty(len(images), dtype=np.int64)
    rank[order] = np.arange(len(images)) - np.searchsorted(images[order], images[order])
    ranks = rank.reshape(-1, 2)
    kept = (ranks < MOST_PAIRS).all(axis=1) | (ranks == 0).any(axis=1)
    return pairs[np.sort(best_first[kept])]


def write_similar(path: Path, manifest: Manifest, pairs: npt.NDArray[np.int64], splits: npt.NDArray[np.int8]) -> None:
    """A line for each pair; `distance` counts the bits of the perceptual hashes that differ, at least 1; 0 for equal pixels."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for (one, other), distance in zip(pairs.tolist(), _distances(manifest, pairs).tolist(), strict=True):
            names = SPLITS[splits[one]], SPLITS[splits[other]]
            writer.writerow([manifest.paths[one], names[0], manifest.paths[other], names[1], distance])


def _distances(manifest: Manifest, pairs: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    one, other = pairs.T
    looks, pixels = manifest.fingerprints[:, :HASH_BYTES], manifest.pixel_hashes
    bits = np.bitwise_count(looks[one] ^ looks[other]).sum(axis=1, dtype=np.int64)
    return np.where((pixels[one] == pixels[other]).all(axis=1), 0, bits.clip(1))


def leaks(pairs: npt.NDArray[np.int64], splits: npt.NDArray[np.int8]) -> npt.NDArray[np.bool_]:
    """(pairs,) bool: whether the two are in different splits."""
    return splits[pairs[:, 0]] != splits[pairs[:, 1]]
