"""Finds near-duplicates: the same picture resized, encoded again or made a little brighter.

A fingerprint describes the low spatial frequencies of an image in grey levels in two ways: by their signs (ImageHash's `phash`)
and by their amplitudes. The amplitudes are scaled to unit length, so brightness and contrast do not matter. Two images are
near-duplicates if both descriptions agree. Either alone is not enough. By the signs, 99 % of scikit-learn's digits have a
near-duplicate, and by both 0.7 %. By the amplitudes, 1.7 % of small crops of its photographs have one, all of plain sky, and by
both none. Images that differ only in colour are near-duplicates. Rotated and mirrored images are not.

The search uses a k-d tree over the lowest amplitudes. Not all pairs are listed: 20,000 images that all look alike make
200 million pairs. The images of such a cluster are linked to a few leaders instead.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from resnet.images.perceptual_fingerprint import FREQUENCIES, HASH_BYTES

# Chosen with `python -m benchmarks.near_duplicates`: larger values find more copies, and more false ones among digits.
LARGEST_HAMMING_DISTANCE = 16  # of 64 bits
RADIUS = 0.13  # Euclidean distance of amplitudes; that of unrelated images is about 1.4
SEARCH_RADIUS = RADIUS + 1e-9  # so that rounding errors lose no neighbours

DENSE = 64  # neighbours of an image from which on not all of its pairs are listed
BLOCK = 1 << 18  # pairs at a time; with four times as many, 60,000 images take twice the memory and hardly less time

_Rows = npt.NDArray[np.intp]


def near_duplicates(fingerprints: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Links between images that look alike.

    Every link joins two near-duplicates, and any two near-duplicates are in one connected component of the links. They are also
    linked directly, with two exceptions. Of images with equal fingerprints, each is linked to the first, and only the first is
    linked to others. Two images that both have at least `DENSE` neighbours may be connected only through other images.

    Args:
        fingerprints: (images, FINGERPRINT_BYTES) uint8, from `resnet.images.perceptual_fingerprint`.

    Returns:
        (links, 2) row numbers i < j, in ascending order, each link once; at most `DENSE` + 1 times as many links as images.
    """
    rows = np.flatnonzero(fingerprints.any(axis=1))
    rows = rows[np.lexsort(fingerprints[rows].T)]  # sorted, so that the result does not depend on the order of the images
    is_first = np.ones(len(rows), dtype=bool)
    is_first[1:] = (fingerprints[rows[1:]] != fingerprints[rows[:-1]]).any(axis=1)
    distinct = rows[is_first]
    copies = np.column_stack([distinct[np.cumsum(is_first) - 1], rows])[~is_first]
    alike = distinct[_links(_Fingerprints.unpack(fingerprints[distinct]))]
    links = np.sort(np.concatenate([copies, alike]), axis=1)
    return np.column_stack(np.divmod(np.unique(links @ [len(fingerprints), 1]), max(len(fingerprints), 1)))


@dataclass(frozen=True)
class _Fingerprints:
    """Unpacked fingerprints.

    Attributes:
        amplitudes: (images, terms) float64, each row of unit length.
        hashes: (images,) uint64.
    """

    amplitudes: npt.NDArray[np.float64]
    hashes: npt.NDArray[np.uint64]

    @classmethod
    def unpack(cls, fingerprints: npt.NDArray[np.uint8]) -> "_Fingerprints":
        hashes = np.ascontiguousarray(fingerprints[:, :HASH_BYTES]).view(np.uint64)[:, 0]
        amplitudes = np.ascontiguousarray(fingerprints[:, HASH_BYTES:]).view(np.int8).astype(np.float64)
        amplitudes /= np.linalg.norm(amplitudes, axis=1, keepdims=True)
        return cls(amplitudes, hashes)

    @property
    def lowest(self) -> npt.NDArray[np.float64]:
        """The ten lowest terms. Their distances are lower bounds, and searching a tree of them takes 0.4 of the time."""
        vertical, horizontal = np.divmod(np.arange(1, FREQUENCIES**2), FREQUENCIES)
        return np.ascontiguousarray(self.amplitudes[:, vertical**2 + horizontal**2 <= 9])

    def at(self, rows: _Rows) -> "_Fingerprints":
        return _Fingerprints(self.amplitudes[rows], self.hashes[rows])

    def alike(self, ones: _Rows, others: _Rows) -> npt.NDArray[np.bool_]:
        """(ones,) bool: whether ones[i] and others[i] are near-duplicates."""
        cosines = np.einsum("ij,ij->i", self.amplitudes[ones], self.amplitudes[others])
        return _is_near(cosines, self.hashes[ones] ^ self.hashes[others])

    def alike_crosswise(self, ones: _Rows, others: _Rows) -> npt.NDArray[np.bool_]:
        """(ones, others) bool: whether ones[i] and others[j] are near-duplicates."""
        cosines = self.amplitudes[ones] @ self.amplitudes[others].T
        return _is_near(cosines, self.hashes[ones, None] ^ self.hashes[others])


def _is_near(cosines: npt.NDArray[np.float64], different: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    return (cosines >= 1 - RADIUS**2 / 2) & (np.bitwise_count(different) <= LARGEST_HAMMING_DISTANCE)


def _links(prints: _Fingerprints) -> _Rows:
    """(links, 2): all pairs in which an image has few neighbours, and links that connect the other images; some occur twice."""
    pairs, dense, farthest = _pairs(prints, prints.lowest, np.ones(len(prints.hashes), dtype=bool))
    # If the farthest of many neighbours is a near-duplicate, the image is in a cluster. If not, the lowest terms alone may not
    # separate the images, and the search is repeated with all terms.
    is_clustered = prints.alike(dense, farthest)
    rest = prints.at(dense)
    more_pairs, still_dense, _ = _pairs(rest, rest.amplitudes, ~is_clustered)
    clustered = dense[np.union1d(np.flatnonzero(is_clustered), still_dense)]
    return np.concatenate([pairs, dense[more_pairs], clustered[_links_of_clusters(prints.at(clustered))]])


def _pairs(prints: _Fingerprints, points: npt.NDArray[np.float64], wanted: npt.NDArray[np.bool_]) -> tuple[_Rows, _Rows, _Rows]:
    """All pairs of near-duplicates in which an image has fewer than `DENSE` points within the search radius.

    Args:
        prints: the fingerprints of all images.
        points: (images, dimensions), whose distances are not larger than those of the amplitudes.
        wanted: (images,) the images whose pairs to find.

    Returns:
        (pairs, 2) row numbers; the wanted images with more points within the radius; and for each of those its `DENSE`th
        nearest neighbour.
    """
    from scipy.spatial import cKDTree

    order = cKDTree(points).indices
    tree = cKDTree(points[order])  # neighbours are then close in memory: 0.6 of the time with 120,000 images
    asked, image_at = order[wanted[order]], np.append(order, -1)  # for a missing neighbour the tree returns its size
    pairs, dense = [np.empty((0, 2), dtype=np.intp)], [np.empty((0, 2), dtype=np.intp)]
    for start in range(0, len(asked), BLOCK // DENSE):
        block = asked[start : start + BLOCK // DENSE]
        _, places = tree.query(points[block], k=DENSE + 1, distance_upper_bound=SEARCH_RADIUS, workers=-1)
        neighbours = image_at[places]
        is_dense = neighbours[:, -1] >= 0
        which, place = np.nonzero((neighbours >= 0) & (neighbours != block[:, None]) & ~is_dense[:, None])
        found = np.column_stack([block[which], neighbours[which, place]])
        pairs.append(found[prints.alike(*found.T)])
        dense.append(np.column_stack([block, neighbours[:, -1]])[is_dense])
    dense_images, farthest = np.concatenate(dense).T
    return np.concatenate(pairs), dense_images, farthest


def _links_of_clusters(prints: _Fingerprints) -> _Rows:
    """(links, 2) row numbers that connect all near-duplicates: each image with its leader, and groups with each other."""
    leader_of = _leaders(prints)
    images = np.arange(len(leader_of))
    return np.concatenate([np.column_stack([leader_of, images])[leader_of != images], _bridges(leader_of, prints)])


def _leaders(prints: _Fingerprints) -> _Rows:
    """(images,) the leader of each image, a near-duplicate. Leaders lead themselves; no two leaders are near-duplicates."""
    from scipy.spatial import cKDTree

    tree = cKDTree(prints.amplitudes)
    leader_of = np.full(tree.n, -1, dtype=np.intp)
    for leader in range(tree.n):
        if leader_of[leader] < 0:
            around = np.array(tree.query_ball_point(prints.amplitudes[leader], SEARCH_RADIUS))
            free = around[leader_of[around] < 0]
            leader_of[free[prints.alike(np.full_like(free, leader), free)]] = leader
    return leader_of


def _bridges(leader_of: _Rows, prints: _Fingerprints) -> _Rows:
    """(bridges, 2) links between groups that contain near-duplicates of each other.

    By the triangle inequality, a near-duplicate of a member is within two radii of the leader.
    """
    from scipy.spatial import cKDTree

    tree = cKDTree(prints.amplitudes)
    component = leader_of.copy()
    bridges = []
    for leader in np.unique(leader_of):
        members = np.flatnonzero(leader_of == leader)
        around = np.array(tree.query_ball_point(prints.amplitudes[leader], 2 * SEARCH_RADIUS))
        for ones, others in _blocks(members, around[component[around] != component[leader]]):
            apart = others[component[others] != component[leader]]
            near = prints.alike_crosswise(ones, apart)
            hits = np.flatnonzero(near.any(axis=0))
            for joined, first in zip(*np.unique(component[apart[hits]], return_index=True), strict=True):
                bridges.append([ones[near[:, hits[first]].argmax()], apart[hits[first]]])
                component[component == joined] = component[leader]
    return np.array(bridges, dtype=np.intp).reshape(-1, 2)


def _blocks(ones: _Rows, others: _Rows) -> Iterator[tuple[_Rows, _Rows]]:
    """The product of two sets in blocks of at most `BLOCK` pairs, so that memory does not grow with the size of a cluster."""
    side = math.isqrt(BLOCK)
    for start in range(0, len(others), side):
        for first in range(0, len(ones), side):
            yield ones[first : first + side], others[start : start + side]
