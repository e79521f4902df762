"""Where a network looked: Grad-CAM.

Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization" (2017), section 3. Decides
which layer is asked: the last block whose map is at least four cells high and wide, because a map of one cell says nothing, and
that is what ResNet-50 ends in for images of 32 pixels.
"""

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from resnet.network.model import ResNet
from resnet.network.normalisation import normalise

_LEAST_CELLS = 4
_PIXELS_AT_A_TIME = 8 * 224 * 224  # what the gradient needs is kept for all of them; each turn costs 0.25 s of Python


def grad_cam(
    model: ResNet, images: npt.NDArray[np.uint8], targets: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float32], str]:
    """How much each part of an image spoke for a class.

    Args:
        model: computing in float32.
        images: (images, height, width, 3) RGB.
        targets: (images,) the class to explain of each.

    Returns:
        Maps, (images, rows, columns) in [0, 1], with 1 the most telling cell of the image, and all 0 where nothing spoke for
        the class; and the name of the layer that they were taken at.
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
    telling = np.concatenate(maps)
    most = telling.max(axis=(1, 2), keepdims=True)
    return (telling / np.where(most > 0, most, 1)).astype(np.float32), str(layer.name)


def explained_layer(model: ResNet) -> keras.Layer:
    """The layer that `grad_cam` asks, see above; the first block where no map is large enough."""
    blocks = [layer for layer in model.layers if layer.name.endswith("_out")]
    large = [layer for layer in blocks if min(layer.output.shape[1:3]) >= _LEAST_CELLS]
    return (large or blocks[:1])[-1]
