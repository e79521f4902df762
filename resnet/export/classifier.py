"""A trained network with its preprocessing and softmax, as the TensorFlow functions that SavedModel and LiteRT files hold.

They go from uint8 images, all of one size, to probabilities: resizing, normalisation, the folded network in float32, softmax.
A network for several labels an image has the logistic function in its place.
"""

import keras
import numpy as np
import tensorflow as tf

from resnet.core.label_sets import SEPARATOR
from resnet.export.decoding import decode_all
from resnet.export.labels import THRESHOLDS
from resnet.export.resampling import resize_and_crop
from resnet.network.folding import fold_with_features
from resnet.network.known_score import LARGEST, OUTPUT, KnownScore
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


def describe(size: int, *, multi_label: bool = False) -> str:
    """Says what an exported file takes and returns, for readers who have only the file."""
    several = ", whatever the others are; an image has the classes whose probabilities are at least their thresholds"
    return (
        f"Input: uint8 RGB images of shape (batch, height, width, 3) and of any size; their square middle is resized to {size} "
        f"pixels. Output: one probability for each of class_names{several if multi_label else ''}."
    )


def describe_known_score(share: float) -> str:
    """Says what the second output means."""
    return (
        f"Negative if the image shows none of class_names; so it is for at most {100 * share:g} % of new images like the "
        "validation images."
    )


def known_score(features: tf.Tensor, score: KnownScore) -> tf.Tensor:
    """`resnet.network.known_score.KnownScore` in TensorFlow: (batch, features) float32 to (batch,) float32."""
    with tf.name_scope(OUTPUT):
        x = features - tf.constant(score.middle)
        z = tf.matmul(x, tf.constant(score.kernel)) + tf.constant(score.bias)
        directions, classes = z[:, : score.directions], z[:, score.directions :]
        far = score.scale * tf.reduce_sum(x * x, axis=1) - tf.reduce_sum(directions * directions, axis=1)
        found = 1.0 - (far + tf.reduce_min(classes, axis=1))
        return tf.where(tf.abs(found) <= LARGEST, found, -LARGEST)  # LiteRT has no test for finite numbers


def _set_texts(members: tf.Tensor, names: tf.Tensor) -> tf.Tensor:
    """`resnet.core.label_sets.texts_of` in TensorFlow: (batch, classes) bool and (classes,) strings to (batch,) strings."""
    each = tf.where(members, tf.strings.join([SEPARATOR, names]), "")
    return tf.strings.regex_replace(tf.strings.reduce_join(each, axis=1), rf"^\{SEPARATOR}", "")


class Classifier(tf.Module):
    """The functions that are exported.

    Args:
        model: trained, computing in float32, for square images, with class names.

    Attributes:
        class_names: in the order of the probabilities.
        images: from (batch, height, width, 3) uint8 to `probabilities`, (batch, classes) float32, and to `known_score`,
            (batch,) float32, if the model has one.
        encoded: from (batch,) strings, the bytes of JPEG, PNG, GIF or BMP files, to `probabilities` and to `label`, (batch,)
            strings: the most probable class; and to `known_score`. With several labels an image, `label` is the text of the set
            of classes whose probabilities are at least their thresholds, such as "cat|dog", and "" for none.
        names: from no input to `class_names`, (classes,) strings.
        thresholds: from no input to `thresholds`, (classes,) float32; only with several labels an image.

    Raises:
        ValueError: a model for images that are not square, or without class names.
    """

    def __init__(self, model: ResNet) -> None:
        super().__init__(name="classifier")
        size, self.class_names = exportable(model)
        network, names, score = fold_with_features(model), tf.constant(self.class_names), model.known_score
        activation = tf.nn.sigmoid if model.multi_label else tf.nn.softmax
        thresholds = None if model.thresholds is None else tf.constant(model.thresholds, tf.float32)

        def classify(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
            logits, features = network(pixels)
            found = {"probabilities": activation(logits)}
            return found if score is None else found | {OUTPUT: known_score(features, score)}

        @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8, name="images")])
        def images(images: tf.Tensor) -> dict[str, tf.Tensor]:
            return classify(resize_and_crop(images, size))

        @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="encoded")])
        def encoded(encoded: tf.Tensor) -> dict[str, tf.Tensor]:
            found = classify(decode_all(encoded, size))
            if thresholds is not None:
                return found | {"label": _set_texts(found["probabilities"] >= thresholds, names)}
            return found | {"label": tf.gather(names, tf.argmax(found["probabilities"], axis=1))}

        self.images, self.encoded = images, encoded
        self.names = tf.function(lambda: {"class_names": names}, input_signature=[])
        if thresholds is not None:
            self.thresholds = tf.function(lambda: {THRESHOLDS: thresholds}, input_signature=[])


def reference(model: ResNet, images: tf.Tensor) -> tf.Tensor:
    """The probabilities that exports are compared with, (batch, classes) float32: by the Keras model itself, layer by layer."""
    from resnet.network.normalisation import normalise

    activation = keras.ops.sigmoid if model.multi_label else keras.ops.softmax
    return activation(model(normalise(images), training=False))


def reference_known_score(model: ResNet, images: tf.Tensor) -> tf.Tensor:
    """The known scores that exports are compared with, (batch,) float32, of a model that has one."""
    from resnet.network.normalisation import normalise

    if model.known_score is None:
        raise ValueError("The model has no known score.")
    features = keras.Model(model.inputs, model.layers[-1].input)(normalise(images), training=False)
    return tf.constant(model.known_score(np.asarray(features)))
