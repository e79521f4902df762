"""Prepares a trained network for inference: folds batch normalisation into the convolutions, optionally in 16 bits.

At inference, batch normalisation multiplies by constants and adds constants. Together with the convolution before it, it is one
convolution with a bias.
"""

from collections.abc import Callable

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from resnet.network.model import ResNet
from resnet.network.normalisation import normalise
from resnet.network.stored_weights import Weights, fold_normalisation

Network = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]
Both = Callable[[npt.NDArray[np.uint8]], tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]

# Optimisation passes of TensorFlow that do not change this graph. Most of them copy it, including the weights. The remaining
# passes fuse bias, addition and ReLU into the convolutions, and turn the division in `normalise` into a multiplication.
_UNUSED_PASSES = (
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
    """The network of `fold` as a function of arrays. On CPUs it starts faster and gives the same bits.

    A `tf.function` runs all optimisation passes of TensorFlow twice. For ResNet-50 they take 1.5 s of the 2 s until the first
    logits, and copy a gigabyte. A session allows passes to be switched off, and then needs 0.5 s.

    Args:
        model: as for `fold`.
        precision: as for `fold`.

    Returns:
        A function from (batch, height, width, 3) uint8 images to (batch, classes) float32 logits.
    """
    session = _session(model, precision)

    def network(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        logits: npt.NDArray[np.float32] = session.run("logits:0", {"images:0": images})
        return logits

    return network


def folded_network_with_features(model: ResNet, precision: str = "float32") -> Both:
    """As `folded_network`, but the function returns two arrays.

    Returns:
        A function from (batch, height, width, 3) uint8 images to (batch, classes) float32 logits and to (batch, features)
        float32, the input of the head.
    """
    session = _session(model, precision)

    def network(images: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        logits, features = session.run(["logits:0", "features:0"], {"images:0": images})
        return logits, features

    return network


def _session(model: ResNet, precision: str) -> tf.compat.v1.Session:
    forward, shape, graph = _unrolled(model, precision), (None, *model.input_shape[1:]), tf.Graph()
    with graph.as_default():
        images = tf.compat.v1.placeholder(tf.uint8, shape, name="images")
        # The passes do not rely on the shape of a placeholder, and fuse additions only where shapes are known.
        logits, features = forward(tf.ensure_shape(images, shape))
        tf.identity(logits, name="logits")
        tf.identity(features, name="features")
    return tf.compat.v1.Session(graph=graph, config=_session_config())


def _session_config() -> tf.compat.v1.ConfigProto:
    config = tf.compat.v1.ConfigProto(allow_soft_placement=True)
    config.gpu_options.allow_growth = True  # as in `start_tensorflow`
    if tf.config.list_physical_devices("GPU"):
        return config  # on GPUs the layout pass is needed: it chooses the order of channels
    rewrites = config.graph_options.rewrite_options
    for name in _UNUSED_PASSES:
        setattr(rewrites, name, rewrites.OFF)
    rewrites.memory_optimization = rewrites.NO_MEM_OPT
    rewrites.meta_optimizer_iterations = rewrites.ONE
    rewrites.disable_model_pruning = rewrites.disable_tfg_optimizer = True
    return config


def fold(model: ResNet, precision: str = "float32") -> Callable[[tf.Tensor], tf.Tensor]:
    """The network as one `tf.function` with constant weights. Later changes to `model` do not affect it.

    Args:
        model: computing in float32.
        precision: the dtype of everything but the head: "float32", "bfloat16" or "float16".

    Returns:
        A function from (batch, height, width, 3) uint8 images to (batch, classes) float32 logits.
    """
    both = fold_with_features(model, precision)
    return lambda images: both(images)[0]


def fold_with_features(model: ResNet, precision: str = "float32") -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """As `fold`; the function also returns (batch, features) float32, the input of the head."""
    # One signature for batches of any size; otherwise the smaller last batch would cause another compilation.
    # AutoGraph has nothing to convert here, and it would write files.
    signature = [tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8)]
    return tf.function(_unrolled(model, precision), autograph=False, input_signature=signature)


def _unrolled(model: ResNet, precision: str) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """The operations of `fold`, layer by layer."""
    folded = folded_weights(model)
    dtype = tf.as_dtype(precision)

    def apply(layer: keras.Layer, inputs: list[tf.Tensor]) -> tf.Tensor:
        if isinstance(layer, keras.layers.Dense):
            kernel, bias = (tf.constant(weight) for weight in folded[layer.name])
            return tf.matmul(inputs[0], kernel) + bias
        if isinstance(layer, keras.layers.Conv2D):
            # Constants, not variables: then oneDNN reorders a kernel once and not in every call.
            kernel, bias = (tf.constant(weight, dtype) for weight in folded[layer.name])
            outputs = tf.nn.conv2d(inputs[0], kernel, layer.strides, layer.padding.upper())
            return tf.nn.bias_add(outputs, bias)
        if isinstance(layer, keras.layers.BatchNormalization):
            return inputs[0]
        if isinstance(layer, keras.layers.ReLU):
            return tf.nn.relu(inputs[0])  # not the bitwise one of the layer: oneDNN fuses this one into the convolution
        if isinstance(layer, keras.layers.GlobalAveragePooling2D):
            return layer(tf.cast(inputs[0], tf.float32))
        # Not __call__, which would cast the inputs to the dtype of the layer.
        return layer.call(inputs if len(inputs) > 1 else inputs[0])

    def forward(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        values = {id(model.inputs[0]): tf.cast(normalise(images), dtype)}
        for layer in model.layers[1:]:
            values[id(layer.output)] = apply(layer, [values[id(tensor)] for tensor in tf.nest.flatten(layer.input)])
        return values[id(model.outputs[0])], values[id(model.layers[-1].input)]

    return forward


def folded_weights(model: ResNet) -> dict[str, Weights]:
    """Kernel and bias, float32, by layer name: of the head, and of each convolution with its batch normalisation folded in."""
    followers = {id(layer.input): layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)}
    weights = {}
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dense):
            weights[layer.name] = tuple(layer.get_weights())
        if not isinstance(layer, keras.layers.Conv2D):
            continue
        norm = followers[id(layer.output)]
        bias = np.asarray(layer.bias) if layer.use_bias else None
        weights[layer.name] = fold_normalisation(np.asarray(layer.kernel), bias, norm.get_weights(), norm.epsilon)
    return weights
