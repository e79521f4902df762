"""Heat maps of the image regions that support a prediction: Grad-CAM.

Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization" (2017), section 3. The maps
are taken at the last block whose output is at least four cells high and wide. Later blocks can be too coarse: for images of
32 x 32 pixels, the last block of ResNet-50 has a single cell.
"""

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from resnet.network.model import ResNet
from resnet.network.normalisation import normalise

_MIN_CELLS = 4
_PIXELS_AT_A_TIME = 8 * 224 * 224  # limits the memory for activations; each iteration takes 0.25 s of Python


def grad_cam(
    model: ResNet, images: npt.NDArray[np.uint8], targets: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float32], str]:
    """How much each region of an image supports a class.

    Args:
        model: computing in float32.
        images: (images, height, width, 3) RGB.
        targets: (images,) the class to explain for each image.

    Returns:
        The maps, (images, rows, columns) in [0, 1]. The maximum of a map is 1; a map is all 0 if no region supports the class.
        And the name of the layer at which the maps were taken.
    """
    layer = explained_layer(model)
    front = keras.Model(model.inputs, layer.output)
    back = keras.Model(layer.output, model.outputs[0])
    maps = [np.zeros((0, *layer.output.shape[1:3]), np.float32)]
    at_a_time = max(1, _PIXELS_AT_A_TIME // (images.shape[1] * images.shape[2]))
    for start in range(0, len(images), at_a_time):
        chosen = slice(start, start + at_a_time)
        features = front(normalise(tf.constant(images[chosen])), training=False)
        with tf.GradientTape() as tape:
            tape.watch(features)
            logits = back(features, training=False)
            score = tf.reduce_sum(tf.gather(logits, targets[chosen], batch_dims=1))
        weights = tf.reduce_mean(tape.gradient(score, features), axis=(1, 2), keepdims=True)
        maps.append(tf.nn.relu(tf.reduce_sum(weights * features, axis=3)).numpy())
    support = np.concatenate(maps)
    largest = support.max(axis=(1, 2), keepdims=True)
    return (support / np.where(largest > 0, largest, 1)).astype(np.float32), str(layer.name)


def explained_layer(model: ResNet) -> keras.Layer:
    """The layer at which `grad_cam` takes its maps: the last block with a large enough output, or else the first block."""
    blocks = [layer for layer in model.layers if layer.name.endswith("_out")]
    large = [layer for layer in blocks if min(layer.output.shape[1:3]) >= _MIN_CELLS]
    return (large or blocks[:1])[-1]
