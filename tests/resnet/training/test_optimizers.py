"""Learning rates and update rules, compared with calculations by hand and with Keras."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from resnet.network.model import ResNet
from resnet.training.optimizers import OPTIMIZERS, FreezeFirst, OneCycle, is_decayed, make_optimizer, warmup_cosine


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


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_sgd_and_adam_have_an_l2_term(name: str) -> None:
    dense, reference = keras.layers.Dense(2, bias_initializer="ones"), keras.layers.Dense(2, bias_initializer="ones")
    for layer in (dense, reference):
        layer.build((None, 3))
    reference.set_weights(dense.get_weights())
    gradients = [np.full((3, 2), 0.1, np.float32), np.full(2, 0.2, np.float32)]
    # The gradient of 0.5 / 2 * |w|^2 is 0.5 w.
    with_l2 = [gradients[0] + 0.5 * reference.kernel.numpy(), gradients[1]]
    decayed = make_optimizer(name, 0.1, 0.9, 0.5, dense.trainable_variables)
    plain = make_optimizer(name, 0.1, 0.9, 0.0, reference.trainable_variables)
    decayed.apply(gradients, dense.trainable_variables)
    plain.apply(with_l2, reference.trainable_variables)
    for found, expected in zip(dense.get_weights(), reference.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)


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


def test_the_bias_correction_of_adam_restarts_after_the_frozen_steps() -> None:
    moved = []
    for freeze_steps in (3, 0):
        variable = keras.Variable(np.ones(4, np.float32))
        optimizer = make_optimizer("adam", 0.01, 0.9, 0.0, [variable], freeze_steps=freeze_steps)
        optimizer.iterations.assign(freeze_steps)
        optimizer.apply([np.full(4, 0.3, np.float32)], [variable])
        moved.append(variable.numpy())
    np.testing.assert_array_equal(moved[0], moved[1])
    np.testing.assert_allclose(moved[0], 1 - 0.01, rtol=1e-5)  # the first step of Adam is as long as the learning rate


def test_the_schedule_of_the_whole_network_starts_after_the_frozen_steps() -> None:
    schedule = FreezeFirst(0.1, 5, warmup_cosine(0.02, 20, 4))
    rates = [float(schedule(step)) for step in range(26)]
    assert rates[:5] == pytest.approx([0.1] * 5)
    assert rates[5] == pytest.approx(0.02 / 5)
    assert rates[9] == pytest.approx(0.02)
    assert rates[17] == pytest.approx(0.01)
    assert rates[25] == pytest.approx(0.0, abs=1e-9)


def test_one_cycle_rises_and_falls_in_lines_as_in_pytorch() -> None:
    # torch.optim.lr_scheduler.OneCycleLR(..., max_lr=1, total_steps=10, anneal_strategy="linear"): 1 / 25 at first, 1 at step
    # 0.3 * 10 - 1, and 1 / 25 / 10,000 at step 9.
    cycle = OneCycle(1.0, 10)
    found = [float(cycle(tf.constant(step))) for step in (0, 1, 2, 3, 5, 9)]
    assert found == pytest.approx([0.04, 0.52, 1.0, 1 - 0.999996 / 7, 1 - 3 * 0.999996 / 7, 4e-6], abs=1e-7)


def test_one_cycle_of_one_step_has_a_rate() -> None:
    assert float(OneCycle(0.5, 1)(tf.constant(0))) == 0.5


def test_nesterovs_momentum_looks_ahead() -> None:
    # torch.optim.SGD(nesterov=True): v = 0.9 v + g; w = w - rate * (g + 0.9 v), with g = 1 at each step.
    variable = keras.Variable([1.0])
    optimizer = make_optimizer("sgd", 0.1, 0.9, 0.0, [variable])
    for expected in (1 - 0.1 * 1.9, 1 - 0.1 * 1.9 - 0.1 * (1 + 0.9 * 1.9)):
        optimizer.apply([tf.constant([1.0])], [variable])
        assert float(variable[0]) == pytest.approx(expected)
