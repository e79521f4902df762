"""Random augmentation of training images: the random numbers of an epoch, and the order of the operations.

Keras has layers with these names, but they draw from a state that changes with every call, and its RandAugment applies one
operation to a whole batch. Here the augmentation is a function of (seed, epoch, image).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from resnet.network.device_kernels import kernels
from resnet.training.mixing import Mixed, draw_shares, mix
from resnet.training.resampling import resample
from resnet.training.trivial_augment import trivial_augment

DRAWS = 3  # random numbers for each image: vertical shift, horizontal shift, flip

_CROP = slice(3, 7)  # area, aspect ratio, top, left
_TRIVIAL = slice(7, 10)  # operation, strength, direction
_MIX = slice(10, 15)  # mixup or CutMix, share of mixup, share of CutMix, centre of the rectangle (vertical, horizontal)
_FURTHER = 10  # uniform numbers after the first `DRAWS`: all but the two shares


@dataclass(frozen=True)
class Augmentation:
    """The augmentation of training images.

    Attributes:
        flip: mirror half of the images left to right. Not for images whose mirror image has another meaning, such as digits.
            With "alternate" each image is mirrored in every other epoch, so two epochs show both sides of all images; chance
            decides which of them starts (Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", 2024, section 3.6).
        shift: largest shift as a share of the side, in [0, 1), vertical and horizontal, in both directions. Pixels from outside
            the image repeat those of its border.
        crop: smallest share of the area, in (0, 1], of a random crop that is resized to full size; 1 disables it.
        trivial_augment: whether to apply `resnet.training.trivial_augment`.
        mixup: alpha of mixup, see `resnet.training.mixing`; 0 disables it.
        cutmix: alpha of CutMix, likewise.
    """

    flip: bool | Literal["alternate"] = False
    shift: float = 0.0
    crop: float = 1.0
    trivial_augment: bool = False
    mixup: float = 0.0
    cutmix: float = 0.0

    def draw(self, images: int, seed: int, epoch: int, rows: npt.NDArray[np.int64] | None = None) -> tf.Tensor:
        """The random numbers of one epoch: (images, `DRAWS` or more) float32 in [0, 1).

        Row i belongs to image i of the split, at whatever position in the epoch it is used. So the augmentation of an image
        depends only on (seed, epoch, image), not on batch size, order or a resume.

        Args:
            images: of the split.
            seed: of the run.
            epoch: from 1.
            rows: (images,) in ascending order, the image to which each row of numbers belongs; by default each image has one.
        """
        draws = tf.random.stateless_uniform((images, DRAWS), seed=(seed, epoch), alg="philox")
        if self.flip == "alternate":
            draws = tf.concat([draws[:, :2], _alternating(images, seed, epoch, rows)[:, tf.newaxis]], axis=1)
        if self.crop == 1.0 and not (self.trivial_augment or self.mixes):
            return draws
        # From separate streams, so that shift and flip of an image are the same with and without the other operations.
        streams = tf.random.split(tf.constant((seed, epoch), tf.int64), num=3)
        further = tf.random.stateless_uniform((images, _FURTHER), seed=streams[0], alg="philox")
        shares = [draw_shares(images, self.mixup, streams[1]), draw_shares(images, self.cutmix, streams[2])]
        return tf.concat([draws, further[:, :8], *shares, further[:, 8:]], axis=1)

    def __call__(
        self, images: tf.Tensor, draws: tf.Tensor, size: int | None = None, aspects: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Augments images.

        Args:
            images: (batch, height, width, channels) uint8.
            draws: their rows of `draw`.
            size: height and width of the result; by default those of the images. If it differs from theirs, the crop, or the
                whole image, is resampled to it with antialiasing.
            aspects: (batch,) float32, width / height of photographs that were squeezed to square images. The crops then have
                their aspect ratio in the photograph, and without crops its centre square remains.

        Returns:
            (batch, size, size, channels) uint8.
        """
        if self.shift:
            images = _shift(images, draws[:, 0], self.shift, axis=1)
            images = _shift(images, draws[:, 1], self.shift, axis=2)
        if aspects is not None or size not in (None, images.shape[1]):
            images = resample(images, self._boxes(draws, aspects), size or images.shape[1])
        elif self.crop < 1.0:
            images = _crop(images, self._boxes(draws))
        if self.flip:
            mirrored = (draws[:, 2] < 0.5)[:, tf.newaxis, tf.newaxis, tf.newaxis]
            images = tf.where(mirrored, tf.reverse(images, axis=[2]), images)
        if self.trivial_augment:
            images = trivial_augment(images, draws[:, _TRIVIAL])
        return images

    def _boxes(self, draws: tf.Tensor, aspects: tf.Tensor | None = None) -> tf.Tensor:
        """(batch, 4) float32: the rectangles that remain of the images, as for `resample`."""
        if aspects is not None:
            return _centre_squares(aspects) if self.crop == 1.0 else _photograph_boxes(draws[:, _CROP], self.crop, aspects)
        if self.crop == 1.0:
            return tf.tile([[0.0, 0.0, 1.0, 1.0]], (tf.shape(draws)[0], 1))
        return _random_boxes(draws[:, _CROP], self.crop)

    @property
    def mixes(self) -> bool:
        """Whether `mix` changes images."""
        return bool(self.mixup or self.cutmix)

    def mix(self, images: tf.Tensor, labels: tf.Tensor, draws: tf.Tensor) -> Mixed:
        """Applies mixup or CutMix, if enabled, to normalised images (batch, height, width, channels) float32."""
        if not self.mixes:
            return Mixed(images, labels)
        return mix(images, labels, draws[:, _MIX], mixup=self.mixup > 0, cutmix=self.cutmix > 0)


def _alternating(images: int, seed: int, epoch: int, rows: npt.NDArray[np.int64] | None) -> tf.Tensor:
    """(images,) float32, 0 for those that are mirrored in this epoch and 0.5 for the others.

    If an image is in the epoch several times, its sides alternate too.
    """
    first = tf.random.stateless_uniform((images,), seed=(seed, 0), alg="philox")  # epochs start at 1
    turns = tf.constant(epoch, tf.int32)
    if rows is not None:
        first, turns = tf.gather(first, rows), turns + tf.constant(np.arange(images) - np.searchsorted(rows, rows), tf.int32)
    mirrored = tf.equal(turns % 2 == 1, first < 0.5)
    return tf.where(mirrored, 0.0, 0.5)


def _shift(images: tf.Tensor, draws: tf.Tensor, share: float, axis: int) -> tf.Tensor:
    """Shifts each image along one axis by a whole number of pixels, uniform from -share to share of its side."""
    side = images.shape[axis]
    most = round(share * side)
    # draws are in [0, 1), so each of the 2 * most + 1 offsets has the same probability.
    offsets = tf.cast(draws * (2 * most + 1), tf.int32) - most
    sources = tf.range(side)[tf.newaxis, :] + offsets[:, tf.newaxis]
    return _gather(images, tf.clip_by_value(sources, 0, side - 1), axis)


def _gather(images: tf.Tensor, sources: tf.Tensor, axis: int) -> tf.Tensor:
    """Gathers rows or columns of each image, as float16 where uint8 cannot be: it has all numbers from 0 to 255."""
    if kernels().gathers_bytes:
        return tf.gather(images, sources, axis=axis, batch_dims=1)
    return tf.cast(tf.gather(tf.cast(images, tf.float16), sources, axis=axis, batch_dims=1), images.dtype)


def _random_boxes(draws: tf.Tensor, least: float) -> tf.Tensor:
    """(batch, 4) float32: rectangles in square images, from their four random numbers.

    The share of the area is uniform from `least` to 1. The aspect ratio relative to the image is between 3/4 and 4/3, uniform
    in its logarithm (Szegedy et al., "Going Deeper with Convolutions", 2014, section 6). A side that would be longer than that
    of the image is cut to it; common implementations draw again instead, up to ten times.
    """
    area, ratio = _area_and_ratio(draws, least)
    height, width = tf.minimum(tf.sqrt(area / ratio), 1.0), tf.minimum(tf.sqrt(area * ratio), 1.0)
    return _placed(height, width, draws[:, 2], draws[:, 3])


def _photograph_boxes(draws: tf.Tensor, least: float, aspects: tf.Tensor) -> tf.Tensor:
    """(batch, 4) float32: rectangles in squeezed photographs, from their four random numbers.

    Area and aspect ratio are drawn as in `_random_boxes`, but in the photograph. A rectangle that is too long for it is made
    smaller and keeps its ratio, which a cut would change by as much as the photograph is longer than wide.
    """
    area, ratio = _area_and_ratio(draws, least)
    height, width = tf.sqrt(area * aspects / ratio), tf.sqrt(area * ratio / aspects)
    fit = 1.0 / tf.maximum(1.0, tf.maximum(height, width))
    return _placed(height * fit, width * fit, draws[:, 2], draws[:, 3])


def _centre_squares(aspects: tf.Tensor) -> tf.Tensor:
    """(batch, 4) float32: the rectangles in squeezed photographs that are the photographs' centre squares."""
    middle = tf.fill(tf.shape(aspects), 0.5)
    return _placed(tf.minimum(aspects, 1.0), tf.minimum(1.0 / aspects, 1.0), middle, middle)


def _area_and_ratio(draws: tf.Tensor, least: float) -> tuple[tf.Tensor, tf.Tensor]:
    """(batch,) each: the share of the area of a crop, and its width / height."""
    return least + (1.0 - least) * draws[:, 0], tf.exp((2.0 * draws[:, 1] - 1.0) * tf.math.log(4.0 / 3.0))


def _placed(height: tf.Tensor, width: tf.Tensor, down: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
    """(batch, 4) float32: rectangles of these sides, at these shares of the way that they can be moved."""
    top, left = down * (1.0 - height), right * (1.0 - width)
    return tf.stack([top, left, top + height, left + width], axis=1)


def _crop(images: tf.Tensor, boxes: tf.Tensor) -> tf.Tensor:
    """Crops a rectangle from each image and resizes it to the size of the image, bilinearly.

    Without antialiasing: a crop only grows.
    """
    cut = tf.image.crop_and_resize(images, boxes, tf.range(tf.shape(images)[0]), images.shape[1:3])
    return tf.cast(tf.round(cut), images.dtype)
