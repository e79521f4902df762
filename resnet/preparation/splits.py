"""Assigns each image to a split: training, validation or test.

A hash of its content and a seed gives each image a position between 0 and 1. The splits are intervals: test from 0, then
validation, then training. So adding or removing images does not move others.

Images that must stay together form a component, which has one position: images with equal pixels, images of one group and, on
request, near-duplicates. The position is that of one member, the representative: the member whose rank, another part of the
hash, is lowest. (If it were the member with the lowest position, most components would be in test.) All images of a group have
one hash, so a new image of a group joins it. A new near-duplicate, or an image that joins two groups, may become the
representative and move the component.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from resnet.core.errors import UserError, listed
from resnet.core.tables import SPLITS

TRAINING, VALIDATION, TEST = range(3)
_UNASSIGNED = -1
_NAMED = 10  # classes in a message


@dataclass(frozen=True)
class Shares:
    """The shares of images for validation and test, each in (0, 1); their sum is below 1."""

    validation: float
    test: float

    def interval(self, split: int) -> tuple[float, float]:
        """The interval of positions of a split."""
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
    """Splits images by content; in each class the splits have about the given shares.

    If the source has a validation or test split, it is kept. Only images without a split that must stay with images of such a
    split join it (test before validation). A validation or test split that the source does not have is taken from all other
    images: those in its training split and those without a split. The rest of these images is for training.

    A small class may have no component in a split. Then the component of the class with the nearest position is moved there. A
    component is moved only if each of its classes has another component in the split that it leaves. Moved components may move
    back when images are added. Classes are not moved into validation and test splits of the source; see `absent_classes`.

    Args:
        labels: (images,) uint16, indices into `classes`.
        pixel_hashes: (images, 32) uint8, equal for equal pixels.
        classes: the class names.
        shares: the shares of validation and test.
        seed: different seeds give different splits.
        given: for each image the name of its split in the source, or None; empty if the source has no splits.
        groups: for each image the name of its group, or None; empty if the source has no groups.
        together: (pairs, 2) row numbers of images that must stay together.

    Returns:
        (images,) int8, indices into `SPLITS`.

    Raises:
        UserError: a class cannot be in all splits, or no images are left for training.
    """
    component = _components(pixel_hashes, groups, together)
    fixed = _given(given, component)
    free = fixed <= TRAINING
    if not free.any():
        raise UserError("the source has splits, but none for training: name one train, or remove the splits.")
    position = _positions(pixel_hashes, groups, component, seed)
    wanted = [TRAINING, *(split for split in (VALIDATION, TEST) if split not in fixed)]
    assignment = _Assignment(labels[free], component[free], position, classes=len(classes), shares=shares, wanted=wanted)
    assignment.fill()
    missing = assignment.missing()
    if missing:
        movable = {classes[label]: assignment.components(label) for label, _ in missing}
        if (fixed != _UNASSIGNED).any():
            _refuse_absent([name for name, number in movable.items() if not number])
        _refuse_small({name: number for name, number in movable.items() if number < len(wanted)}, wanted)
        label, split = missing[0]
        raise _missing_error(classes[label], SPLITS[split], movable[classes[label]])
    return np.where(free, assignment.split[component], fixed)


def _components(
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


def _positions(
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


def _given(given: Sequence[str | None], component: npt.NDArray[np.int32]) -> npt.NDArray[np.int8]:
    """(images,) int8: the split in the source of an image, or else of its component; -1 if neither has one."""
    fixed = np.full(len(component), _UNASSIGNED, dtype=np.int8)
    for row, name in enumerate(given):
        if name is not None:
            fixed[row] = SPLITS.index(name)
    of_component = np.full(component.max() + 1, _UNASSIGNED, dtype=np.int8)
    np.maximum.at(of_component, component, fixed)  # TEST is the largest number, so test comes before validation
    return np.where(fixed == _UNASSIGNED, of_component[component], fixed)


class _Assignment:
    """The split of each component, and the number of components of each class in each split.

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
        label, self._component = np.divmod(pairs, len(position))  # each pair of a class and one of its components, once
        self._of_class = np.searchsorted(label, np.arange(classes + 1))
        by_component = np.argsort(self._component, kind="stable")
        self._label = label[by_component]
        self._of_component = np.searchsorted(self._component[by_component], np.arange(len(position) + 1))
        self._count = np.zeros((classes, len(SPLITS)), dtype=np.int64)
        np.add.at(self._count, (label, self.split[self._component]), 1)

    def components(self, label: int) -> int:
        """The number of components of a class."""
        return int(self._count[label].sum())

    def missing(self) -> list[tuple[int, int]]:
        """Pairs of a class and a wanted split in which it has no component."""
        return [(label, self._wanted[place]) for label, place in np.argwhere(self._count[:, self._wanted] == 0).tolist()]

    def fill(self) -> None:
        """Moves components to splits in which a class has none, until no move is possible; one move can enable another."""
        while sum(self._move_one(label, split) for label, split in self.missing()):
            pass

    def _move_one(self, label: int, split: int) -> bool:
        """Moves the nearest component of a class that can be moved to a split; returns whether one was moved."""
        if self._count[label, split]:  # a component that was moved for another class
            return False
        candidates = self._component[self._of_class[label] : self._of_class[label + 1]]
        low, high = self._shares.interval(split)
        distance = np.maximum(low - self._position[candidates], self._position[candidates] - high).clip(0)
        for nearest in candidates[np.argsort(distance, kind="stable")]:
            labels = self._label[self._of_component[nearest] : self._of_component[nearest + 1]]
            if (self._count[labels, self.split[nearest]] > 1).all():
                self._count[labels, self.split[nearest]] -= 1
                self._count[labels, split] += 1
                self.split[nearest] = split
                return True
        return False


def _refuse_absent(absent: list[str]) -> None:
    """Raises `UserError` for classes that the source has in its validation or test split only."""
    if absent:
        noun, verb = ("class", "is") if len(absent) == 1 else ("classes", "are")
        raise UserError(
            f"{noun} {listed(absent, _NAMED)} {verb} not in the training split of the source, and there are no images without "
            "a split that could be used: add training images, or remove the images of such classes."
        )


def _refuse_small(numbers: dict[str, int], wanted: Sequence[int]) -> None:
    """Raises `UserError` for classes with fewer images than splits; names many of them at once."""
    if not numbers:
        return
    if len(numbers) == 1:
        ((name, number),) = numbers.items()
        found = f"class {name!r} has {number} {'image' if number == 1 else 'images'}"
    else:
        shown = [f"{name!r} has {number}" for name, number in numbers.items()]
        more = f" and {len(shown) - _NAMED:,} more" if len(shown) > _NAMED else ""
        found = f"{len(shown):,} classes have too few images ({', '.join(shown[:_NAMED])}{more})"
    splits = " and ".join(", ".join(SPLITS[split] for split in sorted(wanted)).rsplit(", ", 1))
    raise UserError(
        f"{found} that can be in different splits, but at least {len(wanted)} are needed, one for each of {splits}: add "
        "images, or remove such classes, which ingest.min_images_per_class can do."
    )


def _missing_error(name: str, split: str, movable: int) -> UserError:
    return UserError(
        f"class {name!r} has no images in the {split} split: {movable} images or groups of images could be moved there, but "
        "then a class would have none in another split; add images to the class or remove it."
    )


def absent_classes(
    labels: npt.NDArray[np.uint16], splits: npt.NDArray[np.int8], classes: Sequence[str]
) -> dict[str, list[str]]:
    """By split, the names of classes without images in it. This is possible only for splits of the source."""
    absent: dict[str, list[str]] = {}
    for split, split_name in enumerate(SPLITS):
        images = np.bincount(labels[splits == split], minlength=len(classes))
        if not images.all():
            absent[split_name] = [classes[label] for label in np.flatnonzero(images == 0).tolist()]
    return absent


def groups_across_splits(groups: Sequence[str | None], splits: npt.NDArray[np.int8]) -> list[str]:
    """The names of groups in more than one split. This is possible only for splits of the source."""
    found: dict[str, set[int]] = {}
    for group, split in zip(groups, splits.tolist(), strict=True):
        if group is not None:
            found.setdefault(group, set()).add(split)
    return [group for group, of_group in found.items() if len(of_group) > 1]
