"""Runs a network in training with the fused operations of `fused.cc` in place of layers that follow each other.

A batch normalisation is delayed until the layer after it is known. Before a ReLU, both become `ResnetNorm`. Before an addition
and a ReLU, all three become `ResnetNormAdd`. Convolutions get the gradient of `weight_gradient.h`. Everything else is called as
it is. The network itself does not change: its layers, weights and files are the same with and without the library.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from resnet.native.convolution import convolve, has_weight_gradient
from resnet.native.copies import KernelCopies
from resnet.native.library import load
from resnet.network.layers import BatchNormalization, Conv2D

_MOST_BRANCHES = 2  # a block's output goes to its shortcut and to its first convolution


@dataclass(frozen=True)
class _Delayed:
    """A batch normalisation that has not been computed, and what is added to it."""

    norm: BatchNormalization
    x: tf.Tensor
    shortcut: tf.Tensor | None = None


_Value = _Delayed | list[tf.Tensor]  # the tensors have the same numbers: one for each layer that reads them


def training_forward(model: keras.Model, copies: KernelCopies | None = None) -> Callable[[tf.Tensor], tf.Tensor]:
    """The network in training as a function from normalised images to logits, with the moving statistics updated.

    Args:
        model: a `resnet.network.model.ResNet` computing in float32 or bfloat16.
        copies: read in place of the kernels that they are of; by default the layers cast their kernels.

    Returns:
        `model.call`, with training=True, if the library is not available or does not support the precision. Images may have
        another size than those that the network was made for.
    """
    fusable = all(layer.compute_dtype in ("float32", "bfloat16") for layer in model.layers)
    if load() is None or not fusable:
        return lambda images: model.call(images, training=True)  # a call of the model itself refuses other sizes
    return lambda images: _run(model, images, copies)


def _run(model: keras.Model, images: tf.Tensor, copies: KernelCopies | None) -> tf.Tensor:
    readers = Counter(id(tensor) for layer in model.layers[1:] for tensor in tf.nest.flatten(layer.input))
    values: dict[int, _Value] = {id(model.inputs[0]): [images]}

    def take(tensor: keras.KerasTensor) -> tf.Tensor:
        value = values[id(tensor)]
        if isinstance(value, _Delayed):
            value = values[id(tensor)] = _normalise(value, relu=False)
        return value.pop() if len(value) > 1 else value[0]

    for layer in model.layers[1:]:
        inputs = tf.nest.flatten(layer.input)
        delayed = values[id(inputs[-1])] if readers[id(inputs[-1])] == 1 else None
        if isinstance(layer, BatchNormalization) and layer.trainable:
            result: _Value = _Delayed(layer, tf.cast(take(inputs[0]), layer.compute_dtype))
        elif isinstance(layer, keras.layers.Add) and isinstance(delayed, _Delayed):
            result = _Delayed(delayed.norm, delayed.x, take(inputs[0]))
        elif isinstance(layer, keras.layers.ReLU) and isinstance(delayed, _Delayed):
            result = _normalise(delayed, relu=True, branches=min(_MOST_BRANCHES, readers[id(layer.output)]))
        else:
            result = [_call(layer, [take(tensor) for tensor in inputs], copies)]
        values[id(layer.output)] = result
    return take(model.outputs[0])


def _call(layer: keras.layers.Layer, inputs: list[tf.Tensor], copies: KernelCopies | None) -> tf.Tensor:
    if isinstance(layer, Conv2D) and has_weight_gradient(layer, inputs[0]):
        return convolve(layer, inputs[0], copies.of(layer.kernel) if copies else None)
    with _reading(layer, copies):
        return layer(inputs if len(inputs) > 1 else inputs[0], training=True)


def _reading(layer: keras.layers.Layer, copies: KernelCopies | None) -> AbstractContextManager[object]:
    """Within the block, the layer's kernel has the value of its copy, if there is one."""
    kernel = getattr(layer, "kernel", None)
    copy = copies.of(kernel) if copies else None
    if copy is None:
        return nullcontext()
    scope = keras.StatelessScope(initialize_variables=False)
    scope.add_update((kernel, tf.convert_to_tensor(copy)))  # its constructor would cast the copy to the kernel's dtype
    return scope


def _normalise(delayed: _Delayed, *, relu: bool, branches: int = 1) -> list[tf.Tensor]:
    """Computes what was delayed and moves the statistics; returns one tensor, or one for each branch."""
    norm, ops = delayed.norm, load()
    assert ops is not None
    scale, offset = tf.convert_to_tensor(norm.gamma), tf.convert_to_tensor(norm.beta)
    if delayed.shortcut is None or not relu:
        y, mean, variance, _ = ops.resnet_norm(delayed.x, scale, offset, epsilon=norm.epsilon, relu=relu)
        outputs = [y if delayed.shortcut is None else y + delayed.shortcut]
    else:
        outputs, mean, variance, _ = ops.resnet_norm_add(
            delayed.x, delayed.shortcut, scale, offset, epsilon=norm.epsilon, branches=branches
        )
    norm.move(mean, variance)
    return list(outputs)


@tf.RegisterGradient("ResnetNorm")
def _gradient_of_norm(op: tf.Operation, above: tf.Tensor, *_: Any) -> Sequence[tf.Tensor]:
    x, scale, offset = op.inputs
    _, mean, _, inverse = op.outputs
    return _library().resnet_norm_grad(x, above, scale, offset, mean, inverse, relu=op.get_attr("relu"))


@tf.RegisterGradient("ResnetNormAdd")
def _gradient_of_norm_add(op: tf.Operation, *above: tf.Tensor) -> Sequence[tf.Tensor]:
    x, _, scale, _ = op.inputs
    *outputs, mean, _, inverse = op.outputs
    return _library().resnet_norm_add_grad(x, outputs[0], scale, mean, inverse, above[: len(outputs)])


def _library() -> Any:
    return load()
