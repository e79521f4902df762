"""How much an int8 export differs from its network in float32, on images with known classes."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from resnet.comparison.paired_comparison import compare_hits
from resnet.core.errors import UserError
from resnet.core.words import counted

WORSE = 0.005  # of the accuracy, which an int8 export may lose


@dataclass(frozen=True)
class Drift:
    """The comparison of two classifiers on the same images.

    Attributes:
        images: their number.
        accuracy: of the network in float32, in [0, 1].
        int8_accuracy: of the export.
        difference: the second minus the first.
        low: lower bound of the difference's 95 % interval, see `resnet.comparison.paired_comparison.paired_interval`.
        high: upper bound.
        same_label: on how many images both find the same class the most probable.
        mean_change: mean difference of a probability.
        largest_change: largest difference of a probability.
    """

    images: int
    accuracy: float
    int8_accuracy: float
    difference: float
    low: float
    high: float
    same_label: int
    mean_change: float
    largest_change: float

    def __str__(self) -> str:
        accuracies = f"accuracy {100 * self.int8_accuracy:.2f} % instead of {100 * self.accuracy:.2f} % in float32"
        interval = f"{100 * self.difference:+.2f} points, 95 % interval {100 * self.low:+.2f} to {100 * self.high:+.2f}"
        labels = f"same label on {self.same_label:,} of {counted(self.images, 'image')}"
        changes = f"difference of a probability {self.mean_change:.1e} in the mean, {self.largest_change:.1e} at most"
        return f"{accuracies} ({interval}); {labels}, {changes}"

    def check(self, name: str) -> None:
        """Raises `UserError` if the export is worse by more than `WORSE` and chance, or returns no probabilities."""
        if not self.largest_change <= 1:
            raise UserError(
                f"{name} in int8 returns numbers that are no probabilities: nothing was written; report this with the versions "
                "that `train-resnet doctor` prints."
            )
        if self.high < -WORSE:
            raise UserError(
                f"{name} in int8 is worse than in float32 by more than {100 * WORSE:g} points beyond chance: {self}: nothing "
                "was written; export in float32, without --int8."
            )

    def is_open(self) -> bool:
        """Whether there are too few images to rule out a loss of more than `WORSE`."""
        return self.low < -WORSE

    def figures(self) -> dict[str, Any]:
        """The attributes by their names, for JSON."""
        return asdict(self)


def measure_drift(labels: npt.NDArray[np.integer], expected: npt.NDArray[np.float32], found: npt.NDArray[np.float32]) -> Drift:
    """Compares the probabilities of an export with those of its network in float32.

    Args:
        labels: (images,) the class of each image.
        expected: (images, classes) by the network in float32.
        found: (images, classes) by the export.

    Raises:
        ValueError: there are no images, or shapes differ.
    """
    if expected.shape != found.shape:
        raise ValueError(f"Probabilities of one shape are needed. Received: {expected.shape} and {found.shape}.")
    before, after = expected.argmax(axis=1), found.argmax(axis=1)
    compared = compare_hits(before == labels, after == labels)
    changes = np.abs(expected - found)
    return Drift(
        images=len(labels),
        accuracy=compared.first / len(labels),
        int8_accuracy=compared.second / len(labels),
        difference=compared.difference,
        low=compared.low,
        high=compared.high,
        same_label=int((before == after).sum()),
        mean_change=float(changes.mean()),
        largest_change=float(changes.max()),
    )
