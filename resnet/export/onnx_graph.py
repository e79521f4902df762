"""A trained network with its preprocessing as one ONNX graph, written node by node from the folded weights.

It computes what `resnet.export.classifier.Classifier.images` computes, in float32: resizing as in `resnet.export.resampling`,
normalisation, the network with batch normalisation folded into its convolutions, softmax or logistic function. ONNX has
channels before height and width, TensorFlow has them last; the order changes once, at the input.
"""

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import numpy.typing as npt

from resnet.export.classifier import describe, describe_known_score, exportable
from resnet.export.labels import THRESHOLDS
from resnet.network.folding import folded_weights
from resnet.network.known_score import LARGEST, OUTPUT, KnownScore
from resnet.network.model import ResNet
from resnet.network.normalisation import DEVIATION, MEAN
from resnet.network.stored_weights import Weights

if TYPE_CHECKING:
    import onnx

OPSET = 18  # ONNX 1.13: runtimes from 2023 on


def onnx_model(model: ResNet) -> "onnx.ModelProto":
    """The network as an ONNX model.

    Input: `images`, (batch, height, width, 3) uint8. Outputs: `probabilities`, (batch, classes) float32, and, if the model has
    one, `known_score`, (batch,) float32. The metadata has `class_names`, a JSON list in the order of the probabilities, and
    what the known score means; for several labels an image also `thresholds`, a JSON list in the same order.

    Args:
        model: trained, computing in float32, for square images, with class names.

    Raises:
        ValueError: a model for images that are not square, or without class names.
    """
    import onnx
    from onnx import TensorProto, helper

    size, class_names = exportable(model)
    graph = _Graph()
    mean, deviation = (np.array(values, np.float32).reshape(1, 3, 1, 1) for values in (MEAN, DEVIATION))
    normalised = graph.add("Div", graph.add("Sub", _resized(graph, "images", size), mean), deviation)
    logits, features = _logits(graph, model, normalised)
    if model.multi_label:
        graph.add("Sigmoid", logits, name="probabilities")
    else:
        graph.add("Softmax", logits, name="probabilities", axis=1)
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", "height", "width", 3])
    probabilities = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", len(class_names)])
    outputs, properties = [probabilities], {"class_names": json.dumps(class_names, ensure_ascii=False)}
    if model.thresholds is not None:
        properties[THRESHOLDS] = json.dumps(model.thresholds)
    if model.known_score is not None:
        _known_score(graph, features, model.known_score)
        outputs.append(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch"]))
        properties[OUTPUT] = describe_known_score(model.get_config()["refuses"])
    made = helper.make_model_gen_version(  # the oldest file version that has this opset
        helper.make_graph(graph.nodes, model.name, [images], outputs, graph.constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name="train-resnet",
        doc_string=describe(size, multi_label=model.multi_label),
    )
    helper.set_model_props(made, properties)
    onnx.checker.check_model(made, full_check=True)
    return made


class _Graph:
    """Nodes and constants under construction; a value is known by its name.

    Args:
        name: begins the names of values.
        outer: the graph that a branch belongs to, which keeps the branch's constants.
    """

    def __init__(self, name: str = "", outer: "_Graph | None" = None) -> None:
        self._name = name
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = outer.constants if outer else []

    def add(self, operator: str, *inputs: str | npt.ArrayLike, name: str = "", **attributes: Any) -> str:
        """Adds a node with one output and returns the name of that. Inputs that are not names become constants."""
        from onnx import helper

        name = name or f"{self._name}{operator.lower()}_{len(self.nodes)}"
        names = [one if isinstance(one, str) else self._constant(np.asarray(one)) for one in inputs]
        self.nodes.append(helper.make_node(operator, names, [name], name, **attributes))
        return name

    def _constant(self, values: npt.NDArray[Any]) -> str:
        from onnx import numpy_helper

        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name


def _resized(graph: _Graph, images: str, size: int) -> str:
    """Adds `resnet.export.resampling.resize_and_crop`: (batch, height, width, 3) uint8 to (batch, 3, size, size) float32."""
    from onnx import TensorProto, helper

    sides = graph.add("Cast", graph.add("Shape", images, start=1, end=3), to=TensorProto.FLOAT)
    height, width = (graph.add("Gather", sides, np.int64(axis)) for axis in (0, 1))
    side = graph.add("Min", height, width)
    rows = _pillow_weights(graph, height, side, size)
    columns = graph.add("Transpose", _pillow_weights(graph, width, side, size), perm=[1, 0])
    pixels = graph.add("Transpose", graph.add("Cast", images, to=TensorProto.FLOAT), perm=[0, 3, 1, 2])

    def down(branch: _Graph, values: str) -> str:
        return _to_levels(branch, branch.add("MatMul", rows, values))

    def across(branch: _Graph, values: str) -> str:
        return _to_levels(branch, branch.add("MatMul", values, columns))

    def branch(name: str, first: Callable[[_Graph, str], str], then: Callable[[_Graph, str], str]) -> "onnx.GraphProto":
        inner = _Graph(f"{name}_", graph)
        output = then(inner, first(inner, pixels))
        info = helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", 3, size, size])
        return helper.make_graph(inner.nodes, name, [], [info])

    # Each pass rounds to whole levels, so their order matters: `resnet.export.resampling` has the rule.
    taller = graph.add("Sub", height, np.float32(size))
    wider = graph.add("Max", graph.add("Sub", width, np.float32(size)), np.float32(0.0))
    return graph.add(
        "If",
        graph.add("Greater", taller, graph.add("Mul", wider, np.float32(2.0))),
        name="resized",
        then_branch=branch("down_first", down, across),
        else_branch=branch("across_first", across, down),
    )


def _pillow_weights(graph: _Graph, length: str, side: str, size: int) -> str:
    """Adds (size, length) float32: the share of each source pixel in each pixel of the middle `side`, resized to `size`."""
    scale = graph.add("Div", side, np.float32(size))
    margin = graph.add("Div", graph.add("Sub", length, side), np.float32(2.0))
    centers = graph.add("Add", graph.add("Mul", np.arange(size, dtype=np.float32)[:, None] + np.float32(0.5), scale), margin)
    positions = graph.add("Add", graph.add("Range", np.float32(0.0), length, np.float32(1.0)), np.float32(0.5))
    stretch = graph.add("Max", scale, np.float32(1.0))
    distances = graph.add("Abs", graph.add("Div", graph.add("Sub", positions, centers), stretch))
    near = _polynomial(graph, distances, 1.5, -2.5, 0.0, 1.0)
    far = _polynomial(graph, distances, -0.5, 2.5, -4.0, 2.0)
    outer = graph.add("Where", graph.add("Less", distances, np.float32(2.0)), far, np.float32(0.0))
    weights = graph.add("Where", graph.add("Less", distances, np.float32(1.0)), near, outer)
    return graph.add("Div", weights, graph.add("ReduceSum", weights, np.array([1], np.int64), keepdims=1))


def _polynomial(graph: _Graph, x: str, first: float, *others: float) -> str:
    """Adds a polynomial by Horner's rule; the coefficient of the highest power comes first."""
    value: str | np.float32 = np.float32(first)
    for coefficient in others:
        value = graph.add("Add", graph.add("Mul", value, x), np.float32(coefficient))
    return str(value)


def _to_levels(graph: _Graph, values: str) -> str:
    rounded = graph.add("Floor", graph.add("Add", values, np.float32(0.5)))
    return graph.add("Clip", rounded, np.float32(0.0), np.float32(255.0))


def _known_score(graph: _Graph, features: str, score: KnownScore) -> None:
    """Adds the known score of features (batch, features): (batch,)."""
    axis, count = np.array([1], np.int64), score.directions
    x = graph.add("Sub", features, score.middle)
    directions = graph.add("Gemm", x, score.kernel[:, :count], score.bias[:count], name=f"{OUTPUT}_directions")
    classes = graph.add("Gemm", x, score.kernel[:, count:], score.bias[count:], name=f"{OUTPUT}_classes")
    squares = graph.add("ReduceSum", graph.add("Mul", x, x), axis, keepdims=0)
    less = graph.add("ReduceSum", graph.add("Mul", directions, directions), axis, keepdims=0)
    nearest = graph.add("ReduceMin", classes, axis, keepdims=0)
    far = graph.add("Sub", graph.add("Mul", squares, np.float32(score.scale)), less)
    found = graph.add("Sub", np.float32(1.0), graph.add("Add", far, nearest))
    usable = graph.add("LessOrEqual", graph.add("Abs", found), np.float32(LARGEST))
    graph.add("Where", usable, found, np.float32(-LARGEST), name=OUTPUT)


def _logits(graph: _Graph, model: ResNet, images: str) -> tuple[str, str]:
    """Adds the folded network, layer by layer: (batch, 3, size, size) to logits and to the input of the head, all float32."""
    folded = folded_weights(model)
    values = {id(model.inputs[0]): images}
    for layer in model.layers[1:]:
        inputs = [values[id(tensor)] for tensor in keras.tree.flatten(layer.input)]
        if isinstance(layer, keras.layers.BatchNormalization):  # folded
            values[id(layer.output)] = inputs[0]
        else:
            operator, constants, attributes = _operator(layer, folded)
            values[id(layer.output)] = graph.add(operator, *inputs, *constants, name=layer.name, **attributes)
    return values[id(model.outputs[0])], values[id(model.layers[-1].input)]


def _operator(layer: keras.Layer, folded: dict[str, Weights]) -> tuple[str, Sequence[npt.NDArray[Any]], dict[str, Any]]:
    """The ONNX operator of a layer, its constant inputs and its attributes."""
    constants: Sequence[npt.NDArray[Any]] = ()
    attributes: dict[str, Any] = {}
    match layer:
        case keras.layers.Conv2D():
            kernel, bias = folded[layer.name]
            operator, constants, attributes = "Conv", (kernel.transpose(3, 2, 0, 1), bias), _window(layer, layer.kernel_size)
        case keras.layers.ReLU():
            operator = "Relu"
        case keras.layers.Add():
            operator = "Add"
        case keras.layers.ZeroPadding2D():
            (top, bottom), (left, right) = layer.padding
            operator, constants = "Pad", (np.array([0, 0, top, left, 0, 0, bottom, right], np.int64),)
        case keras.layers.MaxPooling2D():
            operator, attributes = "MaxPool", _window(layer, layer.pool_size)
        case keras.layers.AveragePooling2D():
            operator, attributes = "AveragePool", _window(layer, layer.pool_size)
        case keras.layers.GlobalAveragePooling2D():
            operator, constants, attributes = "ReduceMean", (np.array([2, 3], np.int64),), {"keepdims": 0}
        case keras.layers.Dense():
            operator, constants = "Gemm", folded[layer.name]
        case _:
            raise ValueError(f"No ONNX operator is known for the layer {layer.name}. Received: {type(layer).__name__}.")
    return operator, constants, attributes


def _window(layer: keras.Layer, sides: tuple[int, int]) -> dict[str, Any]:
    """Size, steps and padding of a window that slides over an image; SAME_UPPER is what TensorFlow calls "SAME"."""
    padding = {"auto_pad": "SAME_UPPER"} if layer.padding == "same" else {}
    return {"kernel_shape": list(sides), "strides": list(layer.strides), **padding}
