"""A trained network with its preprocessing and softmax, as the TensorFlow functions that SavedModel and LiteRT files hold.

They go from uint8 images, all of one size, to probabilities: resizing, normalisation, the folded network in float32, softmax.
"""

import keras
import tensorflow as tf

from resnet.export.decoding import decode_all
from resnet.export.resampling import resize_and_crop
from resnet.network.folding import fold
from resnet.network.model import ResNet


def exportable(model: ResNet) -> tuple[int, list[str]]:
    """Height and width of the network's square images in pixels, and its class names in the order of the logits.

    Raises:
        ValueError: a model for images that are not square, or without class names.
    """
    height, width = model.input_shape[1:3]
    if height != width or model.class_names is None:
        raise ValueError(
            "A model to export has class names and takes square images. "
            f"Received: input of {model.input_shape[1:]}, class_names={model.class_names}."
        )
    return height, model.class_names


def describe(size: int) -> str:
    """Says what an exported file takes and returns, for readers who have only the file."""
    return (
        f"Input: uint8 RGB images of shape (batch, height, width, 3) and of any size; their square middle is resized to {size} "
        "pixels. Output: one probability for each of class_names."
    )


class Classifier(tf.Module):
    """The functions that are exported.

    Args:
        model: trained, computing in float32, for square images, with class names.

    Attributes:
        class_names: in the order of the probabilities.
        images: from (batch, height, width, 3) uint8 to `probabilities`, (batch, classes) float32.
        encoded: from (batch,) strings, the bytes of JPEG, PNG, GIF or BMP files, to `probabilities` and to `label`, (batch,)
            strings: the most probable class.
        names: from no input to `class_names`, (classes,) strings.

    Raises:
        ValueError: a model for images that are not square, or without class names.
    """

    def __init__(self, model: ResNet) -> None:
        super().__init__(name="classifier")
        size, self.class_names = exportable(model)
        network, names = fold(model), tf.constant(self.class_names)

        @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8, name="images")])
        def images(images: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"probabilities": tf.nn.softmax(network(resize_and_crop(images, size)))}

        @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="encoded")])
        def encoded(encoded: tf.Tensor) -> dict[str, tf.Tensor]:
            probabilities = tf.nn.softmax(network(decode_all(encoded, size)))
            return {"probabilities": probabilities, "label": tf.gather(names, tf.argmax(probabilities, axis=1))}

        self.images, self.encoded = images, encoded
        self.names = tf.function(lambda: {"class_names": names}, input_signature=[])


def reference(model: ResNet, images: tf.Tensor) -> tf.Tensor:
    """The probabilities that exports are compared with, (batch, classes) float32: by the Keras model itself, layer by layer."""
    from resnet.network.normalisation import normalise

    return keras.ops.softmax(model(normalise(images), training=False))
