"""The export formats: how each file is written, and how it is run to check it.

The class names are stored where each format allows it: in a signature of the SavedModel, in the metadata of ONNX and OpenVINO,
and in a member `class_names.json` of a zip archive. A `.keras` file is such an archive; a `.tflite` file ends in one, which is
where TensorFlow Lite keeps associated files. A network for several labels an image has its thresholds beside them.
"""

import json
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from resnet.core.errors import UserError
from resnet.export.classifier import Classifier, describe_known_score
from resnet.export.labels import THRESHOLDS
from resnet.export.onnx_graph import onnx_model
from resnet.export.stock import stock_model
from resnet.network.folding import folded_weights
from resnet.network.known_score import OUTPUT
from resnet.network.model import ResNet

if TYPE_CHECKING:
    import openvino

Probabilities = npt.NDArray[np.float32]
Run = Callable[[npt.NDArray[np.uint8]], Probabilities]

NAMES = "class_names.json"
PROBABILITIES = "probabilities"


class Load(Protocol):
    """Loads an export as a function from images to one of its outputs."""

    def __call__(self, path: Path, output: str = PROBABILITIES) -> Run:
        """The function, for the export at this path."""


@dataclass(frozen=True)
class Format:
    """An export format.

    Attributes:
        suffix: of the file's name, or of the folder's name for a SavedModel and OpenVINO.
        packages: importable names of the packages that it needs beside TensorFlow.
        write: writes a model to a path.
        load: returns a function from (batch, height, width, 3) uint8 images to one of the outputs: `probabilities`, (batch,
            classes), or `known_score`, (batch,), which an export of a model with such a score has.
        extra: of this project, with which the packages are installed.
        int8_packages: importable names of the packages that an int8 export needs as well.
    """

    suffix: str
    packages: tuple[str, ...]
    write: Callable[[ResNet, Path], None]
    load: "Load"
    extra: str = "export"
    int8_packages: tuple[str, ...] = ()


def require_packages(name: str, *, int8: bool = False) -> None:
    """Raises `UserError` if a package that the format needs is not installed."""
    from importlib.util import find_spec

    wanted = FORMATS[name]
    absent = [one for one in (*wanted.packages, *(wanted.int8_packages if int8 else ())) if find_spec(one) is None]
    if absent:
        raise UserError(
            f"exporting to {name} needs {' and '.join(absent)}, which is not installed: run pip install "
            f"'train-resnet[{wanted.extra}]', or pip install -e '.[{wanted.extra}]' in this folder."
        )


def _write_savedmodel(model: ResNet, path: Path) -> None:
    made = Classifier(model)
    signatures = {"serving_default": made.encoded, "images": made.images, "class_names": made.names}
    if model.multi_label:
        signatures[THRESHOLDS] = made.thresholds
    tf.saved_model.save(made, str(path), signatures=signatures)


def _load_savedmodel(path: Path, output: str = PROBABILITIES) -> Run:
    loaded = tf.saved_model.load(str(path))
    return lambda images: loaded.signatures["images"](tf.constant(images))[output].numpy()


def load_encoded(path: Path) -> Callable[[list[bytes]], Probabilities]:
    """Loads a SavedModel as a function from the bytes of image files to (batch, classes) probabilities."""
    loaded = tf.saved_model.load(str(path))
    return lambda files: loaded.signatures["serving_default"](tf.constant(files))["probabilities"].numpy()


def _write_onnx(model: ResNet, path: Path) -> None:
    path.write_bytes(onnx_model(model).SerializeToString())


def _load_onnx(path: Path, output: str = PROBABILITIES) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda images: session.run([output], {"images": images})[0]


def _write_litert(model: ResNet, path: Path) -> None:
    made = Classifier(model)
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(made, folder, signatures={"serving_default": made.images})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        path.write_bytes(converter.convert())
    add_names(path, model)


def _load_litert(path: Path, output: str = PROBABILITIES) -> Run:
    from ai_edge_litert.interpreter import Interpreter

    runner: Any = Interpreter(model_path=str(path)).get_signature_runner("serving_default")
    return lambda images: runner(images=images)[output]


def _write_keras(model: ResNet, path: Path) -> None:
    stock_model(model).save(path)
    add_names(path, model)


def _load_keras(path: Path, output: str = PROBABILITIES) -> Run:
    loaded = keras.saving.load_model(path, compile=False)

    def run(images: npt.NDArray[np.uint8]) -> Probabilities:
        found = loaded(images, training=False)
        return np.asarray(found[output] if isinstance(found, dict) else found)

    return run


def _write_openvino(model: ResNet, path: Path) -> None:
    from resnet.openvino.graph import network

    save_openvino(
        network(model.get_config(), folded_weights(model), probabilities=True, known_score=model.known_score), model, path
    )


def save_openvino(network: "openvino.Model", model: ResNet, path: Path) -> None:
    """Writes an OpenVINO model as a folder, with resizing in front of it.

    Args:
        network: from images of the network's size to its outputs.
        model: that it was made from.
        path: of the folder.
    """
    from resnet.openvino.resizing import with_resizing
    from resnet.openvino.runtime import import_openvino

    whole = with_resizing(network)
    whole.set_rt_info(json.dumps(model.class_names, ensure_ascii=False), "class_names")
    if model.thresholds is not None:
        whole.set_rt_info(json.dumps(model.thresholds), THRESHOLDS)
    if model.known_score is not None:
        whole.set_rt_info(describe_known_score(model.get_config()["refuses"]), OUTPUT)
    path.mkdir()
    import_openvino().save_model(whole, path / "model.xml", compress_to_fp16=False)


def _load_openvino(path: Path, output: str = PROBABILITIES) -> Run:
    from resnet.openvino.engine import compiled
    from resnet.openvino.runtime import import_openvino

    return compiled(import_openvino().Core().read_model(path / "model.xml"), "float32", output)


def add_names(path: Path, model: ResNet) -> None:
    """Appends a zip archive with the class names, and the thresholds, to a file, or adds them to the archive that it is."""
    members: dict[str, object] = {NAMES: model.class_names or []}
    if model.thresholds is not None:
        members[f"{THRESHOLDS}.json"] = model.thresholds
    with zipfile.ZipFile(path, "a") as archive:
        for name, value in members.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), json.dumps(value, ensure_ascii=False))


FORMATS: dict[str, Format] = {
    "savedmodel": Format("-savedmodel", (), _write_savedmodel, _load_savedmodel),
    "onnx": Format(".onnx", ("onnx", "onnxruntime"), _write_onnx, _load_onnx),
    "litert": Format(".tflite", ("ai_edge_litert",), _write_litert, _load_litert, int8_packages=("ai_edge_quantizer",)),
    "keras": Format(".keras", (), _write_keras, _load_keras),
    "openvino": Format("-openvino", ("openvino",), _write_openvino, _load_openvino, "openvino", ("nncf",)),
}
