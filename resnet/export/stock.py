"""A ResNet made only of Keras's own layers, so that its file loads with Keras and without this project."""

import keras
import numpy as np
from keras import ops

from resnet.network.known_score import LARGEST, OUTPUT, KnownScore
from resnet.network.model import ResNet
from resnet.network.normalisation import DEVIATION, MEAN


def stock_model(model: ResNet) -> keras.Model:
    """The same network with the same weights, between its preprocessing and softmax, or the logistic function.

    Resizing is that of `resnet.export.resampling`, in Keras's operations: its layer for resizing crops whole pixels and keeps
    fractions of levels, which changed probabilities by up to 0.4.

    Args:
        model: computing in float32.

    Returns:
        From (batch, height, width, 3) uint8 images of any one size to (batch, classes) probabilities; of a model with a known
        score to a dictionary of `probabilities` and `known_score`, (batch,).
    """
    height, _, channels = model.input_shape[1:]
    inputs = keras.Input((None, None, channels), dtype="uint8", name="images")
    normalise = keras.layers.Normalization(mean=MEAN, variance=np.square(DEVIATION).tolist(), name="normalise")
    x = normalise(_resized(inputs, height))
    values = {id(model.inputs[0]): x}
    for layer in model.layers[1:]:
        given = [values[id(tensor)] for tensor in keras.tree.flatten(layer.input)]
        values[id(layer.output)] = _stock(layer)(given if len(given) > 1 else given[0])
    probabilities = _activation(model)(values[id(model.outputs[0])])
    outputs, score = probabilities, model.known_score
    if score is not None:
        outputs = {"probabilities": probabilities, OUTPUT: _known_score(values[id(model.layers[-1].input)], score)}
    made = keras.Model(inputs, outputs, name=model.name)
    if score is not None:
        made.get_layer(OUTPUT).set_weights([score.kernel, score.bias])
    for layer in model.layers:
        if layer.weights:
            made.get_layer(layer.name).set_weights(layer.get_weights())
    return made


def _activation(model: ResNet) -> keras.Layer:
    """From logits to probabilities."""
    if model.multi_label:
        return keras.layers.Activation("sigmoid", name="probabilities")
    return keras.layers.Softmax(name="probabilities")


def _known_score(features: keras.KerasTensor, score: KnownScore) -> keras.KerasTensor:
    """`resnet.network.known_score.KnownScore` of features (batch, features): (batch,)."""
    x = features - score.middle
    z = keras.layers.Dense(score.bias.size, name=OUTPUT, dtype="float32")(x)
    directions, classes = z[:, : score.directions], z[:, score.directions :]
    far = score.scale * ops.sum(x * x, axis=1) - ops.sum(directions * directions, axis=1)
    found = 1.0 - (far + ops.min(classes, axis=1))
    return ops.where(ops.abs(found) <= LARGEST, found, -LARGEST)


def _stock(layer: keras.Layer) -> keras.Layer:
    """A new layer of Keras's class of the same name; the classes in `resnet.network.layers` are named after Keras's."""
    kind = getattr(keras.layers, type(layer).__name__)
    return kind.from_config(layer.get_config())


def _resized(images: keras.KerasTensor, size: int) -> keras.KerasTensor:
    """`resnet.export.resampling.resize_and_crop`: (batch, height, width, 3) uint8 to (batch, size, size, 3) float32."""
    pixels = ops.cast(images, "float32")
    # A symbolic tensor has no sizes that operations could use, so they are counted along the first row and the first column.
    down, across = (ops.cumsum(ops.ones_like(line)) - 0.5 for line in (pixels[0, :, 0, 0], pixels[0, 0, :, 0]))
    height, width = ops.max(down) + 0.5, ops.max(across) + 0.5
    side = ops.minimum(height, width)
    rows, columns = _weights(down, height, side, size), _weights(across, width, side, size)
    down_first = _across(columns, _down(rows, pixels))
    across_first = _down(rows, _across(columns, pixels))
    return ops.where(height - size > 2.0 * ops.maximum(width - size, 0.0), down_first, across_first)


def _down(weights: keras.KerasTensor, pixels: keras.KerasTensor) -> keras.KerasTensor:
    return _to_levels(ops.einsum("sh,bhwc->bswc", weights, pixels))


def _across(weights: keras.KerasTensor, pixels: keras.KerasTensor) -> keras.KerasTensor:
    return _to_levels(ops.einsum("sw,bhwc->bhsc", weights, pixels))


def _to_levels(values: keras.KerasTensor) -> keras.KerasTensor:
    return ops.clip(ops.floor(values + 0.5), 0.0, 255.0)


def _weights(positions: keras.KerasTensor, length: keras.KerasTensor, side: keras.KerasTensor, size: int) -> keras.KerasTensor:
    """(size, length): the share of each source pixel in each pixel of the middle `side`, resized to `size`."""
    scale = side / size
    centers = (length - side) / 2.0 + scale * (np.arange(size, dtype=np.float32)[:, None] + 0.5)
    x = ops.abs((positions - centers) / ops.maximum(scale, 1.0))
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    weights = ops.where(x < 1.0, near, ops.where(x < 2.0, far, 0.0))
    return weights / ops.sum(weights, axis=1, keepdims=True)
