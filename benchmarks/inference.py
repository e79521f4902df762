"""Images per second of inference: the network of `train-resnet predict` against Keras, PyTorch and OpenVINO.

`ours` is the engine that `predict` chooses on this machine. `ours-tensorflow` is TensorFlow, which the stage `evaluate` uses.
`ours-int8` is the network of an int8 export to OpenVINO. `ours-float32` and `ours-tensorflow-float32` compute in float32.

`matmul-bf16` is a reference for the peak speed of the machine: products of 4096 x 4096 matrices, 8.2 GFLOP per image.
"""

import argparse
import sys
from collections.abc import Callable
from typing import Any

from benchmarks.command import main, parser

CLASSES = 1000
PEERS = [
    "ours-tensorflow",
    "ours-int8",
    "keras",
    "keras-bf16",
    "torch-bf16",
    "torch-bf16-compiled",
    "openvino-bf16",
    "openvino-bf16-throughput",
    "matmul-bf16",
]
FLOP_PER_IMAGE = 8.2e9  # ResNet-50 at 224 pixels; a multiply-add counts as two
SIDE = 4096


def ours(name: str, size: int, images: Any, network: dict[str, Any] | None = None) -> Callable[[], object]:
    """Makes the step of the folded network, in `auto` precision or in float32.

    Args:
        name: of the contender.
        size: height and width of the images in pixels.
        images: (batch, size, size, 3), uint8.
        network: arguments of `ResNet`, for TensorFlow; by default, and always in OpenVINO, it is a ResNet-50.
    """
    from resnet.network.huge_pages import use_huge_pages
    from resnet.prediction.engines import choose_engine

    use_huge_pages()  # all contenders have them already
    choice = choose_engine("tensorflow" if "tensorflow" in name else "auto", "float32" if "float32" in name else "auto")
    if choice.engine == "openvino":
        return _ours_in_openvino(size, images, choice.precision, int8="int8" in name)
    from resnet.network.precision import choose_precision
    from resnet.network.startup import start_tensorflow

    start_tensorflow()
    from resnet.network.folding import folded_network

    precision = choose_precision("auto") if choice.precision == "auto" else choice.precision
    folded = folded_network(trained_network(size, network=network), precision)
    return lambda: folded(images)


def _ours_in_openvino(size: int, images: Any, precision: str, *, int8: bool) -> Callable[[], object]:
    """Makes the step of the network in OpenVINO, with random weights and without TensorFlow."""
    import numpy as np

    from resnet.network.plan import plan
    from resnet.openvino.engine import compiled
    from resnet.openvino.graph import network
    from resnet.openvino.runtime import import_nncf

    config = {"depth": 50, "variant": "v1.5", "stem": "large", "blocks": [3, 4, 6, 3], "width": 64, "classes": CLASSES}
    parts, generator = plan(config), np.random.default_rng(0)

    def random(*shape: int) -> Any:
        scale = (2 / np.prod(shape[:-1])) ** 0.5
        return (scale * generator.standard_normal(shape)).astype(np.float32), np.full(shape[-1], 0.1, np.float32)

    weights = {one.name: random(one.side, one.side, one.inputs, one.filters) for one in parts.convolutions()}
    model = network(config | {"input_shape": [size, size, 3]}, weights | {"predictions": random(parts.features, CLASSES)})
    if int8:
        nncf = import_nncf()
        model = nncf.quantize(model, nncf.Dataset([image[None] for image in images[:8]]), subset_size=8)
    run = compiled(model, precision)
    return lambda: run(images)


def trained_network(size: int, class_names: list[str] | None = None, network: dict[str, Any] | None = None) -> Any:
    """Makes a network, by default a ResNet-50, whose scales and offsets are random, as after training.

    TensorFlow skips work where a scale is 1 or an offset is 0, which would make an untrained network faster.
    """
    import keras
    import numpy as np

    from resnet.network.model import ResNet

    keras.utils.set_random_seed(0)
    model = ResNet((size, size, 3), CLASSES, class_names=class_names, **(network or {}))
    generator = np.random.default_rng(0)
    for weight in model.weights:
        if len(weight.shape) == 1:
            weight.assign(generator.uniform(0.5, 1.5, weight.shape))
    return model


def keras_applications(name: str, size: int, images: Any) -> Callable[[], object]:
    """Makes the step of `model.predict_on_batch` of `keras.applications.ResNet50`."""
    import keras

    if name == "keras-bf16":
        keras.config.set_dtype_policy("mixed_bfloat16")
    model = keras.applications.ResNet50(weights=None, input_shape=(size, size, 3), classes=CLASSES, classifier_activation=None)
    given = images.astype("float32")
    return lambda: model.predict_on_batch(given)


def pytorch(name: str, size: int, images: Any) -> Callable[[], object]:
    """Makes the step of the PyTorch network: channels last, under autocast, eager or compiled."""
    import torch

    model, inputs = _torch(images)
    network: Any = torch.compile(model) if name.endswith("compiled") else model

    def step() -> object:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled="bf16" in name):
            return network(inputs).float().numpy()

    return step


def openvino(name: str, size: int, images: Any) -> Callable[[], object]:
    """Makes the step of the PyTorch network in OpenVINO, which folds batch normalisation too.

    Its documentation has a setting for latency, with one request that uses all cores, and one for throughput, with several
    requests at a time. For the latter the batch is divided among the requests.
    """
    if not name.endswith("throughput"):
        compiled, given = compiled_by_openvino(name, images)
        return lambda: compiled(given)[0]
    from resnet.openvino.runtime import import_openvino

    ov = import_openvino()
    hint = {"PERFORMANCE_HINT": "THROUGHPUT"}
    requests = compiled_by_openvino(name, images, hint)[0].get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
    requests = next(count for count in range(requests, 0, -1) if len(images) % count == 0)
    compiled, _ = compiled_by_openvino(name, images[: len(images) // requests], hint)
    queue = ov.AsyncInferQueue(compiled, requests)
    parts = [part.copy() for part in images.astype("float32").transpose(0, 3, 1, 2).reshape(requests, -1, 3, size, size)]

    def step() -> None:
        for part in parts:
            queue.start_async({0: part})
        queue.wait_all()

    return step


def compiled_by_openvino(name: str, images: Any, options: dict[str, Any] | None = None) -> tuple[Any, Any]:
    """Compiles the PyTorch network by OpenVINO; returns the compiled model and its input."""
    from resnet.openvino.runtime import import_openvino

    ov = import_openvino()
    model, inputs = _torch(images)
    converted = ov.convert_model(model, example_input=inputs, input=[inputs.shape])
    precision = "bf16" if "bf16" in name else "f32"
    settings = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"} | (options or {})
    return ov.Core().compile_model(converted, "CPU", settings), inputs.contiguous().numpy()


def _torch(images: Any) -> tuple[Any, Any]:
    import torch

    from benchmarks.torch_resnet import resnet50

    inputs = torch.from_numpy(images.astype("float32").transpose(0, 3, 1, 2)).contiguous(memory_format=torch.channels_last)
    return resnet50(CLASSES).eval(), inputs


def matmul(name: str, size: int, images: Any) -> Callable[[], object]:
    """Makes a step of matrix products with as many operations as ResNet-50 needs for the batch."""
    import tensorflow as tf

    tf.random.set_seed(0)
    factor = tf.cast(tf.random.normal((SIDE, SIDE)), tf.bfloat16)
    count = max(1, round(len(images) * FLOP_PER_IMAGE / (2 * SIDE**3)))

    @tf.function
    def products() -> tf.Tensor:
        product = factor
        for _ in range(count):
            product = tf.matmul(product, factor)
        return product[0, 0]

    return lambda: products().numpy()


def make(name: str, arguments: argparse.Namespace) -> Callable[[], object]:
    """Makes the step of a contender from its name."""
    kinds = {"ours": ours, "keras": keras_applications, "torch": pytorch, "openvino": openvino, "matmul": matmul}
    return kinds[name.partition("-")[0]](name, arguments.size, make_images(arguments.size, arguments.batch))


def make_images(size: int, batch: int) -> Any:
    """Returns random images: (batch, size, size, 3), uint8."""
    import numpy as np

    return np.random.default_rng(0).integers(0, 256, (batch, size, size, 3), dtype=np.uint8)


if __name__ == "__main__":
    given = parser("benchmarks.inference", (__doc__ or "").splitlines()[0], PEERS, 224, 32).parse_args(sys.argv[1:])
    main("benchmarks.inference", "Inference", given, make)
