"""Decoding of image files by TensorFlow's own operations, close to what Pillow decodes.

They decode JPEG, PNG, GIF and BMP. They ignore EXIF, so a photograph is not rotated as its orientation tag asks. CMYK, 16 bits
and palettes with transparency are decoded differently from Pillow. If Pillow is available, decode with Pillow.
"""

import tensorflow as tf

from resnet.export.resampling import resize_and_crop


def decode_all(encoded: tf.Tensor, size: int) -> tf.Tensor:
    """Decodes and resizes images for the network.

    Args:
        encoded: (batch,) string, the bytes of image files.
        size: height and width.

    Returns:
        (batch, size, size, 3) uint8.
    """
    pixels = tf.TensorSpec((size, size, 3), tf.uint8)
    return tf.map_fn(lambda one: _decode(one, size), encoded, fn_output_signature=pixels, parallel_iterations=32)


def _decode(encoded: tf.Tensor, size: int) -> tf.Tensor:
    kind = tf.strings.substr(encoded, 0, 4)
    image = tf.case(
        [
            (tf.io.is_jpeg(encoded), lambda: _jpeg(encoded, size)),
            (kind == b"\x89PNG", lambda: _png(encoded)),
        ],
        default=lambda: tf.io.decode_image(encoded, channels=3, expand_animations=False),
    )
    image = tf.ensure_shape(image, (None, None, 3))
    return resize_and_crop(image[None], size)[0]


def _jpeg(encoded: tf.Tensor, size: int) -> tf.Tensor:
    """Decodes at a half, a quarter or an eighth of the size if that is large enough, as Pillow's draft mode does."""
    least = tf.reduce_min(tf.image.extract_jpeg_shape(encoded)[:2]) // size
    branches = [lambda ratio=ratio: _jpeg_at(encoded, ratio) for ratio in (1, 2, 4, 8)]
    steps = tf.reduce_sum(tf.cast(least >= tf.constant([2, 4, 8]), tf.int32))
    return tf.switch_case(steps, branches)


def _jpeg_at(encoded: tf.Tensor, ratio: int) -> tf.Tensor:
    # Pillow uses libjpeg's accurate transform; TensorFlow's default is the fast one.
    return tf.io.decode_jpeg(encoded, channels=3, ratio=ratio, dct_method="INTEGER_ACCURATE")


def _png(encoded: tf.Tensor) -> tf.Tensor:
    """Blends transparent pixels with white, as in training."""
    image = tf.cast(tf.io.decode_png(encoded, channels=4), tf.float32)
    alpha = image[..., 3:] / 255.0
    return tf.cast(tf.round(image[..., :3] * alpha + 255.0 * (1.0 - alpha)), tf.uint8)
