"""Cross-validated accuracy: each image is judged once, by the network that was not trained on it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class CrossValidation:
    """How many images the networks of the folds get right.

    Attributes:
        images: the number of images in each fold.
        hits: the number of them that are predicted as labelled.
    """

    images: tuple[int, ...]
    hits: tuple[int, ...]

    @classmethod
    def of(cls, correct: npt.NDArray[np.bool_], fold: npt.NDArray[np.int64]) -> "CrossValidation":
        """Counts by fold.

        Args:
            correct: (images,) bool, whether each image is predicted as labelled.
            fold: (images,) int64, the fold of each image, from 0.
        """
        images, hits = np.bincount(fold), np.bincount(fold, weights=correct)
        return cls(tuple(images.tolist()), tuple(int(number) for number in hits))

    @property
    def accuracy(self) -> float:
        """The share of all images."""
        return sum(self.hits) / sum(self.images)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of Wilson for the hits of all folds together.

        It takes the images for independent. The networks of the folds share most of their training images, so it is a little
        too narrow for the accuracy of another training set; the spread of the folds shows how much that matters.
        """
        from resnet.evaluation.metrics import wilson_interval

        return wilson_interval(sum(self.hits), sum(self.images))

    @property
    def of_folds(self) -> tuple[float, ...]:
        """The accuracy of each fold."""
        return tuple(hits / images for hits, images in zip(self.hits, self.images, strict=True))

    def sentence(self) -> str:
        """The figures in words, as in `cross-validated accuracy 91.2 % (95 % interval 90.1 to 92.2 %) of ...`."""
        low, high = self.interval
        each = self.of_folds
        return (
            f"cross-validated accuracy {100 * self.accuracy:.2f} % (95 % interval {100 * low:.2f} to {100 * high:.2f} %) of "
            f"{sum(self.images):,} images, each judged by a network that was not trained on it; the {len(each)} folds have "
            f"{100 * min(each):.2f} to {100 * max(each):.2f} %, standard deviation {100 * float(np.std(each, ddof=1)):.2f}"
        )
