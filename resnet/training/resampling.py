"""Cuts a box out of each image of a batch and resizes it, with antialiasing, in the graph."""

import tensorflow as tf


def resample(images: tf.Tensor, boxes: tf.Tensor, size: int) -> tf.Tensor:
    """Cuts a box from each image and resizes it to a square.

    The filter is a triangle, two output pixels wide where the image shrinks, and bilinear interpolation where it grows. This is
    `PIL.Image.resize(..., BILINEAR, box=...)` but for the rounding between its two passes. It is computed as two products with
    a matrix for each image: few operations, and each image's result is its own. `tf.image.crop_and_resize` does not antialias,
    and `tf.image.resize` with antialias=True has one box for all images.

    Args:
        images: (batch, height, width, channels) uint8.
        boxes: (batch, 4) float32: top, left, bottom and right as shares of height and width, within [0, 1].
        size: height and width of the result, in pixels.

    Returns:
        (batch, size, size, channels) uint8.
    """
    _, height, width, channels = images.shape
    rows = _weights(boxes[:, 0], boxes[:, 2], height, size)
    columns = _weights(boxes[:, 1], boxes[:, 3], width, size)
    values = tf.matmul(rows, tf.reshape(tf.cast(images, tf.float32), (-1, height, width * channels)))
    across = tf.transpose(tf.reshape(values, (-1, size, width, channels)), (0, 2, 1, 3))
    values = tf.matmul(columns, tf.reshape(across, (-1, width, size * channels)))
    upright = tf.transpose(tf.reshape(values, (-1, size, size, channels)), (0, 2, 1, 3))
    return tf.cast(tf.round(tf.clip_by_value(upright, 0.0, 255.0)), images.dtype)


def _weights(start: tf.Tensor, end: tf.Tensor, side: int, size: int) -> tf.Tensor:
    """(batch, size, side) float32: the share of each pixel of a side in each pixel of the result."""
    scale = (end - start)[:, tf.newaxis] * (side / size)
    centres = start[:, tf.newaxis] * side + (tf.range(size, dtype=tf.float32) + 0.5) * scale
    reach = tf.maximum(scale, 1.0)[:, :, tf.newaxis]
    distances = tf.abs(tf.range(side, dtype=tf.float32) + 0.5 - centres[:, :, tf.newaxis])
    triangle = tf.maximum(1.0 - distances / reach, 0.0)
    return triangle / tf.reduce_sum(triangle, axis=2, keepdims=True)
