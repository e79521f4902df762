"""Which images look alike: resized, encoded again or a little brighter, but the same picture.

A fingerprint holds two views of an image's low frequencies in grey: their signs (ImageHash's `phash`) and their amplitudes,
scaled to unit length, which makes them blind to brightness and contrast. Two images are near-duplicates when both agree.
Either alone is not enough: by the signs, 99 % of scikit-learn's digits look like another one (0.7 % by both), and by the
amplitudes 1.7 % of small crops of its photographs do, all of plain sky (none by both). Colour alone makes no difference, and
an image that is turned or mirrored is another one.

The search is a k-d tree over the lowest amplitudes. A crowd of 20,000 images that are alike has 200 million pairs; its
images are linked to a few leaders instead.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from resnet.images.perceptual_fingerprint import FREQUENCIES, HASH_BYTES

# Chosen with `python -m benchmarks.near_duplicates`: larger ones find more copies, and more digits that are none.
LARGEST_HAMMING_DISTANCE = 16  # of 64 bits
RADIUS = 0.13  # Euclidean distance of amplitudes; images that have nothing in common are about 1.4 apart
REACH = RADIUS + 1e-9  # of searches, so that rounding loses nothing

CROWD = 64  # neighbours from which on not all pairs are listed
BLOCK = 1 << 18  # pairs at a time: with four times as many 60,000 images take twice the memory and little less time

_Rows = npt.NDArray[np.intp]


def near_duplicates(fingerprints: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Links between images that look alike.

    Every link joins two near-duplicates, and any two near-duplicates are in one connected component of the links. They are
    also linked themselves, unless there are too many to list all pairs: images of equal fingerprints are linked to the first
    of them, which stands for all, and two images that both have `CROWD` neighbours may be joined through others.

    Args:
        fingerprints: (images, FINGERPRINT_BYTES), of `fingerprint`.

    Returns:
        (links, 2) row numbers i < j, in ascending order, each link once. At most `CROWD` + 1 times as many as images.
    """
    rows = np.flatnonzero(fingerprints.any(axis=1))
    rows = rows[np.lexsort(fingerprints[rows].T)]  # what follows does not depend on the order in which the images came
    is_first = np.ones(len(rows), dtype=bool)
    is_first[1:] = (fingerprints[rows[1:]] != fingerprints[rows[:-1]]).any(axis=1)
    distinct = rows[is_first]
    copies = np.column_stack([distinct[np.cumsum(is_first) - 1], rows])[~is_first]
    alike = distinct[_links(_Looks.of(fingerprints[distinct]))]
    links = np.sort(np.concatenate([copies, alike]), axis=1)
    return np.column_stack(np.divmod(np.unique(links @ [len(fingerprints), 1]), max(len(fingerprints), 1)))


@dataclass(frozen=True)
class _Looks:
    """Fingerprints taken apart: amplitudes of unit length, (images, terms) float64, and hashes, (images,) uint64."""

    amplitudes: npt.NDArray[np.float64]
    hashes: npt.NDArray[np.uint64]

    @classmethod
    def of(cls, fingerprints: npt.NDArray[np.uint8]) -> "_Looks":
        hashes = np.ascontiguousarray(fingerprints[:, :HASH_BYTES]).view(np.uint64)[:, 0]
        amplitudes = np.ascontiguousarray(fingerprints[:, HASH_BYTES:]).view(np.int8).astype(np.float64)
        amplitudes /= np.linalg.norm(amplitudes, axis=1, keepdims=True)
        return cls(amplitudes, hashes)

    @property
    def lowest(self) -> npt.NDArray[np.float64]:
        """The ten lowest terms, whose distances are a lower bound: a tree of them takes 0.4 of the time of one of all terms."""
        vertical, horizontal = np.divmod(np.arange(1, FREQUENCIES**2), FREQUENCIES)
        return np.ascontiguousarray(self.amplitudes[:, vertical**2 + horizontal**2 <= 9])

    def at(self, rows: _Rows) -> "_Looks":
        return _Looks(self.amplitudes[rows], self.hashes[rows])

    def alike(self, ones: _Rows, others: _Rows) -> npt.NDArray[np.bool_]:
        """Whether ones[i] and others[i] are near-duplicates."""
        cosines = np.einsum("ij,ij->i", self.amplitudes[ones], self.amplitudes[others])
        return _is_near(cosines, self.hashes[ones] ^ self.hashes[others])

    def alike_crosswise(self, ones: _Rows, others: _Rows) -> npt.NDArray[np.bool_]:
        """Whether ones[i] and others[j] are near-duplicates, (ones, others)."""
        cosines = self.amplitudes[ones] @ self.amplitudes[others].T
        return _is_near(cosines, self.hashes[ones, None] ^ self.hashes[others])


def _is_near(cosines: npt.NDArray[np.float64], different: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    return (cosines >= 1 - RADIUS**2 / 2) & (np.bitwise_count(different) <= LARGEST_HAMMING_DISTANCE)


def _links(looks: _Looks) -> _Rows:
    """All pairs of near-duplicates of which one has few neighbours, and what joins the others: (links, 2), some twice."""
    pairs, busy, farthest = _pairs(looks, looks.lowest, np.ones(len(looks.hashes), dtype=bool))
    in_crowd = looks.alike(busy, farthest)  # where it is not, the lowest terms alone may have too little to tell
    rest = looks.at(busy)
    more_pairs, still_busy, _ = _pairs(rest, rest.amplitudes, ~in_crowd)
    crowd = busy[np.union1d(np.flatnonzero(in_crowd), still_busy)]
    return np.concatenate([pairs, busy[more_pairs], crowd[_links_of_crowd(looks.at(crowd))]])


def _pairs(looks: _Looks, points: npt.NDArray[np.float64], wanted: npt.NDArray[np.bool_]) -> tuple[_Rows, _Rows, _Rows]:
    """The pairs of near-duplicates of those images that have fewer than `CROWD` points in reach.

    Args:
        looks: of all images.
        points: (images, dimensions), no farther from each other than the amplitudes.
        wanted: (images,), whose pairs to find.

    Returns:
        (pairs, 2); the wanted images that have more points in reach; and for each of those its `CROWD`th nearest.
    """
    from scipy.spatial import cKDTree

    order = cKDTree(points).indices
    tree = cKDTree(points[order])  # what is near in space is near in memory then: 0.6 of the time with 120,000 images
    asked, image_at = order[wanted[order]], np.append(order, -1)  # the tree answers with its size where there is none
    pairs, busy = [np.empty((0, 2), dtype=np.intp)], [np.empty((0, 2), dtype=np.intp)]
    for start in range(0, len(asked), BLOCK // CROWD):
        block = asked[start : start + BLOCK // CROWD]
        _, places = tree.query(points[block], k=CROWD + 1, distance_upper_bound=REACH, workers=-1)
        neighbours = image_at[places]
        is_busy = neighbours[:, -1] >= 0
        which, place = np.nonzero((neighbours >= 0) & (neighbours != block[:, None]) & ~is_busy[:, None])
        found = np.column_stack([block[which], neighbours[which, place]])
        pairs.append(found[looks.alike(*found.T)])
        busy.append(np.column_stack([block, neighbours[:, -1]])[is_busy])
    busy_images, farthest = np.concatenate(busy).T
    return np.concatenate(pairs), busy_images, farthest


def _links_of_crowd(looks: _Looks) -> _Rows:
    """Links, (links, 2), that join all near-duplicates: of each image to its leader, and of groups to each other."""
    leader_of = _leaders(looks)
    images = np.arange(len(leader_of))
    return np.concatenate([np.column_stack([leader_of, images])[leader_of != images], _bridges(leader_of, looks)])


def _leaders(looks: _Looks) -> _Rows:
    """For each image a near-duplicate that leads its group; leaders lead themselves, and are no near-duplicates."""
    from scipy.spatial import cKDTree

    tree = cKDTree(looks.amplitudes)
    leader_of = np.full(tree.n, -1, dtype=np.intp)
    for leader in range(tree.n):
        if leader_of[leader] < 0:
            around = np.array(tree.query_ball_point(looks.amplitudes[leader], REACH))
            free = around[leader_of[around] < 0]
            leader_of[free[looks.alike(np.full_like(free, leader), free)]] = leader
    return leader_of


def _bridges(leader_of: _Rows, looks: _Looks) -> _Rows:
    """Links, (bridges, 2), that join the groups of which any members are near-duplicates.

    By the triangle inequality a near-duplicate of a member is within two radii of the leader.
    """
    from scipy.spatial import cKDTree

    tree = cKDTree(looks.amplitudes)
    component = leader_of.copy()
    bridges = []
    for leader in np.unique(leader_of):
        members = np.flatnonzero(leader_of == leader)
        around = np.array(tree.query_ball_point(looks.amplitudes[leader], 2 * REACH))
        for ones, others in _blocks(members, around[component[around] != component[leader]]):
            apart = others[component[others] != component[leader]]
            near = looks.alike_crosswise(ones, apart)
            hits = np.flatnonzero(near.any(axis=0))
            for joined, first in zip(*np.unique(component[apart[hits]], return_index=True), strict=True):
                bridges.append([ones[near[:, hits[first]].argmax()], apart[hits[first]]])
                component[component == joined] = component[leader]
    return np.array(bridges, dtype=np.intp).reshape(-1, 2)


def _blocks(ones: _Rows, others: _Rows) -> Iterator[tuple[_Rows, _Rows]]:
    """The product of two sets in blocks of at most `BLOCK` pairs, so that memory does not grow with a crowd."""
    side = math.isqrt(BLOCK)
    for start in range(0, len(others), side):
        for first in range(0, len(ones), side):
            yield ones[first : first + side], others[start : start + side]
