"""Which split an image is in: training, validation or test.

Each image has a position between 0 and 1, which is a hash of its content and a seed, and the splits are intervals: test from 0,
then validation, then training. Adding or removing images moves no other. What must not be torn apart shares a position: images
of equal pixels, of one group and, on request, near-duplicates.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from resnet.errors import UserError

SPLITS = ("training", "validation", "test")
TRAINING, VALIDATION, TEST = range(3)
_HELD_OUT = (TEST, VALIDATION)
_UNASSIGNED = -1


@dataclass(frozen=True)
class Shares:
    """How much of the images is held out, each in (0, 1); the two leave something for training."""

    validation: float
    test: float

    def interval(self, split: int) -> tuple[float, float]:
        """The positions that belong to a split."""
        held_out = self.test + self.validation
        return {TEST: (0.0, self.test), VALIDATION: (self.test, held_out), TRAINING: (held_out, 1.0)}[split]


def assign_splits(
    labels: npt.NDArray[np.uint16],
    pixel_hashes: npt.NDArray[np.uint8],
    classes: Sequence[str],
    shares: Shares,
    *,
    seed: int,
    given: Sequence[str | None] = (),
    groups: Sequence[str | None] = (),
    together: Iterable[tuple[int, int]] = (),
) -> npt.NDArray[np.int8]:
    """Splits by content, in each class in about the given shares.

    Splits that the source gives are kept. One that it lacks altogether is cut from its training images. An image without a
    split goes with those that it must stay with, to the most held-out of their splits.

    A class that would be missing from a split, because it is small, gets there the image that is nearest to it by position.
    Only such an image may move back when images are added.

    Args:
        labels: (images,) uint16, indices into `classes`.
        pixel_hashes: (images, 32) uint8, equal for equal pixels.
        classes: the names of the labels.
        shares: of validation and test.
        seed: another one makes other splits.
        given: names of splits, or None; empty if there are none.
        groups: names of what must stay together, or None; empty if there are none.
        together: pairs of rows that must stay together as well.

    Returns:
        (images,) int8, indices into `SPLITS`.

    Raises:
        UserError: a class has too few images to be in all splits, or the source gives splits but none for training.
    """
    joined = _Joined(len(labels))
    joined.equal(pixel_hashes.view("S32").ravel().tolist())
    joined.equal(groups)
    joined.pairs(together)
    root = joined.roots()
    position = _positions(pixel_hashes, groups, root, seed)
    fixed = _given(given, root)
    if (fixed != _UNASSIGNED).all():
        if TRAINING not in fixed:
            raise UserError("the source gives splits, but none for training: call one train, or give none.")
        wanted = {split for split in _HELD_OUT if split not in fixed}
        movable = (fixed == TRAINING) & bool(wanted)
    else:
        wanted = set(_HELD_OUT)
        movable = fixed == _UNASSIGNED
    splits = np.where(fixed == _UNASSIGNED, np.int8(TRAINING), fixed)
    for split in wanted:
        low, high = shares.interval(split)
        splits[movable & (low <= position) & (position < high)] = split
    assigned = _Assigned(splits, position, root, movable)
    by_label = np.argsort(labels, kind="stable")
    ends = np.searchsorted(labels[by_label], range(1, len(classes)))
    for name, rows in zip(classes, np.split(by_label, ends), strict=True):
        assigned.fill(rows, name, shares, [TRAINING, *sorted(wanted)])
    return splits


class _Joined:
    """Sets of rows that must stay together (union-find)."""

    def __init__(self, rows: int) -> None:
        self._parent = np.arange(rows)

    def _root(self, row: int) -> int:
        while self._parent[row] != row:
            self._parent[row] = self._parent[self._parent[row]]
            row = int(self._parent[row])
        return row

    def pairs(self, pairs: Iterable[tuple[int, int]]) -> None:
        for pair in pairs:
            first, second = sorted(map(self._root, pair))
            self._parent[second] = first

    def equal(self, keys: Sequence[object]) -> None:
        """Joins rows of equal keys; None is equal to nothing."""
        first: dict[object, int] = {}
        self.pairs((first.setdefault(key, row), row) for row, key in enumerate(keys) if key is not None)

    def roots(self) -> npt.NDArray[np.intp]:
        return np.array([self._root(row) for row in range(len(self._parent))], dtype=np.intp)


def _positions(
    pixel_hashes: npt.NDArray[np.uint8], groups: Sequence[str | None], root: npt.NDArray[np.intp], seed: int
) -> npt.NDArray[np.float64]:
    """(images,) float64 in [0, 1): of what must stay together, the least."""
    keys = (b"group " + group.encode() if group else digest.tobytes() for group, digest in _zip(groups, pixel_hashes))
    own = np.array([int.from_bytes(hashlib.sha256(b"%d " % seed + key).digest()[:6]) / 2**48 for key in keys])
    least = own.copy()
    np.minimum.at(least, root, own)
    return least[root]


def _zip(groups: Sequence[str | None], hashes: npt.NDArray[np.uint8]) -> Iterable[tuple[str | None, npt.NDArray[np.uint8]]]:
    return zip(groups or [None] * len(hashes), hashes, strict=True)


def _given(given: Sequence[str | None], root: npt.NDArray[np.intp]) -> npt.NDArray[np.int8]:
    """(images,) int8: the split of the source, or of those that an image must stay with; -1 where there is neither."""
    fixed = np.full(len(root), _UNASSIGNED, dtype=np.int8)
    for row, name in enumerate(given):
        if name is not None:
            fixed[row] = SPLITS.index(name)
    of_all = fixed.copy()
    np.maximum.at(of_all, root, fixed)  # TEST is the greatest
    return np.where(fixed == _UNASSIGNED, of_all[root], fixed)


@dataclass
class _Assigned:
    """Splits by position, and what is needed to move an image of a small class."""

    splits: npt.NDArray[np.int8]
    position: npt.NDArray[np.float64]
    root: npt.NDArray[np.intp]
    movable: npt.NDArray[np.bool_]

    def fill(self, rows: npt.NDArray[np.intp], name: str, shares: Shares, wanted: Sequence[int]) -> None:
        """Moves images of a class, with what must stay with them, until it has one in each of the wanted splits."""
        for split in wanted:
            if split in self.splits[rows]:
                continue
            spare = [row for row in rows if self.movable[row] and self._can_spare(rows, row)]
            if not spare and len(rows) and not self.movable[rows].any():
                raise UserError(f"class {name!r} is not in the {SPLITS[split]} split of the source; add images of it there.")
            if not spare:
                raise _too_few(name, len(np.unique(self.root[rows])))
            nearest = min(spare, key=lambda row: (_distance(float(self.position[row]), shares.interval(split)), row))
            self.splits[self.movable & (self.root == self.root[nearest])] = split

    def _can_spare(self, rows: npt.NDArray[np.intp], row: int) -> bool:
        """Whether the class has something else in the row's split, which stays when the row moves."""
        return bool(((self.splits[rows] == self.splits[row]) & (self.root[rows] != self.root[row])).any())


def _distance(position: float, interval: tuple[float, float]) -> float:
    low, high = interval
    return max(low - position, position - high, 0.0)


def _too_few(name: str, images: int) -> UserError:
    noun = "image" if images == 1 else "images"
    return UserError(
        f"class {name!r} has {images} {noun} that can be in different splits, but at least 3 are needed, one for each of "
        "training, validation and test: add images to the class or leave it out."
    )


def torn_groups(groups: Sequence[str | None], splits: npt.NDArray[np.int8]) -> list[str]:
    """Names of groups in more than one split, which happens where the source gives splits."""
    found: dict[str, set[int]] = {}
    for group, split in zip(groups, splits.tolist(), strict=True):
        if group is not None:
            found.setdefault(group, set()).add(split)
    return [group for group, of_group in found.items() if len(of_group) > 1]
