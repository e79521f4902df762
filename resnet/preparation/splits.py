"""Assigns each image to a split: training, validation or test.

A hash of its content and a seed gives each image a position between 0 and 1. The splits are intervals: test from 0, then
validation, then training. So adding or removing images does not move others. `resnet.preparation.components` says which images
stay together, and `resnet.preparation.folds` has the splits of cross-validation.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from resnet.core.errors import UserError, listed
from resnet.core.label_sets import LabelSets
from resnet.core.tables import SPLITS
from resnet.core.words import agreeing, counted
from resnet.preparation.assignment import Assignment
from resnet.preparation.class_pairs import class_pairs, images_by_class
from resnet.preparation.components import components_of, positions_of

TRAINING, VALIDATION, TEST = range(3)
_UNASSIGNED = -1
_NAMED = 10  # classes in a message
_FEW_IMAGES = 50  # one of them is two points of accuracy
_FEW_OF_A_CLASS = 5


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
    label_sets: LabelSets | None = None,
) -> npt.NDArray[np.int8]:
    """Splits images by content; in each class the splits have about the given shares.

    If the source has a validation or test split, it is kept. Only images without a split that must stay with images of such a
    split join it (test before validation). A validation or test split that the source does not have is taken from all other
    images: those in its training split and those without a split. The rest of these images is for training.

    A small class may have no component in a split. Then the component of the class with the nearest position is moved there. A
    component is moved only if each of its classes has another component in the split that it leaves. Moved components may move
    back when images are added. Classes are not moved into validation and test splits of the source; see `absent_classes`.

    Args:
        labels: (images,) uint16, indices into `classes`, or into `label_sets`.
        pixel_hashes: (images, 32) uint8, equal for equal pixels.
        classes: the class names.
        shares: the shares of validation and test.
        seed: different seeds give different splits.
        given: for each image the name of its split in the source, or None; empty if the source has no splits.
        groups: for each image the name of its group, or None; empty if the source has no groups.
        together: (pairs, 2) row numbers of images that must stay together.
        label_sets: the sets of images with several labels each; each class is then in all splits, not each set.

    Returns:
        (images,) int8, indices into `SPLITS`.

    Raises:
        UserError: a class cannot be in all splits, or no images are left for training.
    """
    component = components_of(pixel_hashes, groups, together)
    fixed = _given(given, component)
    free = fixed <= TRAINING
    if not free.any():
        raise UserError("the source has splits, but none for training: name one train, or remove the splits.")
    position = positions_of(pixel_hashes, groups, component, seed)
    wanted = [TRAINING, *(split for split in (VALIDATION, TEST) if split not in fixed)]
    parts = {split: shares.interval(split) for split in wanted}
    rows, label_of = class_pairs(labels, label_sets)
    is_free = free[rows]
    assignment = Assignment(label_of[is_free], component[rows[is_free]], position, classes=len(classes), parts=parts)
    assignment.fill()
    missing = assignment.missing()
    if missing:
        movable = {classes[label]: assignment.components(label) for label, _ in missing}
        if (fixed != _UNASSIGNED).any():
            _refuse_absent([name for name, number in movable.items() if not number])
        _refuse_small({name: number for name, number in movable.items() if number < len(wanted)}, wanted)
        label, split = missing[0]
        raise _missing_error(classes[label], SPLITS[split], movable[classes[label]])
    return np.where(free, assignment.part[component], fixed)


def _given(given: Sequence[str | None], component: npt.NDArray[np.int32]) -> npt.NDArray[np.int8]:
    """(images,) int8: the split in the source of an image, or else of its component; -1 if neither has one."""
    fixed = np.full(len(component), _UNASSIGNED, dtype=np.int8)
    for row, name in enumerate(given):
        if name is not None:
            fixed[row] = SPLITS.index(name)
    of_component = np.full(component.max() + 1, _UNASSIGNED, dtype=np.int8)
    np.maximum.at(of_component, component, fixed)  # TEST is the largest number, so test comes before validation
    return np.where(fixed == _UNASSIGNED, of_component[component], fixed)


def _refuse_absent(absent: list[str]) -> None:
    """Raises `UserError` for classes that the source has in its validation or test split only."""
    if absent:
        noun, verb = agreeing(len(absent), "class", "classes"), agreeing(len(absent), "is", "are")
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
        found = f"class {name!r} has {counted(number, 'image')}"
    else:
        shown = [f"{name!r} has {number}" for name, number in numbers.items()]
        more = f" and {len(shown) - _NAMED:,} more" if len(shown) > _NAMED else ""
        found = f"{len(shown):,} classes have too few images ({', '.join(shown[:_NAMED])}{more})"
    splits = " and ".join(", ".join(SPLITS[split] for split in sorted(wanted)).rsplit(", ", 1))
    raise UserError(
        f"{found} that can be in different splits, but at least {len(wanted)} are needed, one for each of {splits}: add "
        "images, correct a misspelled name, or remove such classes, which ingest.min_images_per_class can do."
    )


def _missing_error(name: str, split: str, movable: int) -> UserError:
    found = counted(movable, "image or group of images", "images or groups of images")
    return UserError(
        f"class {name!r} has no images in the {split} split: {found} could be moved there, but "
        "then a class would have none in another split; add images to the class or remove it."
    )


def absent_classes(
    labels: npt.NDArray[np.uint16],
    splits: npt.NDArray[np.int8],
    classes: Sequence[str],
    label_sets: LabelSets | None = None,
) -> dict[str, list[str]]:
    """By split, the names of classes without images in it. This is possible only for splits of the source."""
    absent: dict[str, list[str]] = {}
    for split, split_name in enumerate(SPLITS):
        images = images_by_class(labels[splits == split], label_sets, len(classes))
        if not images.all():
            absent[split_name] = [classes[label] for label in np.flatnonzero(images == 0).tolist()]
    return absent


def few_for_validation(images: Sequence[int], total: int | None = None) -> str | None:
    """What to tell if the validation split is so small that the choice of the epoch and the temperature are uncertain.

    Args:
        images: its number of images of each class.
        total: its number of images; None if each is of one class.

    Returns:
        A sentence without its end; None if the split has enough images.
    """
    total, least = sum(images) if total is None else total, min(images, default=0)
    if total >= _FEW_IMAGES and least >= _FEW_OF_A_CLASS:
        return None
    return (
        f"the validation split has {counted(total, 'image')}, at least one class has {least or 'none'}, which is few to "
        "choose the epoch and fit the temperature of the probabilities by; raise preprocess.validation_share, or add images"
    )


def groups_across_splits(groups: Sequence[str | None], splits: npt.NDArray[np.int8]) -> list[str]:
    """The names of groups in more than one split. This is possible only for splits of the source."""
    found: dict[str, set[int]] = {}
    for group, split in zip(groups, splits.tolist(), strict=True):
        if group is not None:
            found.setdefault(group, set()).add(split)
    return [group for group, of_group in found.items() if len(of_group) > 1]
