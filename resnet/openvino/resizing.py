"""Resizing in front of an OpenVINO model, so that it takes images of any size: `resnet.export.resampling` says what it does."""

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from resnet.openvino.graph import INPUT
from resnet.openvino.runtime import import_openvino

if TYPE_CHECKING:
    import openvino


def with_resizing(model: "openvino.Model") -> "openvino.Model":
    """The model behind the resizing of `resnet.export.resampling.resize_and_crop`.

    Args:
        model: takes (batch, size, size, 3) uint8 images. It becomes a part of the result.

    Returns:
        A model that takes (batch, height, width, 3) uint8 images.
    """
    ov = import_openvino()
    from openvino import opset13 as ops

    (old,) = model.get_parameters()
    size = old.get_partial_shape()[1].get_length()
    images = ops.parameter(ov.PartialShape([-1, -1, -1, 3]), np.uint8, name=INPUT)
    images.output(0).set_names({INPUT})
    for reader in old.output(0).get_target_inputs():
        reader.replace_source_output(_resized(images, size).output(0))
    return ov.Model(model.get_results(), [images], model.get_friendly_name())


def _resized(images: Any, size: int) -> Any:
    """(batch, height, width, 3) to (batch, size, size, 3), both uint8."""
    from openvino import opset13 as ops

    sides = ops.convert(ops.shape_of(images), "f32")
    height, width = (ops.gather(sides, np.int64(axis), np.int64(0)) for axis in (1, 2))
    side = ops.minimum(height, width)
    rows = _pillow_weights(height, side, size)
    columns = ops.transpose(_pillow_weights(width, side, size), np.array([1, 0]))
    pixels = ops.transpose(ops.convert(images, "f32"), np.array([0, 3, 1, 2]))
    matmul = partial(ops.matmul, transpose_a=False, transpose_b=False)
    down_first = _to_levels(matmul(_to_levels(matmul(rows, pixels)), columns))
    across_first = _to_levels(matmul(rows, _to_levels(matmul(pixels, columns))))
    # Each pass rounds to whole levels, so their order matters: `resnet.export.resampling` has the rule. Both are computed,
    # which takes a thirtieth of the network's operations: with OpenVINO 2026.4, a branch was wrong in its first inference.
    taller = ops.subtract(height, np.float32(size))
    wider = ops.maximum(ops.subtract(width, np.float32(size)), np.float32(0))
    levels = ops.select(ops.greater(taller, ops.multiply(wider, np.float32(2))), down_first, across_first)
    return ops.convert(ops.transpose(levels, np.array([0, 2, 3, 1])), "u8")


def _pillow_weights(length: Any, side: Any, size: int) -> Any:
    """(size, length) float32: the share of each source pixel in each pixel of the middle `side`, resized to `size`."""
    from openvino import opset13 as ops

    scale = ops.divide(side, np.float32(size))
    margin = ops.divide(ops.subtract(length, side), np.float32(2))
    targets = np.arange(size, dtype=np.float32)[:, None] + np.float32(0.5)
    centers = ops.add(ops.multiply(targets, scale), margin)
    positions = ops.add(ops.range(np.float32(0), length, np.float32(1), "f32"), np.float32(0.5))
    stretch = ops.maximum(scale, np.float32(1))
    x = ops.abs(ops.divide(ops.subtract(positions, centers), stretch))
    outer = ops.select(ops.less(x, np.float32(2)), _polynomial(x, -0.5, 2.5, -4.0, 2.0), np.float32(0))
    weights = ops.select(ops.less(x, np.float32(1)), _polynomial(x, 1.5, -2.5, 0.0, 1.0), outer)
    return ops.divide(weights, ops.reduce_sum(weights, np.array([1]), keep_dims=True))


def _polynomial(x: Any, first: float, *others: float) -> Any:
    """A polynomial by Horner's rule; the coefficient of the highest power comes first."""
    from openvino import opset13 as ops

    value: Any = np.float32(first)
    for coefficient in others:
        value = ops.add(ops.multiply(value, x), np.float32(coefficient))
    return value


def _to_levels(values: Any) -> Any:
    from openvino import opset13 as ops

    return ops.clamp(ops.floor(ops.add(values, np.float32(0.5))), 0.0, 255.0)
