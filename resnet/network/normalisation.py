"""Normalisation of pixels for the network's input, the same in training, evaluation and prediction."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf

# Red, green, blue in 0 to 255: the means of the original ResNet release and the standard deviations of ImageNet. They suit
# other images too, because the first batch normalisation compensates for the difference.
MEAN = (123.68, 116.779, 103.939)
DEVIATION = (58.393, 57.12, 57.375)


def normalise(images: "tf.Tensor") -> "tf.Tensor":
    """Converts (batch, height, width, 3) uint8 RGB to float32 with a mean near zero and a variance near one."""
    import tensorflow as tf

    return (tf.cast(images, tf.float32) - tf.constant(MEAN)) / tf.constant(DEVIATION)
