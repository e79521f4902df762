"""Whether an export computes what the model computes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from resnet.core.errors import UserError
from resnet.core.words import counted
from resnet.export.labels import answers

SAME_LABEL = 0.999  # share of images
LARGEST = 1e-4  # difference of a probability, in float32
NEAR_ZERO = 1e-2  # a known score that float32 may round to either side: it is a difference of squares
# After resizing. A sum halfway between two levels may be rounded either way: at most 6e-4 on 182 images of the digits.
RESIZED_LARGEST = 5e-3
RESIZED_SAME_LABEL = 0.9  # of a few images: one that is halfway between two classes may change


@dataclass(frozen=True)
class Agreement:
    """How two classifiers compare on the same images.

    Attributes:
        images: their number.
        same_label: on how many of them both find the same class the most probable, or exactly the same set of classes.
        largest: difference of any probability.
        same_pairs: share of the pairs of image and class on which both agree; None if each image has one label.
    """

    images: int
    same_label: int
    largest: float
    same_pairs: float | None = None

    def __str__(self) -> str:
        labels = same_labels(self.same_label, self.images, self.same_pairs)
        return f"{labels}, largest difference of a probability {self.largest:.1e}"

    def check(self, name: str, largest: float = LARGEST, same_label: float = SAME_LABEL) -> None:
        """Raises `UserError` if they differ by more than what rounding explains, or in no number.

        Args:
            name: of the export.
            largest: the largest difference of a probability that is right.
            same_label: the least share of images with the same label, or of pairs with the same answer: a set of many classes
                changes if one probability next to its threshold is rounded.
        """
        share = self.same_label / self.images if self.same_pairs is None else self.same_pairs
        if share < same_label or not self.largest <= largest:
            what = "label on {:g} %" if self.same_pairs is None else "answer on {:g} % of the pairs"
            raise UserError(
                f"{name} does not agree with the model: {self}; expected the same {what.format(100 * same_label)} and at most "
                f"{largest:.0e}: nothing was written; report this with the versions that `train-resnet doctor` prints."
            )


def same_labels(same_label: int, images: int, same_pairs: float | None) -> str:
    """Says on how many images two classifiers agree, and on what share of the pairs of image and class if that is known."""
    whole = f"{same_label:,} of {counted(images, 'image')}"
    if same_pairs is None:
        return f"same label on {whole}"
    return f"same labels on {whole}, same answer on {100 * same_pairs:.2f} % of the pairs of image and class"


def measure_agreement(
    expected: npt.NDArray[np.float32], found: npt.NDArray[np.float32], thresholds: Sequence[float] | None = None
) -> Agreement:
    """Compares probabilities.

    Args:
        expected: (images, classes).
        found: (images, classes).
        thresholds: one for each class, of a network for several labels an image.

    Raises:
        ValueError: the probabilities are of different shapes.
    """
    if expected.shape != found.shape:
        raise ValueError(f"Probabilities of one shape are needed. Received: {expected.shape} and {found.shape}.")
    same = answers(expected, thresholds) == answers(found, thresholds)
    return Agreement(
        images=len(expected),
        same_label=int(same.all(axis=1).sum()),
        largest=float(np.abs(expected - found).max()),
        same_pairs=None if thresholds is None else float(same.mean()),
    )
