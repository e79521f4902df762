"""Random changes to training images that leave their label as it is."""

from dataclasses import dataclass

import tensorflow as tf

DRAWS = 3  # random numbers for each image: shift down, shift right, flip


@dataclass(frozen=True)
class Augmentation:
    """What may be done to a training image.

    Attributes:
        flip: mirror half of the images left to right; not for images whose mirror image means something else, as digits.
        shift: up to this share of the side, in [0, 1), in either direction, both down and across; what comes in is black.
    """

    flip: bool = False
    shift: float = 0.0

    def draw(self, images: int, seed: int, epoch: int) -> tf.Tensor:
        """The random numbers of one epoch: (images, `DRAWS`) float32 in [0, 1).

        Row i belongs to image i of the split wherever in the epoch it comes, so what happens to an image depends on
        (seed, epoch, image) alone, not on batch size, order or a restart.
        """
        return tf.random.stateless_uniform((images, DRAWS), seed=(seed, epoch), alg="philox")

    def __call__(self, images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """(batch, height, width, channels) and their (batch, `DRAWS`) random numbers to images of the same type and shape."""
        if self.shift:
            images = _shift(images, draws[:, 0], self.shift, axis=1)
            images = _shift(images, draws[:, 1], self.shift, axis=2)
        if self.flip:
            mirrored = (draws[:, 2] < 0.5)[:, tf.newaxis, tf.newaxis, tf.newaxis]
            images = tf.where(mirrored, tf.reverse(images, axis=[2]), images)
        return images


def _shift(images: tf.Tensor, draws: tf.Tensor, share: float, axis: int) -> tf.Tensor:
    """Moves each image along one axis by a whole number of pixels, uniform between -share and share of its side."""
    side = images.shape[axis]
    most = round(share * side)
    # draws are below 1 and there are 2 * most + 1 offsets, each as likely as the others.
    offsets = tf.cast(draws * (2 * most + 1), tf.int32) - most
    sources = tf.range(side)[tf.newaxis, :] + offsets[:, tf.newaxis]
    moved = tf.gather(images, tf.clip_by_value(sources, 0, side - 1), axis=axis, batch_dims=1)
    inside = (sources >= 0) & (sources < side)
    inside = inside[:, :, tf.newaxis, tf.newaxis] if axis == 1 else inside[:, tf.newaxis, :, tf.newaxis]
    return tf.where(inside, moved, tf.zeros((), images.dtype))
