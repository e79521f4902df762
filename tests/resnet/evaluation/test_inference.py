"""Logits of a split, batch by batch, against those of all images at once."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from resnet.dataset.arrays import Split
from resnet.evaluation.folding import folded_network
from resnet.evaluation.inference import mirrored, predict_logits
from resnet.network.model import ResNet
from resnet.network.normalisation import normalise


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_every_image_is_predicted_once_and_in_order(write_split: Callable[..., Path], batch_size: int) -> None:
    split = Split(write_split("split", [0] * 7), classes=2)
    keras.utils.set_random_seed(0)
    model = ResNet((32, 32, 3), 2, blocks=(1,), width=4, zero_init_last_gamma=False)
    done: list[int] = []
    logits = predict_logits(folded_network(model), split, batch_size, on_batch=done.append)
    expected = np.asarray(model(normalise(split.gather(np.arange(7))), training=False))
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    assert sum(done) == 7


def test_a_mirrored_network_averages_the_logits_of_both_sides() -> None:
    def network(images: np.ndarray) -> np.ndarray:
        """Mean red of the left and of the right half."""
        return np.stack([images[:, :, :2, 0].mean((1, 2)), images[:, :, 2:, 0].mean((1, 2))], axis=1).astype(np.float32)

    images = np.zeros((2, 4, 4, 3), np.uint8)
    images[0, :, :2] = 100
    images[1] = 7
    assert network(images).tolist() == [[100, 0], [7, 7]]
    assert mirrored(network)(images).tolist() == [[50, 50], [7, 7]]
