"""How much an int8 export differs from its network in float32, on images with known classes."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from resnet.comparison.paired_comparison import compare_hits
from resnet.core.errors import UserError
from resnet.export.agreement import same_labels
from resnet.export.labels import answers

WORSE = 0.005  # of the accuracy, which an int8 export may lose


@dataclass(frozen=True)
class Drift:
    """The comparison of two classifiers on the same images.

    Attributes:
        images: their number.
        accuracy: of the network in float32, in [0, 1]: share of images with the right class, or exactly the right set.
        int8_accuracy: of the export.
        difference: the second minus the first.
        low: lower bound of the difference's 95 % interval, see `resnet.comparison.paired_comparison.paired_interval`.
        high: upper bound.
        same_label: on how many images both find the same class the most probable, or exactly the same set of classes.
        mean_change: mean difference of a probability.
        largest_change: largest difference of a probability.
        same_pairs: share of the pairs of image and class on which both agree; None if each image has one label.
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
    same_pairs: float | None = None

    def __str__(self) -> str:
        accuracies = f"accuracy {100 * self.int8_accuracy:.2f} % instead of {100 * self.accuracy:.2f} % in float32"
        interval = f"{100 * self.difference:+.2f} points, 95 % interval {100 * self.low:+.2f} to {100 * self.high:+.2f}"
        labels = same_labels(self.same_label, self.images, self.same_pairs)
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
        """The attributes by their names, for JSON; without `same_pairs` if each image has one label."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def measure_drift(
    labels: npt.NDArray[np.integer | np.bool_],
    expected: npt.NDArray[np.float32],
    found: npt.NDArray[np.float32],
    thresholds: Sequence[float] | None = None,
) -> Drift:
    """Compares the probabilities of an export with those of its network in float32.

    Args:
        labels: (images,) the class of each image, or (images, classes) bool, whether it has the class.
        expected: (images, classes) by the network in float32.
        found: (images, classes) by the export.
        thresholds: one for each class, of a network for several labels an image.

    Raises:
        ValueError: there are no images, or shapes differ.
    """
    if expected.shape != found.shape:
        raise ValueError(f"Probabilities of one shape are needed. Received: {expected.shape} and {found.shape}.")
    before, after = answers(expected, thresholds), answers(found, thresholds)
    truth = labels.reshape(len(labels), -1)
    compared = compare_hits((before == truth).all(axis=1), (after == truth).all(axis=1))
    same = before == after
    changes = np.abs(expected - found)
    return Drift(
        images=len(labels),
        accuracy=compared.first / len(labels),
        int8_accuracy=compared.second / len(labels),
        difference=compared.difference,
        low=compared.low,
        high=compared.high,
        same_label=int(same.all(axis=1).sum()),
        mean_change=float(changes.mean()),
        largest_change=float(changes.max()),
        same_pairs=None if thresholds is None else float(same.mean()),
    )
