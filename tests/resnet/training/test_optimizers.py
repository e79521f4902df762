"""Learning rate and update rules against sums done by hand."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from resnet.network.model import ResNet
from resnet.training.optimizers import OPTIMIZERS, is_decayed, make_optimizer, warmup_cosine


def test_warm_up_rises_to_the_peak_and_the_cosine_falls_to_zero() -> None:
    schedule = warmup_cosine(0.4, steps=104, warmup_steps=4)
    rates = [float(schedule(step)) for step in range(105)]
    assert rates[0] == pytest.approx(0.08)
    assert rates[2] == pytest.approx((0.08 + 0.4) / 2)
    assert rates[4] == pytest.approx(0.4)
    assert rates[4 + 25] == pytest.approx(0.4 * (1 + math.cos(math.pi / 4)) / 2)
    assert rates[4 + 50] == pytest.approx(0.2)
    assert rates[103] > 0
    assert rates[104] == pytest.approx(0, abs=1e-9)
    assert max(rates) == rates[4]


def test_without_warm_up_it_begins_at_the_peak() -> None:
    assert float(warmup_cosine(0.4, steps=10, warmup_steps=0)(0)) == pytest.approx(0.4)


def test_only_kernels_are_decayed() -> None:
    model = ResNet((32, 32, 3), 2, variant="v1", blocks=(1,), width=4)
    decayed = {variable.path.rpartition("/")[2] for variable in model.trainable_variables if is_decayed(variable)}
    spared = {variable.path.rpartition("/")[2] for variable in model.trainable_variables if not is_decayed(variable)}
    assert decayed == {"kernel"}
    assert spared == {"bias", "gamma", "beta"}


def test_adamw_decays_kernels_apart_from_the_gradient() -> None:
    dense = keras.layers.Dense(2, bias_initializer="ones")
    dense.build((None, 3))
    before = dense.kernel.numpy()
    optimizer = make_optimizer("adamw", 0.1, 0.9, 0.5, dense.trainable_variables)
    optimizer.apply([np.zeros((3, 2), np.float32), np.zeros(2, np.float32)], dense.trainable_variables)
    np.testing.assert_allclose(dense.kernel.numpy(), before * (1 - 0.1 * 0.5), rtol=1e-6)
    np.testing.assert_array_equal(dense.bias.numpy(), [1, 1])


def test_adam_and_sgd_do_not_decay_by_themselves() -> None:
    for name in ("adam", "sgd"):
        dense = keras.layers.Dense(2)
        dense.build((None, 3))
        before = dense.kernel.numpy()
        optimizer = make_optimizer(name, 0.1, 0.9, 0.5, dense.trainable_variables)
        optimizer.apply([np.zeros((3, 2), np.float32), np.zeros(2, np.float32)], dense.trainable_variables)
        np.testing.assert_array_equal(dense.kernel.numpy(), before)


def test_sgd_has_nesterovs_momentum() -> None:
    variable = keras.Variable([1.0])
    optimizer = make_optimizer("sgd", 0.1, 0.9, 0.0, [variable])
    velocity, expected = 0.0, 1.0
    for gradient in (1.0, 2.0):
        optimizer.apply([np.array([gradient], np.float32)], [variable])
        velocity = 0.9 * velocity - 0.1 * gradient
        expected += 0.9 * velocity - 0.1 * gradient
        np.testing.assert_allclose(variable.numpy(), [expected], rtol=1e-6)


def descend(optimizer: keras.optimizers.Optimizer, variable: keras.Variable, gradients: np.ndarray) -> None:
    optimizer.build([variable])

    @tf.function
    def step(gradient: tf.Tensor) -> None:
        optimizer.apply([gradient], [variable])

    for gradient in gradients:
        step(tf.constant(gradient))


def test_adam_takes_the_steps_of_keras() -> None:
    generator = np.random.default_rng(0)
    start = generator.normal(size=(7, 5)).astype(np.float32)
    gradients = generator.normal(size=(5, 7, 5)).astype(np.float32)
    ours, theirs = keras.Variable(start), keras.Variable(start)
    fused = make_optimizer("adam", 0.1, 0.8, 0.0, [ours])
    descend(fused, ours, gradients)
    descend(keras.optimizers.Adam(0.1, beta_1=0.8), theirs, gradients)
    assert int(fused.iterations) == 5
    assert np.abs(ours.numpy() - start).max() > 0.1
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-5, atol=1e-6)


def test_an_unknown_name_is_refused() -> None:
    assert OPTIMIZERS == ("adam", "adamw", "sgd")
    with pytest.raises(ValueError, match="one of adam, adamw, sgd. Received: 'lion'"):
        make_optimizer("lion", 0.1, 0.9, 0.0, [])
