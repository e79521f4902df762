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

from resnet.network.model import ResNet
from resnet.network.normalisation import normalise

Weights = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
Network = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]

# TensorFlow's passes over a graph that change nothing in this one. Most copy it, and the weights with it. Those that are left
# join offsets, additions and clipping to the convolutions, and make a product of the division in `normalise`.
_IDLE_PASSES = (
    "debug_stripper",
    "dependency_optimization",
    "function_optimization",
    "implementation_selector",
    "layout_optimizer",
    "loop_optimization",
    "pin_to_host_optimization",
    "scoped_allocator_optimization",
    "shape_optimization",
)


def folded_network(model: ResNet, precision: str = "float32") -> Network:
    """What `fold` gives, as a function of arrays; on processors it is ready earlier and gives the same bits.

    A `tf.function` goes through all of TensorFlow's passes, twice. For ResNet-50 that takes 1.5 s of the 2 s to the first
    logits, and page faults for a gigabyte of copies; a session can be told which passes to leave out, and takes 0.5 s.

    Args:
        model: as for `fold`.
        precision: as for `fold`.

    Returns:
        A function from (batch, height, width, 3) uint8 images to (batch, classes) float32 logits.
    """
    forward, shape, graph = _unrolled(model, precision), (None, *model.input_shape[1:]), tf.Graph()
    with graph.as_default():
        images = tf.compat.v1.placeholder(tf.uint8, shape, name="images")
        # The passes do not trust the shape of what is fed, and join additions only where they know the size.
        tf.identity(forward(tf.ensure_shape(images, shape)), name="logits")
    session = tf.compat.v1.Session(graph=graph, config=_session_config())

    def network(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        logits: npt.NDArray[np.float32] = session.run("logits:0", {"images:0": images})
        return logits

    return network


def _session_config() -> tf.compat.v1.ConfigProto:
    config = tf.compat.v1.ConfigProto(allow_soft_placement=True)
    config.gpu_options.allow_growth = True  # as `start_tensorflow` settles it
    if tf.config.list_physical_devices("GPU"):
        return config  # there the order of channels matters, which is one of the passes
    rewrites = config.graph_options.rewrite_options
    for name in _IDLE_PASSES:
        setattr(rewrites, name, rewrites.OFF)
    rewrites.memory_optimization = rewrites.NO_MEM_OPT
    rewrites.meta_optimizer_iterations = rewrites.ONE
    rewrites.disable_model_pruning = rewrites.disable_tfg_optimizer = True
    return config


def fold(model: ResNet, precision: str = "float32") -> Callable[[tf.Tensor], tf.Tensor]:
    """The network as one `tf.function` with constant weights; what becomes of `model` later does not change it.

    Args:
        model: computing in float32.
        precision: of everything but the head: "float32", "bfloat16" or "float16".

    Returns:
        A function from (batch, height, width, 3) uint8 images to (batch, classes) float32 logits.
    """
    # One signature for batches of any number of images: the last one, which is smaller, would be compiled anew.
    # There is no Python to convert here, and AutoGraph would write what it converts to files.
    signature = [tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8)]
    return tf.function(_unrolled(model, precision), autograph=False, input_signature=signature)


def _unrolled(model: ResNet, precision: str) -> Callable[[tf.Tensor], tf.Tensor]:
    """The operations of `fold`, layer by layer."""
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
