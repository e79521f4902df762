"""The moving average of the weights, compared with NumPy."""

import keras
import numpy as np
import tensorflow as tf

from resnet.network.model import ResNet
from resnet.training.averaging import MovingAverage

IMAGES = np.random.default_rng(0).normal(size=(4, 32, 32, 3)).astype(np.float32)


def test_the_average_follows_all_weights() -> None:
    generator = np.random.default_rng(0)
    model = ResNet((32, 32, 3), 2, blocks=(1,), width=4)
    average = MovingAverage(model, 0.3)
    expected = model.get_weights()
    for step in range(1, 5):
        model.set_weights([generator.normal(size=weight.shape) for weight in model.get_weights()])
        average.update(tf.constant(step))
        decay = min(0.3, (1 + step) / (10 + step))
        expected = [decay * then + (1 - decay) * now for then, now in zip(expected, model.get_weights(), strict=True)]
    assert len(expected) == len(model.weights) > len(model.trainable_variables)
    for found, wanted in zip(average.get_weights(), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)


def test_its_logits_are_those_of_a_model_with_the_averages() -> None:
    keras.utils.set_random_seed(0)
    model, other = (ResNet((32, 32, 3), 2, blocks=(1,), width=4, zero_init_last_gamma=False) for _ in range(2))
    before = other.get_weights()
    average = MovingAverage(model, 0.9)
    model.set_weights(before)
    logits = average(tf.constant(IMAGES))
    assert all(np.array_equal(now, then) for now, then in zip(model.get_weights(), before, strict=True))
    assert not np.allclose(logits, other(IMAGES, training=False))
    other.set_weights(average.get_weights())
    np.testing.assert_allclose(logits, other(IMAGES, training=False), rtol=1e-4, atol=1e-5)
