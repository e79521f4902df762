"""Folds for cross-validation: one of several about equal parts of the images is the test split.

The parts are equal intervals of the positions of `resnet.preparation.components`, so they depend on content and seed alone, and
adding images moves no others. The number of the fold does not affect them: the folds of a data set partition its images.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from resnet.core.errors import UserError, listed
from resnet.core.label_sets import LabelSets
from resnet.core.words import agreeing, counted
from resnet.preparation.assignment import Assignment
from resnet.preparation.class_pairs import class_pairs
from resnet.preparation.components import components_of, positions_of
from resnet.preparation.splits import TEST, TRAINING, VALIDATION

MOST_FOLDS = 100
_PATTERN = r"[1-9]\d{0,2}/[1-9]\d{0,2}"
_NAMED = 10  # classes in a message


@dataclass(frozen=True)
class Fold:
    """One of several parts.

    Attributes:
        number: from 1.
        of: the number of parts, 2 to 100.
    """

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> "Fold":
        """The fold that a text such as `1/5` means: the first of five.

        Raises:
            UserError: it means none.
        """
        fold = cls(*map(int, text.split("/"))) if re.fullmatch(_PATTERN, text) else None
        if fold is None or not 2 <= fold.of <= MOST_FOLDS or fold.number > fold.of:
            raise UserError(
                f"preprocess.fold is {text!r}, but expected is NUMBER/FOLDS with 2 to {MOST_FOLDS} folds and a number from 1 "
                "to that of the folds: 1/5 is the first of five."
            )
        return fold

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


def assign_fold(
    labels: npt.NDArray[np.uint16],
    pixel_hashes: npt.NDArray[np.uint8],
    classes: Sequence[str],
    fold: Fold,
    *,
    validation_share: float,
    seed: int,
    groups: Sequence[str | None] = (),
    together: npt.NDArray[np.int64] | None = None,
    label_sets: LabelSets | None = None,
) -> npt.NDArray[np.int8]:
    """Makes a fold the test split. Of the other images, a share is for validation, and the rest for training.

    If a class has no component in a fold, its nearest one is moved there, as `assign_splits` does.

    Args:
        labels: (images,) uint16, indices into `classes`, or into `label_sets`.
        pixel_hashes: (images, 32) uint8, equal for equal pixels.
        classes: the class names.
        fold: the part for testing.
        validation_share: the share of validation among the other images.
        seed: different seeds give different folds.
        groups: for each image the name of its group, or None; empty if the source has no groups.
        together: (pairs, 2) row numbers of images that must stay together.
        label_sets: the sets of images with several labels each.

    Returns:
        (images,) int8, indices into `SPLITS`.

    Raises:
        UserError: a class has too few images for so many folds. Which fold is asked for does not matter.
    """
    component = components_of(pixel_hashes, groups, together)
    position = positions_of(pixel_hashes, groups, component, seed)
    parts = {number: (number / fold.of, (number + 1) / fold.of) for number in range(fold.of)}
    rows, label_of = class_pairs(labels, label_sets)
    folds = Assignment(label_of, component[rows], position, classes=len(classes), parts=parts)
    folds.fill()
    _refuse_too_many(folds, classes, fold.of)
    is_test = folds.part[component] == fold.number - 1
    # The positions after the fold and, from 0 again, before it, stretched to the interval from 0 to 1.
    among_others = (position - fold.number / fold.of) % 1.0 * fold.of / (fold.of - 1)
    other = ~is_test[rows]
    others = Assignment(
        label_of[other],
        component[rows[other]],
        among_others,
        classes=len(classes),
        parts={TRAINING: (validation_share, 1.0), VALIDATION: (0.0, validation_share)},
    )
    others.fill()
    if missing := others.missing():
        raise _joined_error({classes[label] for label, _ in missing}, fold.of)
    return np.where(is_test, np.int8(TEST), others.part[component])


def _refuse_too_many(folds: Assignment, classes: Sequence[str], number: int) -> None:
    """Raises `UserError` for classes that are not in each fold, or have fewer than two components outside one."""
    in_all = folds.count.sum(axis=1)
    few = np.flatnonzero(in_all < number)
    if len(few):
        shown = ", ".join(f"class {classes[label]!r} has {in_all[label]}" for label in few[:_NAMED].tolist())
        left = len(few) - _NAMED
        more = f", and so {agreeing(left, 'has', 'have')} {counted(left, 'other class', 'other classes')}" if left > 0 else ""
        least = int(in_all.min())
        fewer = f"use at most {least} folds, " if least > 2 else ""
        raise UserError(
            f"{number} folds need at least as many images of each class that can be in different folds, but {shown}{more}: "
            f"{fewer}add images, or remove such classes, which ingest.min_images_per_class can do."
        )
    outside = in_all[:, None] - folds.count
    short = [classes[label] for label in np.flatnonzero((folds.count == 0).any(axis=1) | (outside < 2).any(axis=1)).tolist()]
    if short:
        raise _joined_error(short, number)


def _joined_error(names: Sequence[str] | set[str], number: int) -> UserError:
    return UserError(
        f"the images of {listed(sorted(names))} cannot be divided into {number} folds so that one image or group of images of "
        "each class is in each fold, in training and in validation: use another number of folds, or add images."
    )
