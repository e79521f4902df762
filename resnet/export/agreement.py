"""Whether an export computes what the model computes."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from resnet.core.errors import UserError
from resnet.core.words import counted

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
        same_label: on how many of them both find the same class the most probable.
        largest: difference of any probability.
    """

    images: int
    same_label: int
    largest: float

    def __str__(self) -> str:
        labels = f"same label on {self.same_label:,} of {counted(self.images, 'image')}"
        return f"{labels}, largest difference of a probability {self.largest:.1e}"

    def check(self, name: str, largest: float = LARGEST, same_label: float = SAME_LABEL) -> None:
        """Raises `UserError` if they differ by more than what rounding explains, or in no number."""
        if self.same_label < same_label * self.images or not self.largest <= largest:
            raise UserError(
                f"{name} does not agree with the model: {self}; expected the same label on {100 * same_label:g} % and at most "
                f"{largest:.0e}: nothing was written; report this with the versions that `train-resnet doctor` prints."
            )


def measure_agreement(expected: npt.NDArray[np.float32], found: npt.NDArray[np.float32]) -> Agreement:
    """Compares probabilities, (images, classes) each.

    Raises:
        ValueError: they are of different shapes.
    """
    if expected.shape != found.shape:
        raise ValueError(f"Probabilities of one shape are needed. Received: {expected.shape} and {found.shape}.")
    same = int((expected.argmax(axis=1) == found.argmax(axis=1)).sum())
    return Agreement(len(expected), same, float(np.abs(expected - found).max()))
