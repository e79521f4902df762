"""Saved models: equal models have equal bytes, and a file for other data is refused."""

import time
from pathlib import Path

import keras
import numpy as np
import pytest

from resnet.core.errors import UserError
from resnet.network.model import ResNet
from resnet.network.saving import count_weights, load_any_model, load_model, save_model

CLASSES = ["a", "b", "c"]
SHAPE = (32, 32, 3)


@pytest.fixture
def model() -> ResNet:
    keras.utils.set_random_seed(0)
    return ResNet(SHAPE, 3, blocks=(1,), width=8, class_names=CLASSES)


def test_equal_models_have_equal_bytes_whenever_they_are_saved(model: ResNet, tmp_path: Path) -> None:
    save_model(model, tmp_path / "one.keras")
    time.sleep(2.1)  # a zip archive counts time in steps of two seconds
    save_model(model, tmp_path / "two.keras")
    keras.utils.set_random_seed(0)
    save_model(ResNet.from_config(model.get_config()), tmp_path / "three.keras")
    saved = [(tmp_path / f"{name}.keras").read_bytes() for name in ("one", "two", "three")]
    assert saved[0] == saved[1] == saved[2]


def test_other_weights_have_other_bytes(model: ResNet, tmp_path: Path) -> None:
    save_model(model, tmp_path / "one.keras")
    kernel = model.get_layer("predictions").kernel
    kernel.assign(kernel + 1e-6)
    save_model(model, tmp_path / "two.keras")
    assert (tmp_path / "one.keras").read_bytes() != (tmp_path / "two.keras").read_bytes()


def test_what_was_saved_is_loaded(model: ResNet, tmp_path: Path) -> None:
    save_model(model, tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras", CLASSES, SHAPE)
    for found, expected in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert list(tmp_path.iterdir()) == [tmp_path / "model.keras"]


@pytest.mark.parametrize("depth", [18, 50])
@pytest.mark.parametrize("variant", ["v1", "D"])
def test_what_is_loaded_is_what_keras_itself_loads(depth: int, variant: str, tmp_path: Path) -> None:
    model = ResNet(SHAPE, 3, depth=depth, variant=variant, blocks=(2, 1), width=8, class_names=CLASSES)
    for weight in model.weights:
        weight.assign(np.random.default_rng(0).uniform(size=weight.shape))
    save_model(model, tmp_path / "model.keras")
    ours, theirs = load_model(tmp_path / "model.keras", CLASSES, SHAPE), keras.saving.load_model(tmp_path / "model.keras")
    assert [weight.path for weight in ours.weights] == [weight.path for weight in theirs.weights]
    for found, expected in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.keras is missing"):
        load_model(tmp_path / "none.keras", CLASSES, SHAPE)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_a_model_that_is_cut_short_is_named(model: ResNet, tmp_path: Path, share: float) -> None:
    path = tmp_path / "model.keras"
    save_model(model, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match=r"model\.keras is damaged or cut short"):
        load_model(path, CLASSES, SHAPE)


def test_a_flipped_bit_in_the_weights_is_noticed(model: ResNet, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    save_model(model, path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="damaged or cut short"):
        load_model(path, CLASSES, SHAPE)


def test_a_model_of_other_classes_is_refused(model: ResNet, tmp_path: Path) -> None:
    save_model(model, tmp_path / "model.keras")
    with pytest.raises(UserError, match=r"knows 3 classes \(a, b, c\), but the data have 4 \(a, b, c, \.\.\.\)"):
        load_model(tmp_path / "model.keras", ["a", "b", "c", "d"], SHAPE)
    with pytest.raises(UserError, match=r"knows 3 classes \(a, b, c\), but the data have 3 \(a, c, b\)"):
        load_model(tmp_path / "model.keras", ["a", "c", "b"], SHAPE)


def test_a_model_for_other_images_is_refused(model: ResNet, tmp_path: Path) -> None:
    save_model(model, tmp_path / "model.keras")
    with pytest.raises(UserError, match=r"takes images of \(32, 32, 3\), but the data's are \(64, 64, 3\)"):
        load_model(tmp_path / "model.keras", CLASSES, (64, 64, 3))


@pytest.mark.parametrize("depth", [18, 50])
@pytest.mark.parametrize("variant", ["v1.5", "v1", "D"])
@pytest.mark.parametrize("stem", ["large", "small"])
def test_weights_are_counted_without_making_them(depth: int, variant: str, stem: str) -> None:
    model = ResNet(SHAPE, 3, depth=depth, variant=variant, stem=stem, blocks=(1, 2), width=8)
    assert count_weights(model.get_config()) == sum(int(np.prod(weight.shape)) for weight in model.get_weights())


def test_resnet_50_has_the_number_of_weights_in_the_literature() -> None:
    config = ResNet((224, 224, 3), 2, blocks=(1,), width=4).get_config()
    # torchvision's has 25,557,032 to train; 26,560 channels of batch normalisation have a mean and a variance each.
    assert count_weights(config | {"classes": 1000, "width": 64, "blocks": [3, 4, 6, 3]}) == 25_557_032 + 2 * 26_560


def test_any_model_is_read_whatever_its_classes_and_size(model: ResNet, tmp_path: Path) -> None:
    save_model(model, tmp_path / "model.keras")
    loaded = load_any_model(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config()
    for found, expected in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_loading_leaves_no_variables_for_later(model: ResNet, tmp_path: Path) -> None:
    save_model(model, tmp_path / "model.keras")
    loaded = load_any_model(tmp_path / "model.keras")
    with keras.StatelessScope():  # its end would create them, and fail for those that have a value
        pass
    assert all(weight.value is not None for weight in loaded.weights)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_the_precision_is_not_in_the_file(model: ResNet, tmp_path: Path, precision: str) -> None:
    save_model(model, tmp_path / "one.keras")
    loaded = load_model(tmp_path / "one.keras", CLASSES, SHAPE, precision)
    save_model(loaded, tmp_path / "two.keras")
    assert (tmp_path / "one.keras").read_bytes() == (tmp_path / "two.keras").read_bytes()
    assert {layer.compute_dtype for layer in loaded.layers if "conv" in layer.name} == {precision}
    assert loaded.output.dtype == "float32"
    assert keras.config.dtype_policy().name == "float32"


def test_an_unknown_precision_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one of float32, bfloat16, float16. Received: 'float8'"):
        load_model(tmp_path / "none.keras", CLASSES, SHAPE, "float8")
