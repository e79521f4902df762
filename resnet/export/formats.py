"""The export formats: how each file is written, and how it is run to check it.

The class names are stored where each format allows it: in a signature of the SavedModel, in the metadata of ONNX, and in a
member `class_names.json` of a zip archive. A `.keras` file is such an archive; a `.tflite` file ends in one, which is where
TensorFlow Lite keeps associated files.
"""

import json
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from resnet.core.errors import UserError
from resnet.export.classifier import Classifier
from resnet.export.onnx_graph import onnx_model
from resnet.export.stock import stock_model
from resnet.network.model import ResNet

Probabilities = npt.NDArray[np.float32]
Run = Callable[[npt.NDArray[np.uint8]], Probabilities]

NAMES = "class_names.json"


@dataclass(frozen=True)
class Format:
    """An export format.

    Attributes:
        suffix: of the file's name, or of the folder's name for a SavedModel.
        packages: importable names of the packages that it needs beside TensorFlow.
        write: writes a model to a path.
        load: returns a function from (batch, height, width, 3) uint8 images to (batch, classes) probabilities.
    """

    suffix: str
    packages: tuple[str, ...]
    write: Callable[[ResNet, Path], None]
    load: Callable[[Path], Run]


def require_packages(name: str) -> None:
    """Raises `UserError` if a package that the format needs is not installed."""
    from importlib.util import find_spec

    absent = [package for package in FORMATS[name].packages if find_spec(package) is None]
    if absent:
        raise UserError(
            f"exporting to {name} needs {' and '.join(absent)}, which is not installed: run pip install "
            "'train-resnet[export]', or pip install -e '.[export]' in this folder."
        )


def _write_savedmodel(model: ResNet, path: Path) -> None:
    made = Classifier(model)
    signatures = {"serving_default": made.encoded, "images": made.images, "class_names": made.names}
    tf.saved_model.save(made, str(path), signatures=signatures)


def _load_savedmodel(path: Path) -> Run:
    loaded = tf.saved_model.load(str(path))
    return lambda images: loaded.signatures["images"](tf.constant(images))["probabilities"].numpy()


def load_encoded(path: Path) -> Callable[[list[bytes]], Probabilities]:
    """Loads a SavedModel as a function from the bytes of image files to (batch, classes) probabilities."""
    loaded = tf.saved_model.load(str(path))
    return lambda files: loaded.signatures["serving_default"](tf.constant(files))["probabilities"].numpy()


def _write_onnx(model: ResNet, path: Path) -> None:
    path.write_bytes(onnx_model(model).SerializeToString())


def _load_onnx(path: Path) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda images: session.run(["probabilities"], {"images": images})[0]


def _write_litert(model: ResNet, path: Path) -> None:
    made = Classifier(model)
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(made, folder, signatures={"serving_default": made.images})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        path.write_bytes(converter.convert())
    _add_names(path, made.class_names)


def _load_litert(path: Path) -> Run:
    from ai_edge_litert.interpreter import Interpreter

    runner: Any = Interpreter(model_path=str(path)).get_signature_runner("serving_default")
    return lambda images: runner(images=images)["probabilities"]


def _write_keras(model: ResNet, path: Path) -> None:
    made = stock_model(model)
    made.save(path)
    _add_names(path, model.class_names or [])


def _load_keras(path: Path) -> Run:
    loaded = keras.saving.load_model(path, compile=False)
    return lambda images: np.asarray(loaded(images, training=False))


def _add_names(path: Path, names: list[str]) -> None:
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(zipfile.ZipInfo(NAMES, (1980, 1, 1, 0, 0, 0)), json.dumps(names, ensure_ascii=False))


FORMATS: dict[str, Format] = {
    "savedmodel": Format("-savedmodel", (), _write_savedmodel, _load_savedmodel),
    "onnx": Format(".onnx", ("onnx", "onnxruntime"), _write_onnx, _load_onnx),
    "litert": Format(".tflite", ("ai_edge_litert",), _write_litert, _load_litert),
    "keras": Format(".keras", (), _write_keras, _load_keras),
}
