"""Exports against the model that they were made of."""

import dataclasses
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from resnet.core.errors import UserError
from resnet.export.agreement import measure_agreement
from resnet.export.classifier import Classifier
from resnet.export.formats import FORMATS, load_encoded, require_packages
from resnet.images.decoding import resize_and_crop
from resnet.network.model import ResNet
from resnet.network.normalisation import normalise
from tests.pictures import picture

NAMES = ["cat", "Hündin", "owl"]
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
OTHER_SIZE = np.stack([np.asarray(Image.open(io.BytesIO(picture(number, size=(41, 50))))) for number in range(2)])


@pytest.fixture(scope="module")
def model() -> ResNet:
    keras.utils.set_random_seed(0)
    made = ResNet((32, 32, 3), 3, blocks=(1, 1), width=8, zero_init_last_gamma=False, class_names=NAMES)
    generator = np.random.default_rng(0)
    for weight in made.weights:
        if len(weight.shape) == 1:
            weight.assign(generator.uniform(0.5, 1.5, weight.shape))
    return made


@pytest.fixture(scope="module")
def written(model: ResNet, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Writes an export once."""
    folder = tmp_path_factory.mktemp("exports")

    def write(name: str) -> Path:
        path = folder / f"model{FORMATS[name].suffix}"
        if not path.exists():
            FORMATS[name].write(model, path)
        return path

    return write


def probabilities(model: ResNet, images: np.ndarray) -> np.ndarray:
    logits = np.asarray(model(normalise(tf.constant(images)), training=False), np.float64)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("name", FORMATS)
def test_an_export_computes_what_the_model_does(name: str, model: ResNet, written: Callable[[str], Path]) -> None:
    run = FORMATS[name].load(written(name))
    expected = probabilities(model, IMAGES)
    assert expected.max() - expected.min() > 0.2  # or all would agree whatever it saw
    np.testing.assert_allclose(run(IMAGES), expected, atol=1e-5)
    np.testing.assert_allclose(run(IMAGES[:1]), expected[:1], atol=1e-5)  # batches of any number


@pytest.mark.parametrize("name", FORMATS)
def test_an_export_takes_images_of_any_size(name: str, model: ResNet, written: Callable[[str], Path]) -> None:
    seen = np.stack([resize_and_crop(Image.fromarray(image), 32) for image in OTHER_SIZE])
    found = FORMATS[name].load(written(name))(OTHER_SIZE)
    # Keras crops whole pixels, and the margins are of 4.5 here.
    np.testing.assert_allclose(found, probabilities(model, seen), atol=0.05 if name == "keras" else 2e-3)


def test_a_saved_model_takes_encoded_files_and_says_names(model: ResNet, written: Callable[[str], Path]) -> None:
    files = [picture(n, size=(32, 32)) for n in range(4)]
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(file))) for file in files])
    expected = probabilities(model, pixels)
    np.testing.assert_allclose(load_encoded(written("savedmodel"))(files), expected, atol=1e-5)
    loaded = tf.saved_model.load(str(written("savedmodel")))
    labels = loaded.signatures["serving_default"](tf.constant(files))["label"].numpy()
    assert [label.decode() for label in labels] == [NAMES[best] for best in expected.argmax(axis=1)]
    names = loaded.signatures["class_names"]()["class_names"].numpy()
    assert [name.decode() for name in names] == NAMES


def test_the_names_are_inside(written: Callable[[str], Path]) -> None:
    import onnx

    properties = onnx.load(written("onnx")).metadata_props
    assert [json.loads(entry.value) for entry in properties if entry.key == "class_names"] == [NAMES]
    for name in ("litert", "keras"):
        with zipfile.ZipFile(written(name)) as archive:
            assert json.loads(archive.read("class_names.json")) == NAMES


def test_the_keras_export_loads_with_keras_alone(model: ResNet, written: Callable[[str], Path], tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", IMAGES)
    program = (
        "import sys, numpy, keras\n"
        f"model = keras.saving.load_model({str(written('keras'))!r})\n"
        "numpy.save('found.npy', model.predict(numpy.load('images.npy'), verbose=0))\n"
        "assert not [name for name in sys.modules if name.partition('.')[0] in ('resnet', 'tasks')]\n"
        "try:\n    import resnet.network.model\nexcept ImportError:\n    print('alone')"
    )
    # Isolated, and without site-packages' own paths: the project is installed there as an editable package.
    done = subprocess.run(
        [sys.executable, "-I", "-c", BLOCKED + program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["alone"]
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), probabilities(model, IMAGES), atol=1e-5)


BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("resnet", "tasks"):
            raise ImportError(name)
sys.meta_path.insert(0, Blocked())
"""


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMATS, "onnx", dataclasses.replace(FORMATS["onnx"], packages=("no_such_package",)))
    with pytest.raises(UserError, match=r"exporting to onnx needs no_such_package, .* pip install 'train-resnet\[export\]'"):
        require_packages("onnx")


def test_a_model_without_names_is_refused() -> None:
    with pytest.raises(ValueError, match="has names of classes and takes square images"):
        Classifier(ResNet((32, 32, 3), 2, blocks=(1,), width=4))


def test_agreement_counts_labels_and_measures_probabilities() -> None:
    expected = np.array([[0.6, 0.4], [0.3, 0.7], [0.1, 0.9], [0.8, 0.2]], np.float32)
    found = expected + np.array([[0.0, 0.0], [0.25, -0.25], [0.0, 0.0], [0.0, 0.0]], np.float32)
    agreement = measure_agreement(expected, found)
    assert (agreement.images, agreement.same_label) == (4, 3)
    assert agreement.largest == pytest.approx(0.25)
    with pytest.raises(UserError, match="onnx does not agree with the model: same label on 3 of 4 images"):
        agreement.check("onnx", largest=1.0)
    with pytest.raises(UserError, match="at most 1e-01"):
        agreement.check("onnx", largest=0.1, same_label=0.5)
    agreement.check("onnx", largest=0.3, same_label=0.75)
    with pytest.raises(UserError):
        measure_agreement(expected, expected * np.nan).check("onnx")
