"""The folded network against the original one."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from resnet.network.device_kernels import GPU, using
from resnet.network.folding import fold, folded_network, folded_weights
from resnet.network.model import ResNet
from resnet.network.normalisation import normalise

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 40, 32, 3), dtype=np.uint8)


def network(variant: str = "v1.5") -> ResNet:
    """A network whose batch normalisation is not the identity."""
    keras.utils.set_random_seed(0)
    model = ResNet((40, 32, 3), 6, variant=variant, blocks=(1, 2), width=8, zero_init_last_gamma=False)
    generator = np.random.default_rng(0)
    for weight in model.weights:
        if len(weight.shape) == 1:
            weight.assign(generator.uniform(0.5, 1.5, weight.shape))
    return model


def logits(model: ResNet) -> np.ndarray:
    return np.asarray(model(normalise(tf.constant(IMAGES)), training=False))


@pytest.mark.parametrize("variant", ["v1", "v1.5", "D"])
def test_in_float32_it_gives_the_same_logits(variant: str) -> None:
    model = network(variant)
    expected = logits(model)
    found = fold(model)(tf.constant(IMAGES))
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_in_16_bits_it_gives_nearly_the_same_logits(precision: str) -> None:
    model = network()
    expected = logits(model)
    found = fold(model, precision)(tf.constant(IMAGES))
    assert found.dtype == tf.float32
    assert 0 < np.abs(found - expected).max() < 0.02 * np.abs(expected).max()


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_with_the_kernels_of_a_gpu_16_bits_predict_the_same_classes(precision: str) -> None:
    model, generator = network(), np.random.default_rng(1)
    colours = generator.integers(0, 256, (128, 1, 1, 3)) + generator.integers(-40, 40, (128, 40, 32, 3))
    images = np.clip(colours, 0, 255).astype(np.uint8)
    with using(GPU):
        expected, found = (folded_network(model, one)(images) for one in ("float32", precision))
    drift = np.abs(found - expected).max()
    assert 0 < drift < 0.02 * np.abs(expected).max()
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.98


@pytest.mark.parametrize("variant", ["v1", "v1.5", "D"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_session_gives_the_same_bits(variant: str, precision: str) -> None:
    model = network(variant)
    expected, ready = fold(model, precision), folded_network(model, precision)
    for images in (IMAGES, IMAGES[:1]):
        found = ready(images)
        assert found.dtype == np.dtype("float32")
        np.testing.assert_array_equal(found, expected(tf.constant(images)))


def test_scale_and_offset_go_into_kernel_and_bias() -> None:
    model = ResNet((32, 32, 3), 2, blocks=(1,), width=4)
    norm = model.get_layer("conv1_bn")
    norm.set_weights([np.full(4, 3.0), np.full(4, 7.0), np.full(4, 5.0), np.full(4, 4.0 - 1e-5)])
    kernel, bias = folded_weights(model)["conv1_conv"]
    # 3 * (x - 5) / 2 + 7
    np.testing.assert_allclose(kernel, 1.5 * model.get_layer("conv1_conv").kernel.numpy(), rtol=1e-6)
    np.testing.assert_allclose(bias, np.full(4, -0.5), rtol=1e-5)
    assert len(folded_weights(model)) == 6  # the stem's, 3 in the block, its shortcut's, and the head's


def test_later_changes_of_the_model_do_not_affect_it() -> None:
    model = network()
    folded = fold(model)
    before = folded(tf.constant(IMAGES[:2])).numpy()
    for weight in model.weights:
        weight.assign(weight * 0)
    np.testing.assert_array_equal(folded(tf.constant(IMAGES[:2])), before)
