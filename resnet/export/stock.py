"""A ResNet made only of Keras's own layers, so that its file loads with Keras and without this project."""

import keras
import numpy as np

from resnet.network.model import ResNet
from resnet.network.normalisation import DEVIATION, MEAN


def stock_model(model: ResNet) -> keras.Model:
    """The same network with the same weights, between its preprocessing and softmax.

    Resizing is Keras's. It differs from Pillow's in rounding, and by half a pixel if the margins that are cut off are odd.
    Images of the network's size pass through it unchanged.

    Args:
        model: computing in float32.

    Returns:
        From (batch, height, width, 3) uint8 images of any one size to (batch, classes) probabilities.
    """
    height, width, channels = model.input_shape[1:]
    inputs = keras.Input((None, None, channels), dtype="uint8", name="images")
    resizing = keras.layers.Resizing(
        height, width, interpolation="bicubic", crop_to_aspect_ratio=True, antialias=True, name="resize"
    )
    x = keras.layers.Normalization(mean=MEAN, variance=np.square(DEVIATION).tolist(), name="normalise")(resizing(inputs))
    values = {id(model.inputs[0]): x}
    for layer in model.layers[1:]:
        given = [values[id(tensor)] for tensor in keras.tree.flatten(layer.input)]
        values[id(layer.output)] = _stock(layer)(given if len(given) > 1 else given[0])
    probabilities = keras.layers.Softmax(name="probabilities")(values[id(model.outputs[0])])
    made = keras.Model(inputs, probabilities, name=model.name)
    for layer in model.layers:
        if layer.weights:
            made.get_layer(layer.name).set_weights(layer.get_weights())
    return made


def _stock(layer: keras.Layer) -> keras.Layer:
    """A new layer of Keras's class of the same name; the classes in `resnet.network.layers` are named after Keras's."""
    kind = getattr(keras.layers, type(layer).__name__)
    return kind.from_config(layer.get_config())
