"""Pretrained weights: the network computes what their source computed, and a message names what does not fit."""

import urllib.error
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from resnet.core.errors import UserError
from resnet.network.model import ResNet
from resnet.network.normalisation import normalise
from resnet.network.saving import save_model
from resnet.pretrained import IMAGENET, initialise, take_published
from tests.resnet.network.test_model import randomise

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)


def small(classes: int = 3, size: int = 32, **options: Any) -> ResNet:
    arguments: dict[str, Any] = {"blocks": (1, 1), "width": 4, "zero_init_last_gamma": False} | options
    return ResNet((size, size, 3), classes, **arguments)


def features(model: keras.Model, images: Any) -> np.ndarray:
    return np.asarray(keras.Model(model.inputs[0], model.get_layer("avg_pool").output)(images, training=False))


def test_published_weights_give_what_keras_gives_for_the_same_picture(tmp_path: Path) -> None:
    theirs = keras.applications.ResNet50(weights=None, include_top=False, input_shape=(64, 64, 3), pooling="avg")
    randomise(theirs)
    theirs.save_weights(tmp_path / "theirs.weights.h5")
    ours = ResNet((64, 64, 3), 5, variant="v1")
    head = ours.get_layer("predictions").get_weights()
    take_published(ours, str(tmp_path / "theirs.weights.h5"))
    expected = features(theirs, keras.applications.resnet.preprocess_input(IMAGES.astype(np.float32)))
    found = features(ours, normalise(IMAGES))
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    np.testing.assert_array_equal(ours.get_layer("predictions").get_weights()[0], head[0])


@pytest.mark.parametrize(
    ("failure", "reason"),
    [(urllib.error.URLError("no route"), "URL fetch failure on .+ no route"), (None, "Incomplete or corrupted file detected")],
)
def test_a_failed_download_is_a_user_error(
    failure: Exception | None, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(_: str, target: str, __: object) -> None:
        Path(target).write_bytes(b"something else")
        if failure:
            raise failure

    monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", download)
    monkeypatch.setattr("keras.src.utils.file_utils.config.keras_home", lambda: str(tmp_path))
    model = small(variant="v1")
    with pytest.raises(
        UserError, match=rf"^the ImageNet weights could not be downloaded \({reason}.*\): check the network"
    ) as caught:
        initialise(model, IMAGENET)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("variant", "depth"), [("v1.5", 50), ("v1", 18)])
def test_a_network_without_published_weights_is_refused(variant: str, depth: int) -> None:
    with pytest.raises(
        UserError, match=rf"build\.variant v1 and build\.depth 50, 101 or 152, but they are {variant} and {depth}"
    ):
        initialise(small(variant=variant, depth=depth), IMAGENET)


def test_weights_of_another_network_are_copied_except_the_head(tmp_path: Path) -> None:
    source, model = small(3, class_names=["a", "b", "c"]), small(5, size=48, class_names=list("vwxyz"))
    randomise(source)
    save_model(source, tmp_path / "source.keras")
    head = model.get_layer("predictions").get_weights()
    initialise(model, str(tmp_path / "source.keras"))
    for layer in source.layers[:-1]:
        for theirs, ours in zip(layer.get_weights(), model.get_layer(layer.name).get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(model.get_layer("predictions").get_weights()[0], head[0])


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"class_names": ["a", "b", "c"]}, True),
        ({"class_names": ["a", "c", "b"]}, False),
        ({"class_names": None}, False),
        ({"class_names": ["a", "b", "c"], "multi_label": True}, False),  # its logits mean something else
    ],
)
def test_the_head_is_kept_for_the_same_classes_in_the_same_order(options: dict[str, Any], kept: bool, tmp_path: Path) -> None:
    source, model = small(class_names=["a", "b", "c"]), small(**options)
    save_model(source, tmp_path / "source.keras")
    initialise(model, str(tmp_path / "source.keras"))
    kernels = [network.get_layer("predictions").get_weights()[0] for network in (source, model)]
    assert np.array_equal(*kernels) == kept


@pytest.mark.parametrize("offset", [0.0, 0.8])
def test_the_head_of_a_calibrated_network_is_copied_as_it_was_trained(offset: float, tmp_path: Path) -> None:
    source, model = (small(class_names=["a", "b", "c"], multi_label=bool(offset)) for _ in range(2))
    head = source.get_layer("predictions")
    head.bias.assign([0.1, -0.2, 0.3])
    trained = head.get_weights()
    source.calibrate(0.37, offset)
    save_model(source, tmp_path / "source.keras")
    initialise(model, str(tmp_path / "source.keras"))
    for found, expected in zip(model.get_layer("predictions").get_weights(), trained, strict=True):
        np.testing.assert_allclose(found, expected, rtol=3e-7, atol=3e-7 if offset else 0)
    assert not {"temperature", "offset"} & model.get_config().keys()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"depth": 18}, r"layer conv2_block1_1_conv has weights of \(1, 1, 4, 4\), but here it has weights of \(3, 3, 4, 4\)"),
        ({"variant": "v1"}, r"layer conv1_conv has weights of \(7, 7, 3, 4\), but here .* \(7, 7, 3, 4\) \(4,\)"),
        ({"variant": "D"}, r"layer conv1_1_conv is missing, but here it has weights of \(3, 3, 3, 2\)"),
        ({"stem": "small"}, r"layer conv1_conv has weights of \(7, 7, 3, 4\), but here it has weights of \(3, 3, 3, 4\)"),
        ({"blocks": (1, 2)}, r"layer conv3_block2_1_conv is missing, but here it has weights of \(1, 1, 32, 8\)"),
        ({"blocks": (1,)}, r"layer conv3_block1_1_conv has weights of \(1, 1, 16, 8\), but here it is missing"),
        ({"width": 8}, r"layer conv1_conv has weights of \(7, 7, 3, 4\), but here it has weights of \(7, 7, 3, 8\)"),
    ],
)
def test_another_architecture_is_refused_by_layer_and_shapes(options: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    save_model(small(), tmp_path / "source.keras")
    model = small(**options)
    before = model.get_weights()
    with pytest.raises(UserError, match=sentence) as caught:
        initialise(model, str(tmp_path / "source.keras"))
    assert "it was made with depth 50, variant v1.5, stem large, blocks [1, 1], width 4; set build.depth" in str(caught.value)
    assert all(np.array_equal(now, then) for now, then in zip(model.get_weights(), before, strict=True))


def test_a_file_that_this_project_did_not_write_is_refused(tmp_path: Path) -> None:
    inputs = keras.Input((2,))
    keras.Model(inputs, keras.layers.Dense(1)(inputs)).save(tmp_path / "dense.keras")
    (tmp_path / "text.keras").write_text("weights")
    for name, sentence in [
        ("none.keras", "but there is no such file in .*: correct the path"),
        ("text.keras", "which cannot be read as a model .*: it must be a `.keras` file that this project wrote"),
        ("dense.keras", r"which cannot be read as a model \(it does not end in the SHA-256 of its content\): it must be"),
    ]:
        with pytest.raises(UserError, match=rf"^build.weights is {tmp_path / name}, {sentence}"):
            initialise(small(), str(tmp_path / name))
