"""From stored pixels to the network's input: one function for training, evaluation and use."""

import tensorflow as tf

# Means of the original ResNet release and standard deviations of ImageNet, for red, green, blue in 0 to 255. They suit
# other images as well: the first batch normalisation takes up the difference.
MEAN = (123.68, 116.779, 103.939)
DEVIATION = (58.393, 57.12, 57.375)


def normalise(images: tf.Tensor) -> tf.Tensor:
    """(batch, height, width, 3) uint8 RGB to float32 of about zero mean and unit variance."""
    return (tf.cast(images, tf.float32) - tf.constant(MEAN)) / tf.constant(DEVIATION)
