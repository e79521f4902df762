"""Each export format against the model that was exported."""

import dataclasses
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from resnet.core.errors import UserError
from resnet.export.formats import FORMATS, load_encoded, require_packages
from resnet.images.decoding import resize_and_crop
from resnet.network.folding import folded_network_with_features
from resnet.network.model import ResNet
from resnet.network.normalisation import normalise
from resnet.training.refusal import fit_known_score
from tests.pictures import picture
from tests.resnet.export.test_resampling import photograph

NAMES = ["cat", "Hündin", "owl"]
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def model() -> ResNet:
    keras.utils.set_random_seed(0)
    made = ResNet((32, 32, 3), 3, blocks=(1, 1), width=8, zero_init_last_gamma=False, class_names=NAMES)
    generator = np.random.default_rng(0)
    for weight in made.weights:
        if len(weight.shape) == 1:
            weight.assign(generator.uniform(0.5, 1.5, weight.shape))
    give_known_score(made, varied(40))
    return made


def varied(count: int) -> np.ndarray:
    """Images of one colour with noise, (count, 32, 32, 3) uint8."""
    generator = np.random.default_rng(3)
    noise = generator.integers(0, 128, (count, 32, 32, 3))
    return (generator.integers(0, 256, (count, 1, 1, 3)) // 2 + noise).astype(np.uint8)


def give_known_score(model: ResNet, images: np.ndarray) -> None:
    """A score to which these images are known; they are of the classes in turn."""
    _, features = folded_network_with_features(model)(images)
    score = fit_known_score(features, np.arange(len(images)) % model.classes, features, model.classes)
    model.refuse(score, 0.05)


def known_scores(model: ResNet, images: np.ndarray) -> np.ndarray:
    """By the Keras model, layer by layer."""
    assert model.known_score is not None
    head = keras.Model(model.inputs, model.get_layer("avg_pool").output)
    return model.known_score(np.asarray(head(normalise(tf.constant(images)), training=False)))


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
    known = FORMATS[name].load(written(name), "known_score")(IMAGES)
    np.testing.assert_allclose(known, known_scores(model, IMAGES), atol=1e-3)
    assert np.ptp(known) > 0.02


@pytest.mark.parametrize("name", FORMATS)
def test_features_that_are_not_finite_are_of_no_class(name: str, tmp_path: Path) -> None:
    made = ResNet((32, 32, 3), 2, blocks=(1,), width=8, zero_init_last_gamma=False, class_names=NAMES[:2])
    give_known_score(made, varied(40))
    for layer in made.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.beta.assign(np.full(layer.beta.shape, 3e38))
    assert known_scores(made, IMAGES).tolist() == [-1e9] * 5
    path = tmp_path / f"model{FORMATS[name].suffix}"
    FORMATS[name].write(made, path)
    assert FORMATS[name].load(path, "known_score")(IMAGES).tolist() == [-1e9] * 5


@pytest.mark.parametrize("name", FORMATS)
def test_an_export_resizes_images_of_any_size_as_pillow_does(name: str, model: ResNet, written: Callable[[str], Path]) -> None:
    run = FORMATS[name].load(written(name))
    for size in ((41, 50), (1, 1), (7, 9), (100, 61), (61, 100), (20, 161), (161, 20), (33, 32), (190, 171), (5, 40)):
        image = photograph(*size)
        expected = probabilities(model, np.asarray(resize_and_crop(image, 32))[None])
        # A sum halfway between two levels may be rounded either way, which moves a probability by up to 6e-4 here.
        np.testing.assert_allclose(run(np.asarray(image)[None]), expected, atol=1e-3, err_msg=str(size))


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
    (meaning,) = [entry.value for entry in properties if entry.key == "known_score"]
    assert (
        meaning
        == "Negative if the image shows none of class_names; so it is for at most 5 % of new images like the validation images."
    )
    for name in ("litert", "keras"):
        with zipfile.ZipFile(written(name)) as archive:
            assert json.loads(archive.read("class_names.json")) == NAMES


def test_an_openvino_folder_is_a_pair_of_files_with_the_names_inside(written: Callable[[str], Path]) -> None:
    from resnet.openvino.runtime import import_openvino

    folder = written("openvino")
    assert sorted(path.name for path in folder.iterdir()) == ["model.bin", "model.xml"]
    model = import_openvino().Core().read_model(folder / "model.xml")
    assert json.loads(model.get_rt_info("class_names").astype(str)) == NAMES
    assert [one.any_name for one in (*model.inputs, *model.outputs)] == ["images", "probabilities", "known_score"]
    assert model.get_rt_info("known_score").astype(str).startswith("Negative if the image shows none of class_names")


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMATS, "openvino", dataclasses.replace(FORMATS["openvino"], int8_packages=("no_such_package",)))
    require_packages("openvino")
    with pytest.raises(UserError, match=r"exporting to openvino needs no_such_package, .* 'train-resnet\[openvino\]'"):
        require_packages("openvino", int8=True)
    monkeypatch.setitem(FORMATS, "onnx", dataclasses.replace(FORMATS["onnx"], packages=("no_such_package",)))
    with pytest.raises(UserError, match=r"exporting to onnx needs no_such_package, .* pip install 'train-resnet\[export\]'"):
        require_packages("onnx")
