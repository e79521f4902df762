"""Folded weights that are read without Keras against those of the loaded network."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from resnet.network.archive import ModelFile, RefusedModelError, read_model
from resnet.network.folding import folded_weights
from resnet.network.model import ResNet
from resnet.network.saving import load_any_model, save_model
from resnet.network.stored_weights import fold_normalisation, stored_weights


def written(tmp_path: Path, variant: str = "v1.5") -> tuple[ResNet, ModelFile]:
    model = ResNet((32, 32, 3), 3, variant=variant, blocks=(2, 1), width=4, zero_init_last_gamma=False)
    generator = np.random.default_rng(0)
    for weight in model.weights:
        if len(weight.shape) == 1:
            weight.assign(generator.uniform(0.5, 1.5, weight.shape))
    save_model(model, tmp_path / "model.keras")
    return model, read_model(tmp_path / "model.keras")


@pytest.mark.parametrize("variant", ["v1", "D"])
def test_they_have_the_bits_of_the_loaded_network(tmp_path: Path, variant: str) -> None:
    model, file = written(tmp_path, variant)
    expected, found = folded_weights(model), stored_weights(tmp_path / "model.keras", file)
    assert found.keys() == expected.keys()
    for name, (kernel, bias) in expected.items():
        np.testing.assert_array_equal(found[name][0], kernel)
        np.testing.assert_array_equal(found[name][1], bias)


def test_scale_and_offset_go_into_kernel_and_bias() -> None:
    kernel = np.ones((1, 1, 2, 4), np.float32)
    statistics = [np.full(4, value, np.float32) for value in (3, 7, 5, 3)]
    # 3 * (x + 1 - 5) / sqrt(3 + 1) + 7
    folded, bias = fold_normalisation(kernel, np.ones(4, np.float32), statistics, 1.0)
    assert (folded == 1.5).all()
    assert bias.tolist() == [1.0] * 4


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"width": 5}, r"conv2d has an array of \(7, 7, 3, 4\) instead of \(7, 7, 3, 5\)"),
        ({"classes": 4}, r"dense has an array of \(32, 3\) instead of \(32, 4\)"),
        ({"blocks": [2, 2]}, "is damaged or cut short"),
        ({"blocks": [2]}, "is damaged or cut short"),
        ({"variant": "v1"}, "is damaged or cut short"),
    ],
)
def test_a_file_with_other_weights_than_its_network_has_is_refused(
    tmp_path: Path, changes: dict[str, object], why: str
) -> None:
    _, file = written(tmp_path)
    with pytest.raises(RefusedModelError, match=why):
        stored_weights(Path("a.keras"), dataclasses.replace(file, config=file.config | changes))


def test_weights_that_the_network_does_not_use_are_refused(tmp_path: Path) -> None:
    _, file = written(tmp_path)
    with pytest.raises(RefusedModelError, match=r"its weights have 1[\d,]+ bytes where its network has "):
        stored_weights(Path("a.keras"), dataclasses.replace(file, weight_bytes=file.weight_bytes + 10_000_000))


@pytest.mark.parametrize(
    ("layer", "number", "value", "why"),
    [
        ("predictions", 0, np.nan, "dense/vars/0 in its weights has numbers that are not finite"),
        ("predictions", 1, -np.inf, "dense/vars/1 in its weights has numbers that are not finite"),
        ("conv1_conv", 0, np.inf, "conv2d/vars/0 in its weights has numbers that are not finite"),
        ("conv1_bn", 3, np.inf, "batch_normalization/vars/3 in its weights has numbers that are not finite"),
        ("conv1_bn", 3, -0.5, "batch_normalization/vars/3 in its weights has a negative variance"),
    ],
)
def test_numbers_that_predict_nan_are_refused_by_both_engines(
    tmp_path: Path, layer: str, number: int, value: float, why: str
) -> None:
    model, _ = written(tmp_path)
    path, weight = tmp_path / "model.keras", model.get_layer(layer).weights[number]
    values = np.array(weight)
    values.flat[-1] = value
    weight.assign(values)
    save_model(model, path)

    for read in (load_any_model, lambda path: stored_weights(path, read_model(path))):
        with pytest.raises(RefusedModelError, match=why):
            read(path)


def test_a_variance_that_rounding_made_negative_is_read(tmp_path: Path) -> None:
    model, _ = written(tmp_path)
    variance = model.get_layer("conv1_bn").moving_variance
    variance.assign(np.full(variance.shape, -1e-9))
    save_model(model, tmp_path / "model.keras")

    assert stored_weights(tmp_path / "model.keras", read_model(tmp_path / "model.keras"))
    load_any_model(tmp_path / "model.keras")
