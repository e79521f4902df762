"""The network in OpenVINO against the Keras network."""

import itertools

import keras
import numpy as np
import pytest

from resnet.network.folding import folded_weights
from resnet.network.model import ResNet
from resnet.network.normalisation import normalise
from resnet.openvino.engine import compiled
from resnet.openvino.graph import network

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 36, 36, 3), dtype=np.uint8)


def trained(depth: int = 50, variant: str = "v1.5", stem: str = "small") -> ResNet:
    keras.utils.set_random_seed(0)
    model = ResNet((36, 36, 3), 3, depth=depth, variant=variant, stem=stem, blocks=(1, 2), width=8, zero_init_last_gamma=False)
    generator = np.random.default_rng(0)
    for weight in model.weights:
        if len(weight.shape) == 1:
            weight.assign(generator.uniform(0.5, 1.5, weight.shape))
    return model


@pytest.mark.parametrize(
    ("depth", "variant", "stem"), list(itertools.product((18, 50), ("v1", "v1.5", "D"), ("small", "large")))
)
def test_it_gives_the_logits_of_the_keras_network(depth: int, variant: str, stem: str) -> None:
    model = trained(depth, variant, stem)
    expected = np.asarray(model(normalise(IMAGES), training=False))
    found = compiled(network(model.get_config(), folded_weights(model)), "float32")(IMAGES)
    np.testing.assert_allclose(found, expected, atol=2e-6 * np.abs(expected).max())


def test_it_can_end_in_the_logistic_function() -> None:
    model = trained()
    logits = np.asarray(model(normalise(IMAGES), training=False), np.float64)
    config = model.get_config() | {"multi_label": True}
    found = compiled(network(config, folded_weights(model), probabilities=True), "float32")(IMAGES)
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-logits)), atol=1e-5)


def test_it_can_end_in_a_softmax() -> None:
    model = trained()
    logits = np.asarray(model(normalise(IMAGES), training=False), np.float64)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    found = compiled(network(model.get_config(), folded_weights(model), probabilities=True), "float32")(IMAGES)
    np.testing.assert_allclose(found, powers / powers.sum(axis=1, keepdims=True), atol=1e-5)
