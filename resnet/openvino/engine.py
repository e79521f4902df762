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
Both = Callable[[npt.NDArray[np.uint8]], tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]
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


def load_network_with_known_score(path: Path, file: ModelFile, precision: str) -> Both:
    """As `load_network`, but the function returns two arrays: logits, and the known score, (batch,) float32."""
    model = network(file.config, stored_weights(path, file), known_score=file.known_score)
    run = _request(model, precision)

    def both(images: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        found = run.infer({0: images})
        return found[0].copy(), found[1].copy()

    return both


def compiled(model: "openvino.Model", precision: str, output: int | str = 0) -> Network:
    """Compiles a model as a function from arrays to one of its outputs. The size of a batch does not change the bits."""
    request = _request(model, precision)

    def run(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        found: npt.NDArray[np.float32] = request.infer({0: images})[output]
        return found.copy()  # it is the memory of the request, which the next call overwrites

    return run


def _request(model: "openvino.Model", precision: str) -> Any:
    # One request that uses all cores. Several requests at a time were no faster on two cores with batches of 32 images.
    options = {"INFERENCE_PRECISION_HINT": PRECISIONS[precision], "PERFORMANCE_HINT": "LATENCY"}
    return import_openvino().Core().compile_model(model, "CPU", options).create_infer_request()
