"""Random changes to training images: which random numbers there are, and in what order the changes come.

Not Keras's layers of these names: they draw from a state that grows with every call, and RandAugment's one operation for a
whole batch. Here a change is a function of (seed, epoch, image).
"""

from dataclasses import dataclass

import tensorflow as tf

from resnet.training.mixing import Mixed, draw_shares, mix
from resnet.training.trivial_augment import trivial_augment

DRAWS = 3  # random numbers for each image: shift down, shift right, flip

_CROP = slice(3, 7)  # further ones: area, ratio, top, left
_TRIVIAL = slice(7, 10)  # operation, strength, direction
_MIX = slice(10, 15)  # which of the two, shares of mixup and cutmix, middle of the cut down and across
_FURTHER = 10  # that are uniform: all of these but the two shares


@dataclass(frozen=True)
class Augmentation:
    """What may be done to a training image.

    Attributes:
        flip: mirror half of the images left to right; not for images whose mirror image means something else, as digits.
        shift: up to this share of the side, in [0, 1), in either direction, both down and across; what comes in is black.
        crop: least share of the area, in (0, 1], that a random crop keeps, which is then brought back to full size; 1 is none.
        trivial: whether to apply `resnet.training.trivial_augment`.
        mixup: alpha of `resnet.training.mixing`, 0 is none.
        cutmix: likewise.
    """

    flip: bool = False
    shift: float = 0.0
    crop: float = 1.0
    trivial: bool = False
    mixup: float = 0.0
    cutmix: float = 0.0

    def draw(self, images: int, seed: int, epoch: int) -> tf.Tensor:
        """The random numbers of one epoch: (images, `DRAWS` or more) float32 in [0, 1).

        Row i belongs to image i of the split wherever in the epoch it comes, so what happens to an image depends on
        (seed, epoch, image) alone, not on batch size, order or a restart.
        """
        draws = tf.random.stateless_uniform((images, DRAWS), seed=(seed, epoch), alg="philox")
        if self.crop == 1.0 and not (self.trivial or self.mixes):
            return draws
        # Apart from the first ones, so that an image is shifted and flipped alike with and without the further changes.
        streams = tf.random.split(tf.constant((seed, epoch), tf.int64), num=3)
        further = tf.random.stateless_uniform((images, _FURTHER), seed=streams[0], alg="philox")
        shares = [draw_shares(images, self.mixup, streams[1]), draw_shares(images, self.cutmix, streams[2])]
        return tf.concat([draws, further[:, :8], *shares, further[:, 8:]], axis=1)

    def __call__(self, images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """(batch, height, width, channels) and their random numbers to images of the same type and shape."""
        if self.shift:
            images = _shift(images, draws[:, 0], self.shift, axis=1)
            images = _shift(images, draws[:, 1], self.shift, axis=2)
        if self.crop < 1.0:
            images = _crop(images, draws[:, _CROP], self.crop)
        if self.flip:
            mirrored = (draws[:, 2] < 0.5)[:, tf.newaxis, tf.newaxis, tf.newaxis]
            images = tf.where(mirrored, tf.reverse(images, axis=[2]), images)
        if self.trivial:
            images = trivial_augment(images, draws[:, _TRIVIAL])
        return images

    @property
    def mixes(self) -> bool:
        """Whether `mix` does anything."""
        return bool(self.mixup or self.cutmix)

    def mix(self, images: tf.Tensor, labels: tf.Tensor, draws: tf.Tensor) -> Mixed:
        """Mixes each normalised image (batch, height, width, channels) float32 with the next one of the batch, if asked to."""
        if not self.mixes:
            return Mixed(images, labels)
        return mix(images, labels, draws[:, _MIX], mixup=self.mixup > 0, cutmix=self.cutmix > 0)


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


def _crop(images: tf.Tensor, draws: tf.Tensor, least: float) -> tf.Tensor:
    """Cuts a rectangle out of each image and brings it to the image's size, bilinearly.

    Its area is uniform between `least` and 1 of the image's, its width to height between 3/4 and 4/3 of it, uniform in the
    logarithm (Szegedy et al., "Going Deeper with Convolutions", 2014, section 6). A side that would be longer than the
    image's is as long; the usual code draws again, up to ten times.
    """
    area = least + (1.0 - least) * draws[:, 0]
    ratio = tf.exp((2.0 * draws[:, 1] - 1.0) * tf.math.log(4.0 / 3.0))
    height, width = tf.minimum(tf.sqrt(area / ratio), 1.0), tf.minimum(tf.sqrt(area * ratio), 1.0)
    top, left = draws[:, 2] * (1.0 - height), draws[:, 3] * (1.0 - width)
    boxes = tf.stack([top, left, top + height, left + width], axis=1)
    cut = tf.image.crop_and_resize(images, boxes, tf.range(tf.shape(images)[0]), images.shape[1:3])
    return tf.cast(tf.round(cut), images.dtype)
