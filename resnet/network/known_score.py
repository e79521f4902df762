"""The score that tells images of the classes from all others, with its threshold at zero.

It is one minus the squared distance of an image's features, the input of the head, to the nearest class mean, in units of the
largest distance that is accepted. So it is negative for an image that shows none of the classes, and at most one. Directions in
which the images of one class vary much count less (Lee et al., "A Simple Unified Framework for Detecting Out-of-Distribution
Samples and Adversarial Attacks", 2018, section 2.1). `resnet.training.refusal` fits it.

It needs neither Keras nor TensorFlow.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from resnet.core.row_blocks import row_blocks
from resnet.core.words import agreeing, counted

OUTPUT = "known_score"  # its name in exports
MOST_DIRECTIONS = 64
# With these limits of its numbers every sum stays finite in float32 for 2,048 features of at most the second.
LARGEST = 1e9
LARGEST_FEATURE = 1e5

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class KnownScore:
    """A squared distance as a dense layer and sums, of x = features - middle.

    With z = x @ kernel + bias it is 1 - scale x.x + sum(z[:n]^2) - min(z[n:]).

    The first n columns are directions that count less. Then there is a column for each class, with what is left of the square
    of the difference to its mean.

    The middle of the class means is subtracted first. Squares around the origin would be large where features are, and their
    difference would lose its digits in float32.

    Attributes:
        middle: (features,) float32.
        kernel: (features, n + classes) float32.
        bias: (n + classes,) float32.
        scale: of the sum of squared features, positive.
        directions: n.
    """

    middle: Array
    kernel: Array
    bias: Array
    scale: float
    directions: int

    def __call__(self, features: npt.NDArray[np.floating]) -> Array:
        """The scores, (images,) float32, of features (images, features); not negative for images of the classes.

        They are computed in float32, as exports do. A score that is not finite, or beyond `LARGEST`, becomes -`LARGEST`.
        """
        found = self._scores(features, self.middle, self.kernel, self.bias, np.float32(self.scale))
        return np.where(np.abs(found) <= LARGEST, found, np.float32(-LARGEST))

    def exact(self, features: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """The same in float64: how far rounding moves the scores."""
        middle, kernel, bias = (np.asarray(part, np.float64) for part in (self.middle, self.kernel, self.bias))
        return np.asarray(self._scores(features, middle, kernel, bias, np.float64(self.scale)))

    def _scores(self, features: npt.NDArray[np.floating], middle: Any, kernel: Any, bias: Any, scale: Any) -> Any:
        """The scores in the precision of `middle`."""
        scores = np.empty(len(features), middle.dtype)
        with np.errstate(over="ignore", invalid="ignore"):  # of features that are not finite
            for rows in row_blocks(*features.shape):
                x = np.asarray(features[rows], middle.dtype) - middle
                z = x @ kernel + bias
                directions, classes = z[:, : self.directions], z[:, self.directions :]
                scores[rows] = 1 - (scale * (x * x).sum(axis=1) - (directions * directions).sum(axis=1) + classes.min(axis=1))
        return scores

    def to_bytes(self) -> bytes:
        """Scale, middle, bias and kernel as little-endian float32."""
        return b"".join(np.asarray(part, "<f4").tobytes() for part in (self.scale, self.middle, self.bias, self.kernel))


def is_known(scores: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
    """(images,) whether an image shows one of the classes. A score that is not finite says that it does not."""
    return np.isfinite(scores) & (scores >= 0)


def is_usable(score: KnownScore) -> bool:
    """Whether its numbers are finite and within the limits, and its scale is positive."""
    parts = ((score.middle, LARGEST_FEATURE), (score.bias, LARGEST), (score.kernel, LARGEST))
    return 0 < score.scale <= LARGEST and all(bool((np.abs(part) <= most).all()) for part, most in parts)


def read_known_score(content: bytes, features: int, classes: int) -> KnownScore:
    """Reads what `KnownScore.to_bytes` wrote.

    Raises:
        ValueError: it has not the size for so many features and classes, or numbers that no training writes.
    """
    columns, rest = divmod(len(content) // 4 - 1 - features, features + 1)
    if len(content) % 4 or rest or not 0 <= columns - classes <= MOST_DIRECTIONS:
        size = f"{counted(len(content), 'byte')}, which {agreeing(len(content), 'does', 'do')} not fit"
        raise ValueError(f"its known score has {size} {counted(features, 'feature')}, {counted(classes, 'class', 'classes')}")
    values = np.frombuffer(content, "<f4").astype(np.float32)
    middle, bias, kernel = np.split(values[1:], [features, features + columns])
    found = KnownScore(middle, kernel.reshape(features, columns), bias, float(values[0]), columns - classes)
    if not is_usable(found):
        raise ValueError("its known score has numbers that are not finite or too large, or a scale that is not positive")
    return found
