"""Mixup and CutMix: two training images are combined into one, and so are their labels.

Mixup is a weighted mean of two images (Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2017). CutMix pastes a
rectangle of one image into the other (Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with
Localizable Features", 2019). The share of the first image is drawn from Beta(alpha, alpha), for each image separately.

Each image is mixed with the next one in the batch. The order changes with every epoch, so the pairs do too.
"""

from typing import NamedTuple

import tensorflow as tf


class Mixed(NamedTuple):
    """A batch of mixed images.

    Attributes:
        images: (batch, height, width, channels) float32.
        labels: (batch,) of the first images.
        others: (batch,) labels of the images that were mixed in; None without mixing.
        shares: (batch,) float32 in [0, 1], the shares of `labels`; `others` have the rest. None without mixing.
    """

    images: tf.Tensor
    labels: tf.Tensor
    others: tf.Tensor | None = None
    shares: tf.Tensor | None = None

    @property
    def main_labels(self) -> tf.Tensor:
        """(batch,): of each image the label with the larger share."""
        return self.labels if self.shares is None else tf.where(self.shares >= 0.5, self.labels, self.others)

    def part(self, number: tf.Tensor | int, size: int) -> "Mixed":
        """Images number * size to (number + 1) * size - 1 of the batch."""

        def cut(whole: tf.Tensor) -> tf.Tensor:
            return tf.slice(whole, [number * size, *[0] * (len(whole.shape) - 1)], [size, *whole.shape[1:]])

        return Mixed(*(None if one is None else cut(one) for one in self))


def draw_shares(images: int, alpha: float, seed: tf.Tensor) -> tf.Tensor:
    """(images, 1) float32 from Beta(alpha, alpha), a function of the seed; 1 if alpha is 0."""
    if not alpha:
        return tf.ones((images, 1))
    gammas = tf.random.stateless_gamma((images, 2), seed, alpha=alpha)
    # With a small alpha both can round to zero, where the share would be near 0 or 1.
    return tf.math.divide_no_nan(gammas[:, :1], tf.reduce_sum(gammas, axis=1, keepdims=True))


def mix(images: tf.Tensor, labels: tf.Tensor, draws: tf.Tensor, *, mixup: bool, cutmix: bool) -> Mixed:
    """Mixes each image with the next one in the batch, and the last with the first.

    Args:
        images: (batch, height, width, channels) float32.
        labels: (batch,).
        draws: (batch, 5) random numbers: the choice of mixup or CutMix, the share for mixup, the share for CutMix, the centre
            of the rectangle (vertical, horizontal).
        mixup: enables mixup. If both are enabled, each is applied to half of the images.
        cutmix: enables CutMix.
    """
    others, other_labels = tf.roll(images, -1, axis=0), tf.roll(labels, -1, axis=0)
    cut = draws[:, 0] < 0.5 if mixup and cutmix else tf.fill(tf.shape(draws)[:1], cutmix)
    inside, left = _cut(images.shape, draws[:, 2:])
    shares = tf.where(cut, left, draws[:, 1])
    weights = tf.where(cut[:, tf.newaxis, tf.newaxis], 1.0 - inside, draws[:, 1, tf.newaxis, tf.newaxis])[..., tf.newaxis]
    return Mixed(weights * images + (1.0 - weights) * others, labels, other_labels, shares)


def _cut(shape: tf.TensorShape, draws: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """(batch, height, width), 1.0 inside the pasted rectangle, and (batch,), the share of the area outside it."""

    def inside(side: int, middle: tf.Tensor) -> tf.Tensor:
        half = tf.floor(side * tf.sqrt(1.0 - draws[:, 0])) // 2
        centre = tf.floor(middle * side)
        pixels = tf.range(side, dtype=tf.float32)[tf.newaxis]
        within = (pixels >= (centre - half)[:, tf.newaxis]) & (pixels < (centre + half)[:, tf.newaxis])
        return tf.cast(within, tf.float32)

    rows, columns = inside(shape[1], draws[:, 1]), inside(shape[2], draws[:, 2])
    left = 1.0 - tf.reduce_mean(rows, axis=1) * tf.reduce_mean(columns, axis=1)
    return rows[:, :, tf.newaxis] * columns[:, tf.newaxis, :], left
