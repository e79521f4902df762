"""Exports of a network for several labels an image: probabilities, thresholds and sets against the Keras model's."""

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

from resnet.core.label_sets import names_in
from resnet.export.classifier import Classifier, describe, reference
from resnet.export.drift import measure_drift
from resnet.export.formats import FORMATS
from resnet.export.int8 import INT8, write_int8
from resnet.images.decoding import resize_and_crop
from resnet.network.model import ResNet
from resnet.network.normalisation import normalise
from tests.pictures import picture
from tests.resnet.export.test_formats import IMAGES
from tests.resnet.export.test_resampling import photograph
from tests.resnet.export.test_stock import PROGRAM

NAMES = ["cat", "Hündin", "owl", "a,b"]


def probabilities(model: ResNet, images: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.asarray(model(normalise(tf.constant(images)), training=False), np.float64)))


@pytest.fixture(scope="module")
def model() -> ResNet:
    """Random weights, scaled so that logits differ by units, and thresholds between the probabilities of each class."""
    keras.utils.set_random_seed(0)
    made = ResNet((32, 32, 3), 4, blocks=(1, 1), width=8, zero_init_last_gamma=False, class_names=NAMES, multi_label=True)
    generator = np.random.default_rng(0)
    for weight in made.weights:
        if len(weight.shape) == 1:
            weight.assign(generator.uniform(0.5, 1.5, weight.shape))
    logits = np.asarray(made(normalise(tf.constant(IMAGES)), training=False), np.float64)
    scale = 2 / logits.std(axis=0)
    kernel, bias = made.get_layer("predictions").get_weights()
    made.get_layer("predictions").set_weights([kernel * scale, (bias - logits.mean(axis=0)) * scale])
    found = np.sort(probabilities(made, IMAGES), axis=0)
    made.decide_by([round(float(low + high) / 2, 6) for low, high in zip(found[1], found[2], strict=True)])
    return made


def thresholds_in(name: str, path: Path) -> list[float]:
    """As a program finds them that has only the export."""
    if name == "savedmodel":
        return list(tf.saved_model.load(str(path)).signatures["thresholds"]()["thresholds"].numpy().tolist())
    if name == "onnx":
        import onnxruntime

        return list(json.loads(onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map["thresholds"]))
    if name == "openvino":
        from resnet.openvino.runtime import import_openvino

        stored = import_openvino().Core().read_model(path / "model.xml")
        return list(json.loads(stored.get_rt_info("thresholds").astype(str)))
    with zipfile.ZipFile(path) as archive:
        assert json.loads(archive.read("class_names.json")) == NAMES
        return list(json.loads(archive.read("thresholds.json")))


@pytest.mark.parametrize("name", FORMATS)
def test_an_export_gives_the_probabilities_and_the_labels_of_the_model(
    name: str, model: ResNet, written: Callable[[str], Path]
) -> None:
    expected = probabilities(model, IMAGES)
    assert np.ptp(expected.sum(axis=1)) > 0.2  # they are no shares of one
    run = FORMATS[name].load(written(name))
    np.testing.assert_allclose(run(IMAGES), expected, atol=1e-5)
    np.testing.assert_allclose(run(IMAGES[:1]), expected[:1], atol=1e-5)
    thresholds = thresholds_in(name, written(name))
    assert model.thresholds is not None
    assert thresholds == pytest.approx(model.thresholds, abs=1e-7)
    assert (run(IMAGES) >= thresholds).tolist() == (expected >= model.thresholds).tolist()
    image = photograph(70, 45)
    resized = probabilities(model, np.asarray(resize_and_crop(image, 32))[None])
    np.testing.assert_allclose(run(np.asarray(image)[None]), resized, atol=5e-3)


def test_a_saved_model_says_the_sets_of_encoded_files(model: ResNet, written: Callable[[str], Path]) -> None:
    files = [picture(n, size=(32, 32)) for n in range(12)]
    found = tf.saved_model.load(str(written("savedmodel"))).signatures["serving_default"](tf.constant(files))
    labels = [label.decode() for label in found["label"].numpy()]
    assert len(set(labels)) > 1
    for text, row in zip(labels, found["probabilities"].numpy(), strict=True):
        pairs = zip(NAMES, row, model.thresholds or [], strict=True)
        assert names_in(text) == [name for name, one, least in pairs if one >= least]


@pytest.mark.parametrize(
    ("logits", "text"),
    [([-3, -3, -3, -3], ""), ([3, 3, 3, 3], "cat|Hündin|owl|a,b"), ([3, -3, 3, -3], "cat|owl"), ([-3, -3, -3, 3], "a,b")],
)
def test_no_label_is_an_empty_text_and_all_labels_are_joined(logits: list[float], text: str) -> None:
    made = ResNet((32, 32, 3), 4, blocks=(1,), width=4, class_names=NAMES, multi_label=True)
    made.get_layer("predictions").set_weights([np.zeros((16, 4), np.float32), np.array(logits, np.float32)])
    labels = Classifier(made).encoded(tf.constant([picture(0, size=(32, 32))] * 2))["label"].numpy()
    assert [label.decode() for label in labels] == [text] * 2


@pytest.mark.parametrize("name", ["savedmodel", "onnx", "openvino"])
def test_a_threshold_that_was_not_fitted_is_a_half(name: str, tmp_path: Path) -> None:
    made = ResNet((32, 32, 3), 2, blocks=(1,), width=4, class_names=["a", "b"], multi_label=True)
    path = tmp_path / f"model{FORMATS[name].suffix}"
    FORMATS[name].write(made, path)
    assert thresholds_in(name, path) == [0.5, 0.5]


def test_the_description_says_when_an_image_has_a_class(written: Callable[[str], Path]) -> None:
    import onnx

    assert onnx.load(written("onnx")).doc_string == describe(32, multi_label=True)
    assert describe(32, multi_label=True).endswith(
        "Output: one probability for each of class_names, whatever the others are; an image has the classes whose "
        "probabilities are at least their thresholds."
    )


def test_a_keras_export_loads_with_keras_alone(model: ResNet, written: Callable[[str], Path]) -> None:
    folder = written("keras").parent
    np.save(folder / "images.npy", IMAGES)
    command = [sys.executable, "-I", "-c", PROGRAM, "model"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]"]
    np.testing.assert_allclose(np.load(folder / "model.npy"), probabilities(model, IMAGES), atol=1e-5)


def separable(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images with a bright upper half, a bright left half, both or neither, (count, 32, 32, 3) uint8; and (count, 2) bool."""
    truth = (np.arange(count)[:, None] // [1, 2]) % 2 == 1
    images = np.full((count, 32, 32, 3), 90.0) + np.random.default_rng(seed).integers(-20, 20, (count, 32, 32, 3))
    images[truth[:, 0], :16] += 60
    images[truth[:, 1], :, :16, :2] += 60
    return images.clip(0, 255).astype(np.uint8), truth


def trained(images: np.ndarray, truth: np.ndarray) -> ResNet:
    """A network with random convolutions, whose head is fitted to the images by least squares."""
    keras.utils.set_random_seed(0)
    options = {"stem": "small", "blocks": (1, 1), "width": 16, "zero_init_last_gamma": False, "multi_label": True}
    model = ResNet((32, 32, 3), 2, class_names=["top", "left"], thresholds=[0.4, 0.6], **options)  # type: ignore[arg-type]
    features = np.asarray(keras.Model(model.inputs, model.get_layer("avg_pool").output)(normalise(images), training=False))
    centre = features.mean(axis=0)
    kernel = np.linalg.lstsq(features - centre, 6.0 * truth - 3.0, rcond=1e-3)[0]
    model.get_layer("predictions").set_weights([kernel, -centre @ kernel])
    return model


@pytest.mark.parametrize("name", INT8)
def test_in_int8_it_finds_the_sets_that_the_network_finds(name: str, tmp_path: Path) -> None:
    model, (images, truth) = trained(*separable(64, seed=1)), separable(60, seed=2)
    path = tmp_path / f"model{FORMATS[name].suffix}"
    write_int8(name, model, separable(64, seed=1)[0], path)
    expected = np.asarray(reference(model, images))
    drift = measure_drift(truth, expected, FORMATS[name].load(path)(images), model.thresholds)
    assert drift.accuracy == drift.int8_accuracy == 1
    assert 0 < drift.largest_change < 0.15
    assert drift.mean_change < 0.03
    if name == "litert":
        with zipfile.ZipFile(path) as archive:
            assert json.loads(archive.read("thresholds.json")) == [0.4, 0.6]
    else:
        assert thresholds_in(name, path) == [0.4, 0.6]


@pytest.mark.parametrize("name", INT8)
def test_a_calibration_on_images_of_one_grey_loses_sets(name: str, tmp_path: Path) -> None:
    model, (images, truth) = trained(*separable(64, seed=1)), separable(200, seed=2)
    path = tmp_path / f"model{FORMATS[name].suffix}"
    write_int8(name, model, np.full((8, 32, 32, 3), 117, np.uint8), path)
    drift = measure_drift(truth, np.asarray(reference(model, images)), FORMATS[name].load(path)(images), model.thresholds)
    assert drift.accuracy == 1
    assert drift.high < -0.005
