"""Int8 exports: what they find, how large they are, and what a wrong calibration does to them."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from resnet.core.errors import UserError
from resnet.dataset.arrays import Split, SplitWriter
from resnet.export.classifier import reference
from resnet.export.drift import measure_drift
from resnet.export.formats import FORMATS
from resnet.export.int8 import CALIBRATION, INT8, calibration_images, calibration_rows, require_int8, write_int8
from resnet.images.decoding import resize_and_crop
from resnet.network.model import ResNet
from resnet.network.normalisation import normalise
from tests.resnet.export.test_resampling import photograph

NAMES = ["grey", "bright"]


def separable(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Grey and bright images with noise, (count, 32, 32, 3) uint8, and their labels."""
    labels = np.arange(count) % 2
    noise = np.random.default_rng(seed).integers(-25, 25, (count, 32, 32, 3))
    return (np.array([150, 215])[labels][:, None, None, None] + noise).astype(np.uint8), labels


def trained(images: np.ndarray, labels: np.ndarray) -> ResNet:
    """A network with random convolutions, whose head is fitted to the images by least squares."""
    keras.utils.set_random_seed(0)
    model = ResNet((32, 32, 3), 2, stem="small", blocks=(1, 1), width=16, zero_init_last_gamma=False, class_names=NAMES)
    features = np.asarray(keras.Model(model.inputs, model.get_layer("avg_pool").output)(normalise(images), training=False))
    centre = features.mean(axis=0)
    kernel = np.linalg.lstsq(features - centre, 6.0 * np.eye(2)[labels] - 3.0, rcond=1e-3)[0]
    model.get_layer("predictions").set_weights([kernel, -centre @ kernel])
    return model


IMAGES, LABELS = separable(64, seed=1)
CHECK, CHECK_LABELS = separable(60, seed=2)


@pytest.fixture(scope="module")
def model() -> ResNet:
    return trained(IMAGES, LABELS)


@pytest.fixture(scope="module")
def write() -> Callable[[str, ResNet, Path], object]:
    return lambda name, model, path: write_int8(name, model, IMAGES, path)


@pytest.mark.parametrize("name", INT8)
def test_it_finds_what_the_network_finds_in_a_quarter_of_the_bytes(
    name: str, model: ResNet, written: Callable[[str], Path], capfd: pytest.CaptureFixture[str]
) -> None:
    path = written(name)
    assert "%" not in "".join(capfd.readouterr())  # no progress bars
    run, expected = FORMATS[name].load(path), np.asarray(reference(model, CHECK))
    drift = measure_drift(CHECK_LABELS, expected, run(CHECK))
    assert drift.accuracy == drift.int8_accuracy == 1
    assert 0 < drift.largest_change < 0.1
    # Of any size: the resizing is not quantised.
    large = photograph(45, 70)
    np.testing.assert_allclose(run(np.asarray(large)[None]), run(resize_and_crop(large, 32)[None]), atol=0.1)
    weights = sum(array.size for array in model.get_weights())
    size = (path if path.is_file() else path / "model.bin").stat().st_size
    assert weights < size < 2.7 * weights  # bytes: one for each weight, and the description of the graph


@pytest.mark.parametrize("name", INT8)
def test_a_calibration_on_images_of_one_grey_is_noticed(name: str, model: ResNet, tmp_path: Path) -> None:
    path = tmp_path / f"model{FORMATS[name].suffix}"
    write_int8(name, model, np.full_like(IMAGES[:8], 117), path)  # values near zero
    drift = measure_drift(CHECK_LABELS, np.asarray(reference(model, CHECK)), FORMATS[name].load(path)(CHECK))
    with pytest.raises(UserError, match=f"{name} in int8 is worse than in float32"):
        drift.check(name)


def test_the_names_are_inside(written: Callable[[str], Path]) -> None:
    from resnet.openvino.runtime import import_openvino

    with zipfile.ZipFile(written("litert")) as archive:
        assert json.loads(archive.read("class_names.json")) == NAMES
    model = import_openvino().Core().read_model(written("openvino") / "model.xml")
    assert json.loads(model.get_rt_info("class_names").astype(str)) == NAMES


def test_calibration_images_are_spread_over_the_split() -> None:
    rows = calibration_rows(1000)
    assert (len(rows), rows[0], rows[-1]) == (CALIBRATION, 0, 999)
    assert set(np.diff(rows)) == {3, 4}
    assert calibration_rows(5).tolist() == [0, 1, 2, 3, 4]


def test_other_formats_have_none() -> None:
    with pytest.raises(UserError, match=r"no int8 export to keras: --int8 is for openvino, onnx, litert\."):
        require_int8("keras")


def test_squeezed_training_images_calibrate_as_centre_squares(tmp_path: Path) -> None:
    photograph = np.zeros((40, 80, 3), np.uint8)
    photograph[:, 20:60] = 200  # the centre square
    squeezed = np.asarray(Image.fromarray(photograph).resize((64, 64), Image.Resampling.BICUBIC))
    with SplitWriter(tmp_path / "s", 1, 64) as writer:
        writer.add(squeezed, 0, 2.0)
    images = calibration_images(Split(tmp_path / "s", 2), 32)
    assert images.shape == (1, 32, 32, 3)
    np.testing.assert_array_equal(images[:, :, 2:-2], 200)
