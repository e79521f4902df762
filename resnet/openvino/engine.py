"""Predictions by OpenVINO, from the `.keras` file itself and without TensorFlow."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from resnet.network.archive import ModelFile
from resnet.network.stored_weights import stored_weights
from resnet.openvino.graph import network
from resnet.openvino.runtime import import_openvino

if TYPE_CHECKING:
    import openvino

Network = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]
PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}  # and their names in OpenVINO


def load_network(path: Path, file: ModelFile, precision: str) -> Network:
    """Compiles the network of a `.keras` file for this processor.

    Args:
        path: of the file, for messages.
        file: its content.
        precision: one of `PRECISIONS`.

    Returns:
        A function from (batch, size, size, 3) uint8 images to (batch, classes) float32 logits.

    Raises:
        RefusedModelError: the file has not exactly the weights of its network.
        UserError: OpenVINO is not installed.
    """
    return compiled(network(file.config, stored_weights(path, file)), precision)


def compiled(model: "openvino.Model", precision: str) -> Network:
    """Compiles a model with one input and one output as a function of arrays. The size of a batch does not change the bits."""
    # One request that uses all cores. Several requests at a time were no faster on two cores with batches of 32 images.
    options = {"INFERENCE_PRECISION_HINT": PRECISIONS[precision], "PERFORMANCE_HINT": "LATENCY"}
    request: Any = import_openvino().Core().compile_model(model, "CPU", options).create_infer_request()

    def run(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        found: npt.NDArray[np.float32] = request.infer({0: images})[0]
        return found.copy()  # it is the memory of the request, which the next call overwrites

    return run
