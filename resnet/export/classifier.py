"""A trained network with all that comes before and after it, as TensorFlow functions that other formats are made of.

From uint8 images of any one size to probabilities: resizing, normalisation, the folded network in float32, softmax.
"""

import keras
import tensorflow as tf

from resnet.evaluation.folding import fold
from resnet.export.decoding import decode_all
from resnet.export.resampling import resize_and_crop
from resnet.network.model import ResNet


class Classifier(tf.Module):
    """What is exported.

    Args:
        model: trained, computing in float32, for square images, with the names of its classes.

    Attributes:
        size: height and width in pixels of what the network sees.
        class_names: in the order of the probabilities.
        images: from (batch, height, width, 3) uint8 to `probabilities`, (batch, classes) float32.
        encoded: from (batch,) strings, the bytes of JPEG, PNG, GIF or BMP files, to `probabilities` and `label`, (batch,)
            strings: the most probable class.
        names: from nothing to `class_names`, (classes,) strings.

    Raises:
        ValueError: a model for images that are not square, or without names.
    """

    def __init__(self, model: ResNet) -> None:
        super().__init__(name="classifier")
        height, self.size = model.input_shape[1:3]
        if height != self.size or model.class_names is None:
            raise ValueError(
                "A model to export has names of classes and takes square images. "
                f"Received: input of {model.input_shape[1:]}, class_names={model.class_names}."
            )
        self.class_names = list(model.class_names)
        network, size, names = fold(model), self.size, tf.constant(self.class_names)

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
    """What exports are held against: probabilities by the Keras model itself, layer by layer, (batch, classes) float32."""
    from resnet.network.normalisation import normalise

    return keras.ops.softmax(model(normalise(images), training=False))
