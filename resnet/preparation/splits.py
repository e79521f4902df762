"""Which split an image is in: training, validation or test.

Each image has a position between 0 and 1, which is a hash of its content and a seed, and the splits are intervals: test from 0,
then validation, then training. Adding or removing images moves no other.

What must not be torn apart is a component, which has one position: images of equal pixels, of one group and, on request,
near-duplicates. The position is that of one member, the spokesman, which another part of the hash chooses. (The least position
would put most components into test.) A group has one hash, so a new image of a group goes with the group. A new near-duplicate,
or an image that joins two groups, may become the spokesman and move what it joins.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from resnet.core.errors import UserError
from resnet.core.tables import SPLITS

TRAINING, VALIDATION, TEST = range(3)
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
    together: npt.NDArray[np.int64] | None = None,
) -> npt.NDArray[np.int8]:
    """Splits by content, in each class in about the given shares.

    A validation or test split that the source gives is kept: nothing is cut for it, and only images without a split that must
    stay with some of its images join them (test before validation). One that it does not give is cut from all other images,
    those that it gives to training and those without a split; the rest of these is for training.

    A class that would miss a split, because it is small, gets there the component that is nearest by position of those that
    can be spared, which leave no class without one in the split that they are in. Only such a component may move back when
    images are added. A validation or test split that the source gives is not filled, see `absent_classes`.

    Args:
        labels: (images,) uint16, indices into `classes`.
        pixel_hashes: (images, 32) uint8, equal for equal pixels.
        classes: the names of the labels.
        shares: of validation and test.
        seed: another one makes other splits.
        given: names of splits, or None; empty if there are none.
        groups: names of what must stay together, or None; empty if there are none.
        together: (pairs, 2), pairs of rows that must stay together as well.

    Returns:
        (images,) int8, indices into `SPLITS`.

    Raises:
        UserError: a class cannot be in all splits, or the source leaves no images for training.
    """
    component = _components(pixel_hashes, groups, together)
    fixed = _given(given, component)
    free = fixed <= TRAINING
    if not free.any():
        raise UserError("the source gives splits, but none for training: call one train, or give none.")
    position = _positions(pixel_hashes, groups, component, seed)
    wanted = [TRAINING, *(split for split in (VALIDATION, TEST) if split not in fixed)]
    cut = _Cut(labels[free], component[free], position, classes=len(classes), shares=shares, wanted=wanted)
    cut.fill()
    for label, split in cut.lacking():
        raise _missing(classes[label], SPLITS[split], cut.components(label), is_given=bool((fixed != _UNASSIGNED).any()))
    return np.where(free, cut.split[component], fixed)


def _components(
    pixel_hashes: npt.NDArray[np.uint8], groups: Sequence[str | None], together: npt.NDArray[np.int64] | None
) -> npt.NDArray[np.int32]:
    """(images,) int32 from 0: equal for what must stay together."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = [pairs_of_equal(pixel_hashes.view("S32").ravel()), _pairs_of_groups(groups)]
    ends = np.concatenate(links if together is None else [*links, together]).T
    images = len(pixel_hashes)
    graph = coo_array((np.ones(ends.shape[1]), (ends[0], ends[1])), (images, images))
    numbers: npt.NDArray[np.int32] = connected_components(graph, directed=False)[1]
    return numbers


def pairs_of_equal(keys: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Each row that has the key of another, with the one before it: (pairs, 2) row numbers, the smaller first."""
    order = np.argsort(keys, kind="stable")
    equal = keys[order][1:] == keys[order][:-1]
    return np.stack([order[:-1][equal], order[1:][equal]], axis=1).astype(np.int64)


def _pairs_of_groups(groups: Sequence[str | None]) -> npt.NDArray[np.int64]:
    """Each row of a group with the first of the group, (rows, 2)."""
    first: dict[str, int] = {}
    pairs = [(first.setdefault(group, row), row) for row, group in enumerate(groups) if group is not None]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _positions(
    pixel_hashes: npt.NDArray[np.uint8], groups: Sequence[str | None], component: npt.NDArray[np.int32], seed: int
) -> npt.NDArray[np.float64]:
    """(components,) float64 in [0, 1): that of the member of least rank."""
    named = zip(groups or [None] * len(pixel_hashes), pixel_hashes, strict=True)
    keys = (pixels.tobytes() if group is None else b"group " + group.encode() for group, pixels in named)
    digests = b"".join(hashlib.sha256(b"%d " % seed + key).digest()[:12] for key in keys)
    # Numbers of 48 bits, which float64 holds exactly.
    own, rank = (np.frombuffer(digests, ">u2").reshape(-1, 2, 3) @ np.array([2.0**-16, 2.0**-32, 2.0**-48])).T
    order = np.lexsort((rank, component))
    spokesmen = order[np.searchsorted(component[order], np.arange(component.max() + 1))]
    return own[spokesmen]


def _given(given: Sequence[str | None], component: npt.NDArray[np.int32]) -> npt.NDArray[np.int8]:
    """(images,) int8: the split of the source, or of those that an image must stay with; -1 where there is neither."""
    fixed = np.full(len(component), _UNASSIGNED, dtype=np.int8)
    for row, name in enumerate(given):
        if name is not None:
            fixed[row] = SPLITS.index(name)
    of_component = np.full(component.max() + 1, _UNASSIGNED, dtype=np.int8)
    np.maximum.at(of_component, component, fixed)  # TEST is the greatest
    return np.where(fixed == _UNASSIGNED, of_component[component], fixed)


class _Cut:
    """Splits by position, and how many components each class has in them.

    Attributes:
        split: (components,) int8.
    """

    def __init__(
        self,
        labels: npt.NDArray[np.uint16],
        component: npt.NDArray[np.int32],
        position: npt.NDArray[np.float64],
        *,
        classes: int,
        shares: Shares,
        wanted: Sequence[int],
    ) -> None:
        self._position, self._shares, self._wanted = position, shares, wanted
        self.split = np.full(len(position), TRAINING, dtype=np.int8)
        for split in wanted:
            low, high = shares.interval(split)
            self.split[(low <= position) & (position < high)] = split
        pairs = np.unique(labels.astype(np.int64) * len(position) + component)
        label, self._component = np.divmod(pairs, len(position))  # each class with each of its components, once
        self._of_class = np.searchsorted(label, np.arange(classes + 1))
        by_component = np.argsort(self._component, kind="stable")
        self._label = label[by_component]
        self._of_component = np.searchsorted(self._component[by_component], np.arange(len(position) + 1))
        self._count = np.zeros((classes, len(SPLITS)), dtype=np.int64)
        np.add.at(self._count, (label, self.split[self._component]), 1)

    def components(self, label: int) -> int:
        """How many components of a class there are."""
        return int(self._count[label].sum())

    def lacking(self) -> list[tuple[int, int]]:
        """Classes, and wanted splits where they have nothing."""
        return [(label, self._wanted[place]) for label, place in np.argwhere(self._count[:, self._wanted] == 0).tolist()]

    def fill(self) -> None:
        """Moves components to where a class lacks one, until none can be spared: one move may make another possible."""
        while sum(self._move_one(label, split) for label, split in self.lacking()):
            pass

    def _move_one(self, label: int, split: int) -> bool:
        """Moves what is nearest to the split and can be spared; says whether there was need and something to move."""
        if self._count[label, split]:  # it came along with that of another class
            return False
        mine = self._component[self._of_class[label] : self._of_class[label + 1]]
        low, high = self._shares.interval(split)
        distance = np.maximum(low - self._position[mine], self._position[mine] - high).clip(0)
        for nearest in mine[np.argsort(distance, kind="stable")]:
            labels = self._label[self._of_component[nearest] : self._of_component[nearest + 1]]
            if (self._count[labels, self.split[nearest]] > 1).all():
                self._count[labels, self.split[nearest]] -= 1
                self._count[labels, split] += 1
                self.split[nearest] = split
                return True
        return False


def _missing(name: str, split: str, movable: int, *, is_given: bool) -> UserError:
    noun = "image" if movable == 1 else "images"
    if not is_given and movable < len(SPLITS):
        return UserError(
            f"class {name!r} has {movable} {noun} that can be in different splits, but at least 3 are needed, one for each of "
            "training, validation and test: add images to the class or leave it out."
        )
    if not movable:
        return UserError(
            f"class {name!r} is not in the training split of the source, and has no image without a split that could go there; "
            "add images of it there."
        )
    return UserError(
        f"class {name!r} has nothing in the {split} split: {movable} {noun}, or groups of images, could go there, but that "
        "would leave a class with nothing in another split; add images to the class or leave it out."
    )


def absent_classes(
    labels: npt.NDArray[np.uint16], splits: npt.NDArray[np.int8], classes: Sequence[str]
) -> dict[str, list[str]]:
    """For each split where classes have no image the names of these, which happens where the source gives splits."""
    absent: dict[str, list[str]] = {}
    for split, split_name in enumerate(SPLITS):
        images = np.bincount(labels[splits == split], minlength=len(classes))
        if not images.all():
            absent[split_name] = [classes[label] for label in np.flatnonzero(images == 0).tolist()]
    return absent


def groups_across_splits(groups: Sequence[str | None], splits: npt.NDArray[np.int8]) -> list[str]:
    """Names of groups in more than one split, which happens where the source gives splits."""
    found: dict[str, set[int]] = {}
    for group, split in zip(groups, splits.tolist(), strict=True):
        if group is not None:
            found.setdefault(group, set()).add(split)
    return [group for group, of_group in found.items() if len(of_group) > 1]
