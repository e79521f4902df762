"""Exports with int8 weights and activations, by quantisation after training.

The ranges of the activations come from calibration images. They must be training images: the accuracy of the export is then
measured on validation images, and these had no part in it. Only the layers of the network are quantised, not the resizing and
normalisation in front of it and not the function that makes probabilities, so an export takes and returns the same as in
float32.
"""

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from resnet.core.errors import UserError
from resnet.dataset.arrays import Split
from resnet.dataset.squares import centre_squares
from resnet.export.formats import FORMATS, add_names, save_openvino
from resnet.network.known_score import OUTPUT
from resnet.network.model import ResNet

Images = npt.NDArray[np.uint8]

CALIBRATION = 300  # images, as many as NNCF takes
_BATCH = 10


def require_int8(name: str) -> None:
    """Raises `UserError` if the format has no int8 export."""
    if name not in INT8:
        raise UserError(f"there is no int8 export to {name}: --int8 is for {', '.join(INT8)}.")


def write_int8(name: str, model: ResNet, images: Images, path: Path) -> None:
    """Writes an int8 export.

    Args:
        name: of the format, a key of `INT8`.
        model: trained, computing in float32, with class names.
        images: to calibrate with, (any number, size, size, 3) uint8.
        path: to write to.
    """
    with _quiet():
        INT8[name](model, images, path)


def calibration_rows(count: int) -> npt.NDArray[np.int64]:
    """The rows of a split of `count` images to calibrate with: spread over the split, because it is sorted by path."""
    return np.linspace(0, count - 1, min(CALIBRATION, count)).astype(np.int64)


def calibration_images(training: Split, size: int) -> Images:
    """Images to calibrate with, as the network gets them when it predicts: (images, size, size, 3) uint8.

    Args:
        training: its images may be larger, and whole photographs that were squeezed to squares.
        size: height and width, in pixels.
    """
    rows = calibration_rows(len(training))
    images = training.gather(rows)
    if training.aspects is None:
        return images
    return centre_squares(images, training.aspects[rows], size)


def _openvino(model: ResNet, images: Images, path: Path) -> None:
    """By NNCF, with its correction of the biases (Nagel et al., "Data-Free Quantization", 2019, section 4.2)."""
    from resnet.network.folding import folded_weights
    from resnet.openvino.graph import network
    from resnet.openvino.runtime import import_nncf

    nncf = import_nncf()
    plain = network(model.get_config(), folded_weights(model), probabilities=True, known_score=model.known_score)
    # A difference of squares needs its digits.
    ignored = nncf.IgnoredScope(patterns=[f"{OUTPUT}_.*"], validate=False)
    data = nncf.Dataset([image[None] for image in images])
    quantised = nncf.quantize(plain, data, subset_size=len(images), ignored_scope=ignored)
    save_openvino(quantised, model, path)


def _onnx(model: ResNet, images: Images, path: Path) -> None:
    """By ONNX Runtime: one scale for each filter, and unsigned activations, which are faster on x86 than signed ones."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._batches = _batches(images)

        def get_next(self) -> dict[str, Images] | None:
            return next(self._batches, None)

    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "float32.onnx"
        FORMATS["onnx"].write(model, plain)
        quantize_static(
            plain,
            path,
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_quantize=[layer.name for layer in model.layers],
            op_types_to_quantize=["Conv", "Add", "Gemm", "MaxPool", "AveragePool"],
        )


def _litert(model: ResNet, images: Images, path: Path) -> None:
    """By Google's AI Edge Quantizer: one scale for each filter."""
    from ai_edge_quantizer.qtyping import TFLOperationName as Operation
    from ai_edge_quantizer.quantizer import Quantizer

    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "float32.tflite"
        FORMATS["litert"].write(model, plain)
        quantizer = Quantizer(str(plain))
        # The converter fuses a ReLU into each addition of a shortcut; the additions of the resizing have none.
        for operation, names in {
            Operation.CONV_2D: ".*",
            Operation.ADD: "Relu.*Add",
            Operation.PAD: ".*",
            Operation.MAX_POOL_2D: ".*",
            Operation.AVERAGE_POOL_2D: ".*",
            Operation.MEAN: ".*",
            Operation.FULLY_CONNECTED: rf"^(?!.*{OUTPUT}).*",
        }.items():
            quantizer.add_static_config(names, operation, activation_num_bits=8, weight_num_bits=8)
        ranges = quantizer.calibrate({"serving_default": list(_batches(images))})
        made = quantizer.quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
        path.write_bytes(made.quantized_model)
    add_names(path, model)


def _batches(images: Images) -> Iterator[dict[str, Images]]:
    for start in range(0, len(images), _BATCH):
        yield {"images": images[start : start + _BATCH]}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Holds back progress bars, advice and warnings of the packages, which print them wherever they can."""
    held, disabled = io.StringIO(), logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(held), contextlib.redirect_stderr(held), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


INT8: dict[str, Callable[[ResNet, Images, Path], None]] = {"openvino": _openvino, "onnx": _onnx, "litert": _litert}
