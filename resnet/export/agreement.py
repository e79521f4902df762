"""Comparison of an export's probabilities with the model's."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from resnet.core.errors import UserError

SAME_LABEL = 0.999  # share of images
LARGEST = 1e-4  # difference of a probability, in float32


@dataclass(frozen=True)
class Agreement:
    """How two classifiers agree on the same images.

    Attributes:
        images: number of images.
        same_label: number of images for which both give the same most probable class.
        largest: the largest difference of any probability; NaN if one is NaN.
    """

    images: int
    same_label: int
    largest: float

    def __str__(self) -> str:
        labels = f"same label on {self.same_label:,} of {self.images:,} images"
        return f"{labels}, largest difference of a probability {self.largest:.1e}"

    def check(self, name: str, largest: float = LARGEST, same_label: float = SAME_LABEL) -> None:
        """Raises `UserError` if they differ by more than rounding explains, or if a probability is NaN."""
        if self.same_label < same_label * self.images or not self.largest <= largest:
            raise UserError(
                f"{name} does not agree with the model: {self}; expected the same label on {100 * same_label:g} % and at most "
                f"{largest:.0e}; nothing was written: report this with the versions that `train-resnet doctor` prints."
            )


def compare(expected: npt.NDArray[np.float32], found: npt.NDArray[np.float32]) -> Agreement:
    """Compares probabilities, both of shape (images, classes).

    Raises:
        ValueError: their shapes differ.
    """
    if expected.shape != found.shape:
        raise ValueError(f"Probabilities of one shape are needed. Received: {expected.shape} and {found.shape}.")
    same = int((expected.argmax(axis=1) == found.argmax(axis=1)).sum())
    return Agreement(len(expected), same, float(np.abs(expected - found).max()))
