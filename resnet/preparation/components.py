"""Which images must stay together, and the position of each such component: both depend on the content of images alone.

A hash of its content and a seed gives each image a position between 0 and 1. Images that must stay together form a component,
which has one position: images with equal pixels, images of one group and, on request, near-duplicates. The position is that of
one member, the representative: the member whose rank, another part of the hash, is lowest. (If it were the member with the
lowest position, most components would be in test.) All images of a group have one hash, so a new image of a group joins it. A
new near-duplicate, or an image that joins two groups, may become the representative and move the component.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


def components_of(
    pixel_hashes: npt.NDArray[np.uint8], groups: Sequence[str | None], together: npt.NDArray[np.int64] | None
) -> npt.NDArray[np.int32]:
    """The number of the component of each image, (images,) int32."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = [pairs_of_equal(pixel_hashes.view("S32").ravel()), _pairs_of_groups(groups)]
    ends = np.concatenate(links if together is None else [*links, together]).T
    images = len(pixel_hashes)
    graph = coo_array((np.ones(ends.shape[1]), (ends[0], ends[1])), (images, images))
    numbers: npt.NDArray[np.int32] = connected_components(graph, directed=False)[1]
    return numbers


def pairs_of_equal(keys: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Pairs of each row and the previous row with an equal key: (pairs, 2) row numbers, the smaller first."""
    order = np.argsort(keys, kind="stable")
    equal = keys[order][1:] == keys[order][:-1]
    return np.stack([order[:-1][equal], order[1:][equal]], axis=1).astype(np.int64)


def _pairs_of_groups(groups: Sequence[str | None]) -> npt.NDArray[np.int64]:
    """Pairs of the first row of each group and every row of the group, (pairs, 2)."""
    first: dict[str, int] = {}
    pairs = [(first.setdefault(group, row), row) for row, group in enumerate(groups) if group is not None]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def positions_of(
    pixel_hashes: npt.NDArray[np.uint8], groups: Sequence[str | None], component: npt.NDArray[np.int32], seed: int
) -> npt.NDArray[np.float64]:
    """(components,) float64 in [0, 1): the position of the member with the lowest rank."""
    named = zip(groups or [None] * len(pixel_hashes), pixel_hashes, strict=True)
    keys = (pixels.tobytes() if group is None else b"group " + group.encode() for group, pixels in named)
    digests = b"".join(hashlib.sha256(b"%d " % seed + key).digest()[:12] for key in keys)
    # Position and rank have 48 bits each, which float64 represents exactly.
    own, rank = (np.frombuffer(digests, ">u2").reshape(-1, 2, 3) @ np.array([2.0**-16, 2.0**-32, 2.0**-48])).T
    order = np.lexsort((rank, component))
    representatives = order[np.searchsorted(component[order], np.arange(component.max() + 1))]
    return own[representatives]
