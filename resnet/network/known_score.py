"""The score that tells images of the classes from all others, with its threshold at zero.

It is one minus the squared distance of an image's features, the input of the head, to the nearest class mean, in units of the
largest distance that is accepted. So it is negative for an image that shows none of the classes, and at most one. Directions in
which the images of one class vary much count less (Lee et al., "A Simple Unified Framework for Detecting Out-of-Distribution
Samples and Adversarial Attacks", 2018, section 2.1). `resnet.training.refusal` fits it.

It needs neither Keras nor TensorFlow.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

OUTPUT = "known_score"  # its name in exports
MOST_DIRECTIONS = 64

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class KnownScore:
    """A squared distance as a dense layer, z = x @ kernel + bias, and sums: 1 - scale x.x + sum(z[:n]^2) - min(z[n:]).

    The first n columns are directions that count less. Then there is a column for each class, with what is left of the square
    of the difference to its mean.

    Attributes:
        kernel: (features, n + classes) float32.
        bias: (n + classes,) float32.
        scale: of the sum of squared features, positive.
        directions: n.
    """

    kernel: Array
    bias: Array
    scale: float
    directions: int

    def __call__(self, features: npt.NDArray[np.floating]) -> Array:
        """The scores, (images,) float32, of features (images, features); negative for none of the classes."""
        x = np.asarray(features, np.float64)
        z = x @ self.kernel.astype(np.float64) + self.bias
        far = (
            self.scale * (x * x).sum(axis=1) - (z[:, : self.directions] ** 2).sum(axis=1) + z[:, self.directions :].min(axis=1)
        )
        return np.asarray(1.0 - far, np.float32)

    def to_bytes(self) -> bytes:
        """Scale, bias and kernel as little-endian float32."""
        return b"".join(np.asarray(part, "<f4").tobytes() for part in (self.scale, self.bias, self.kernel))


def read_known_score(content: bytes, features: int, classes: int) -> KnownScore:
    """Reads what `KnownScore.to_bytes` wrote.

    Raises:
        ValueError: it has not the size for so many features and classes, or numbers that no training writes.
    """
    columns, rest = divmod(len(content) // 4 - 1, features + 1)
    if len(content) % 4 or rest or not 0 <= columns - classes <= MOST_DIRECTIONS:
        raise ValueError(
            f"its known score has {len(content):,} bytes, which do not fit {features:,} features, {classes:,} classes"
        )
    values = np.frombuffer(content, "<f4").astype(np.float32)
    if not np.isfinite(values).all() or values[0] <= 0:
        raise ValueError("its known score has numbers that are not finite, or a scale that is not positive")
    bias, kernel = values[1 : columns + 1], values[columns + 1 :].reshape(features, columns)
    return KnownScore(kernel, bias, float(values[0]), columns - classes)
