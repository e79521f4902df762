"""A trained network made ready to be used: batch normalisation folded into the convolutions, computing in bfloat16 if asked.

While a network is used, batch normalisation multiplies and adds constants, and so does the convolution before it: the two
are one convolution with a bias (Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", 2017, section 3.2).
"""

from collections.abc import Callable

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from resnet.model import ResNet
from resnet.normalisation import normalise

Weights = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]


def fold(model: ResNet, precision: str = "float32") -> Callable[[tf.Tensor], tf.Tensor]:
    """The network as one compiled function with constant weights; what becomes of `model` later does not change it.

    Args:
        model: computing in float32.
        precision: of everything but the head: "float32", "bfloat16" or "float16".

    Returns:
        A function from (batch, height, width, 3) uint8 images to (batch, classes) float32 logits.
    """
    folded = folded_weights(model)
    dtype = tf.as_dtype(precision)

    def apply(layer: keras.Layer, inputs: list[tf.Tensor]) -> tf.Tensor:
        if isinstance(layer, keras.layers.Dense):
            kernel, bias = (tf.constant(weight) for weight in folded[layer.name])
            return tf.matmul(inputs[0], kernel) + bias
        if isinstance(layer, keras.layers.Conv2D):
            # Constants, not variables: oneDNN then brings a kernel into its own order once, not at every call.
            kernel, bias = (tf.constant(weight, dtype) for weight in folded[layer.name])
            outputs = tf.nn.conv2d(inputs[0], kernel, layer.strides, layer.padding.upper())
            return tf.nn.bias_add(outputs, bias)
        if isinstance(layer, keras.layers.BatchNormalization):
            return inputs[0]
        if isinstance(layer, keras.layers.ReLU):
            return tf.nn.relu(inputs[0])  # not by way of the bits: oneDNN clips in the convolution itself
        if isinstance(layer, keras.layers.GlobalAveragePooling2D):
            return layer(tf.cast(inputs[0], tf.float32))
        # Not through __call__, which would bring the inputs into the type of the layer.
        return layer.call(inputs if len(inputs) > 1 else inputs[0])

    # One signature for batches of any number of images: the last one, which is smaller, would be compiled anew.
    # There is no Python to convert here, and AutoGraph would write what it converts to files.
    @tf.function(autograph=False, input_signature=[tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8)])
    def forward(images: tf.Tensor) -> tf.Tensor:
        values = {id(model.inputs[0]): tf.cast(normalise(images), dtype)}
        for layer in model.layers[1:]:
            values[id(layer.output)] = apply(layer, [values[id(tensor)] for tensor in tf.nest.flatten(layer.input)])
        return values[id(model.outputs[0])]

    return forward


def folded_weights(model: ResNet) -> dict[str, Weights]:
    """Kernel and bias, float32, of each convolution with the batch normalisation behind it, and of the head; by layers' names.

    With scale s = gamma / sqrt(variance + epsilon): kernel * s and beta + (bias - mean) * s.
    """
    followers = {id(layer.input): layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)}
    weights = {}
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dense):
            weights[layer.name] = tuple(layer.get_weights())
        if not isinstance(layer, keras.layers.Conv2D):
            continue
        norm = followers[id(layer.output)]
        # In float64, so that folding rounds once.
        gamma, beta, mean, variance = (np.asarray(weight, np.float64) for weight in norm.get_weights())
        scale = gamma / np.sqrt(variance + norm.epsilon)
        bias = np.asarray(layer.bias, np.float64) if layer.use_bias else 0.0
        kernel = np.asarray(layer.kernel, np.float64) * scale
        weights[layer.name] = kernel.astype(np.float32), (beta + (bias - mean) * scale).astype(np.float32)
    return weights
