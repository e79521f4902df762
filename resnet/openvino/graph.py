"""A ResNet as an OpenVINO model, built operation by operation from its folded weights.

The importers of OpenVINO would need the network in TensorFlow, whose start takes longer than everything else in a prediction.
OpenVINO has channels before height and width; the order changes once, at the input.
"""

from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from resnet.network.known_score import LARGEST, OUTPUT, KnownScore
from resnet.network.normalisation import DEVIATION, MEAN
from resnet.network.plan import Block, Convolution, plan
from resnet.network.stored_weights import HEAD, Weights
from resnet.openvino.runtime import import_openvino

if TYPE_CHECKING:
    import openvino

INPUT = "images"


def network(
    config: dict[str, Any],
    weights: dict[str, Weights],
    *,
    probabilities: bool = False,
    known_score: KnownScore | None = None,
) -> "openvino.Model":
    """The network as a model from (batch, size, size, 3) uint8 images to (batch, classes) float32 logits.

    Args:
        config: all arguments of `ResNet`.
        weights: kernel and bias by the names of the layers, see `resnet.network.stored_weights`.
        probabilities: end in a softmax, or in the logistic function if an image may have several labels.
        known_score: becomes a second output, (batch,) float32.
    """
    ov = import_openvino()
    from openvino import opset13 as ops

    parts, size = plan(config), config["input_shape"][0]
    images = ops.parameter(ov.PartialShape([-1, size, size, 3]), np.uint8, name=INPUT)
    images.output(0).set_names({INPUT})
    pixels = ops.transpose(ops.convert(images, "f32"), np.array([0, 3, 1, 2]))
    mean, deviation = (np.array(values, np.float32).reshape(1, 3, 1, 1) for values in (MEAN, DEVIATION))
    values = ops.divide(ops.subtract(pixels, mean), deviation)
    for one in parts.stem:
        values = ops.relu(_convolution(values, one, weights))
    if parts.pooled:
        # Zeros are no larger than what a ReLU returns, so the padding of max-pooling does the same as a layer of zeros.
        values = ops.max_pool(values, [2, 2], [1, 1], [1, 1], [1, 1], [3, 3]).output(0)
    for block in parts.blocks:
        values = _block(values, block, weights)
    kernel, bias = weights[HEAD]
    features = ops.reduce_mean(values, np.array([2, 3]))
    result = ops.add(ops.matmul(features, kernel, False, False, name=HEAD), bias)
    if probabilities:
        result = ops.sigmoid(result) if "multi_label" in config else ops.softmax(result, 1)
    result.output(0).set_names({"probabilities" if probabilities else "logits"})
    results = [result] if known_score is None else [result, _known(features, known_score)]
    return ov.Model(results, [images], "resnet")


def _known(features: Any, score: KnownScore) -> Any:
    """The known score of features (batch, features): (batch,)."""
    from openvino import opset13 as ops

    axis = np.array([1])

    def named(make: Any, *given: Any) -> Any:
        return make(*given, name=f"{OUTPUT}_{next(numbers)}")  # `resnet.export.int8` leaves these as they are

    numbers = count()
    x = named(ops.subtract, features, score.middle)
    found = named(ops.add, named(partial(ops.matmul, transpose_a=False, transpose_b=False), x, score.kernel), score.bias)
    sizes = np.array([score.directions, score.bias.size - score.directions])
    directions, classes = ops.variadic_split(found, 1, sizes).outputs()
    squares = named(ops.reduce_sum, named(ops.multiply, x, x), axis)
    less = named(ops.reduce_sum, named(ops.multiply, directions, directions), axis)
    far = named(ops.subtract, named(ops.multiply, squares, np.float32(score.scale)), less)
    found_score = named(ops.subtract, np.float32(1), named(ops.add, far, ops.reduce_min(classes, axis)))
    usable = named(ops.less_equal, named(ops.absolute, found_score), np.float32(LARGEST))
    result = named(ops.select, usable, found_score, np.float32(-LARGEST))
    result.output(0).set_names({OUTPUT})
    return result


def _block(values: Any, block: Block, weights: dict[str, Weights]) -> Any:
    from openvino import opset13 as ops

    residual, shortcut = values, values
    for number, one in enumerate(block.residual):
        residual = _convolution(ops.relu(residual) if number else residual, one, weights)
    if block.shortcut:
        if block.pool > 1:
            sides = [block.pool, block.pool]
            shortcut = ops.avg_pool(shortcut, sides, [0, 0], [0, 0], sides, True, auto_pad="same_upper")
        shortcut = _convolution(shortcut, block.shortcut, weights)
    return ops.relu(ops.add(shortcut, residual))


def _convolution(values: Any, one: Convolution, weights: dict[str, Weights]) -> Any:
    from openvino import opset13 as ops

    kernel, bias = weights[one.name]
    pads, kind = ([one.side // 2] * 2, "explicit") if one.padded else ([0, 0], "same_upper")
    filters = np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))
    convolved = ops.convolution(values, filters, [one.stride] * 2, pads, pads, [1, 1], kind, name=one.name)
    return ops.add(convolved, bias.reshape(1, -1, 1, 1))
