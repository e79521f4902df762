"""Grad-CAM against class activation maps, which need no gradient, and against finite differences."""

import keras
import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from resnet.evaluation.grad_cam import explained_layer, grad_cam
from resnet.network.model import ResNet
from resnet.network.normalisation import normalise


def network(size: int, blocks: tuple[int, ...]) -> ResNet:
    keras.utils.set_random_seed(3)
    return ResNet((size, size, 3), 4, blocks=blocks, width=4, zero_init_last_gamma=False)


def pictures(count: int, size: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def scaled(maps: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.stack([one / one.max() if one.max() > 0 else one for one in np.maximum(maps, 0)])


def test_before_pooling_and_a_dense_layer_it_is_the_class_activation_map(monkeypatch: pytest.MonkeyPatch) -> None:
    """Zhou et al., "Learning Deep Features for Discriminative Localization" (2016), equation 2: the sum of w_k^c f_k(x, y)."""
    monkeypatch.setattr("resnet.evaluation.grad_cam._PIXELS_AT_A_TIME", 8 * 64 * 64)
    model = network(64, (1, 1))
    images, targets = pictures(11, 64), np.arange(11) % 4  # more than fit into one iteration
    maps, layer = grad_cam(model, images, targets)
    features = keras.Model(model.inputs, model.get_layer("avg_pool").input)(normalise(tf.constant(images)), training=False)
    kernel = np.asarray(model.get_layer("predictions").kernel, np.float64)
    expected = np.einsum("nhwk,kn->nhw", np.asarray(features, np.float64), kernel[:, targets])
    assert layer == "conv3_block1_out"
    assert maps.shape == (11, 8, 8)
    assert (expected.max(axis=(1, 2)) > 0).sum() >= 6
    np.testing.assert_allclose(maps, scaled(expected), atol=1e-4)


def test_further_back_the_weights_are_what_finite_differences_give() -> None:
    model = network(32, (1, 1, 1, 1))
    images, targets = pictures(2, 32), np.array([1, 3])
    maps, layer = grad_cam(model, images, targets)
    assert layer == "conv3_block1_out"
    output = model.get_layer(layer).output
    features = np.asarray(keras.Model(model.inputs, output)(normalise(tf.constant(images)), training=False))
    back = keras.Model(output, model.outputs[0])
    weights = np.zeros((2, features.shape[3]))
    for channel in range(features.shape[3]):
        step = np.zeros_like(features)
        step[..., channel] = 2e-3
        there, here = (np.asarray(back(features + sign * step, training=False), np.float64) for sign in (1, -1))
        weights[:, channel] = (there - here)[[0, 1], targets] / 4e-3 / 16  # the mean over 4 x 4 cells
    np.testing.assert_allclose(maps, scaled(np.einsum("nhwk,nk->nhw", features, weights)), atol=0.03)


@pytest.mark.parametrize(("size", "layer"), [(128, "conv5_block1_out"), (64, "conv4_block1_out"), (32, "conv3_block1_out")])
def test_the_last_block_of_at_least_four_cells_a_side_is_explained(size: int, layer: str) -> None:
    assert explained_layer(network(size, (1, 1, 1, 1))).name == layer


def test_no_images_give_no_maps() -> None:
    maps, _ = grad_cam(network(64, (1, 1)), pictures(0, 64), np.zeros(0, np.int64))
    assert maps.shape == (0, 8, 8)
