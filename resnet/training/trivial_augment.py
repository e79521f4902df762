"""TrivialAugment: one operation for each image with a random strength, both drawn uniformly. There is nothing to tune.

Müller and Hutter, "TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation" (2021), with the operations and ranges
of its "wide" space (table 7). It runs on whole batches in the graph. Differences from the paper:

- Equalize, the fourteenth operation, is missing, because a histogram for each image and channel is slow in TensorFlow.
- Pixels are interpolated bilinearly; the default of Pillow takes the nearest pixel.
"""

import math
from collections.abc import Callable

import tensorflow as tf

OPERATIONS = (
    "identity",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
    "rotate",
    "brightness",
    "color",
    "contrast",
    "sharpness",
    "posterize",
    "solarize",
    "autocontrast",
)

Only = Callable[[str, tf.Tensor], tf.Tensor]

_LEVELS = 31
_SHEAR = 0.99  # horizontal pixels for each vertical pixel, or vice versa
_TRANSLATE = 32.0  # pixels
_ROTATE = math.radians(135)
_BLEND = 0.99  # the factor is between 1 - this and 1 + this
_BITS = 6  # the most bits, of eight, that posterize removes
_GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601, as in Pillow


def trivial_augment(images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
    """Changes each image by one of `OPERATIONS`.

    Args:
        images: (batch, height, width, 3) uint8.
        draws: (batch, 3) float32 in [0, 1): operation, strength, direction.

    Returns:
        Images of the same shape and type. Pixels from outside the image are black.
    """
    number = tf.cast(draws[:, 0] * len(OPERATIONS), tf.int32)
    level = tf.floor(draws[:, 1] * _LEVELS) / (_LEVELS - 1)
    signed = tf.where(draws[:, 2] < 0.5, -level, level)

    def only(name: str, value: tf.Tensor) -> tf.Tensor:
        """(batch,): the value for images with this operation, 0 for the others, for which the operation then does nothing."""
        return tf.where(number == OPERATIONS.index(name), value, 0.0)

    floats = tf.cast(images, tf.float32)
    floats = _warp(floats, _matrices(floats.shape, signed, only))
    floats = _blend(floats, signed, only)
    floats = _posterize(floats, only("posterize", tf.round(level * _BITS)))
    # The threshold falls from 255 to 0. At 256 no pixel is inverted.
    floats = _solarize(floats, 256.0 - only("solarize", 1.0 + 255.0 * level))
    floats = _autocontrast(floats, only("autocontrast", tf.ones_like(level)))
    return tf.cast(tf.round(floats), images.dtype)


def _column(values: tf.Tensor) -> tf.Tensor:
    return values[:, tf.newaxis, tf.newaxis, tf.newaxis]


def _matrices(shape: tf.TensorShape, signed: tf.Tensor, only: Only) -> tf.Tensor:
    """(batch, 8): maps a pixel (x, y) of the result to the point of the source, (a x + b y + c, d x + e y + f)."""
    middle_y, middle_x = (shape[1] - 1) / 2, (shape[2] - 1) / 2
    angle = only("rotate", signed * _ROTATE)
    cosine, sine = tf.cos(angle), tf.sin(angle)
    zero = tf.zeros_like(angle)
    rows = [
        cosine,
        only("shear_x", signed * _SHEAR) - sine,
        only("translate_x", signed * _TRANSLATE) + middle_x * (1.0 - cosine) + middle_y * sine,
        only("shear_y", signed * _SHEAR) + sine,
        cosine,
        only("translate_y", signed * _TRANSLATE) + middle_y * (1.0 - cosine) - middle_x * sine,
        zero,
        zero,
    ]
    return tf.stack(rows, axis=1)


def _warp(images: tf.Tensor, matrices: tf.Tensor) -> tf.Tensor:
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=matrices,
        output_shape=images.shape[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )


def _blend(images: tf.Tensor, signed: tf.Tensor, only: Only) -> tf.Tensor:
    """Moves images away from or towards a simpler version: black, grey, their mean grey, or a smoothed image."""
    grey = tf.reduce_sum(images * tf.constant(_GREY), axis=3, keepdims=True)
    mean = tf.round(tf.reduce_mean(grey, axis=[1, 2], keepdims=True))
    inside = 9.0 / 13.0 * tf.nn.avg_pool2d(images, 3, 1, "VALID") + 4.0 / 13.0 * images[:, 1:-1, 1:-1]
    smooth = tf.concat([images[:, 1:-1, :1], inside, images[:, 1:-1, -1:]], axis=2)
    smooth = tf.concat([images[:, :1], smooth, images[:, -1:]], axis=1)
    plainer = {"brightness": 0.0, "color": grey, "contrast": mean, "sharpness": smooth}
    moved = images
    for name, plain in plainer.items():
        moved += _column(only(name, signed * _BLEND)) * (images - plain)
    return tf.round(tf.clip_by_value(moved, 0.0, 255.0))


def _posterize(images: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
    step = _column(tf.pow(2.0, bits))
    return tf.floor(images / step) * step


def _solarize(images: tf.Tensor, threshold: tf.Tensor) -> tf.Tensor:
    return tf.where(images < _column(threshold), images, 255.0 - images)


def _autocontrast(images: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
    """Stretches each channel to the whole range, unless all its pixels are equal."""
    low, high = tf.reduce_min(images, axis=[1, 2], keepdims=True), tf.reduce_max(images, axis=[1, 2], keepdims=True)
    stretched = (images - low) * tf.math.divide_no_nan(255.0, high - low)
    return tf.where((_column(wanted) > 0) & (high > low), stretched, images)
