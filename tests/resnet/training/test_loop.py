"""The training loop against sums done another way, and its promises."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from resnet.core.errors import UserError
from resnet.dataset.arrays import Split
from resnet.network.model import ResNet
from resnet.network.normalisation import normalise
from resnet.training.augmentation import DRAWS, Augmentation
from resnet.training.loop import Progress, Trainer
from resnet.training.optimizers import make_optimizer

if TYPE_CHECKING:
    from resnet.training.state import Epoch

IMAGES = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
LABELS = np.arange(8, dtype=np.uint16) % 3
NO_DRAWS = np.full((8, DRAWS), 0.9, np.float32)


def network(classes: int = 3) -> ResNet:
    keras.utils.set_random_seed(0)
    return ResNet((32, 32, 3), classes, blocks=(1, 1), width=4, zero_init_last_gamma=False)


def trainer(model: ResNet, rate: float = 0.1, **options: Any) -> Trainer:
    optimizer = make_optimizer("sgd", rate, 0.0, 0.0, model.trainable_variables)
    return Trainer(model, optimizer, augmentation=Augmentation(), **options)


def step(one: Trainer) -> tuple[float, float]:
    loss, rate = one.train_step(tf.constant(IMAGES), tf.constant(LABELS), tf.constant(NO_DRAWS))
    return float(loss), float(rate)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_step_follows_the_gradient_of_the_smoothed_loss(smoothing: float) -> None:
    reference, model = network(), network()
    with tf.GradientTape() as tape:
        logits = reference(normalise(tf.constant(IMAGES)), training=True)
        loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)(
            tf.one_hot(LABELS.astype(np.int32), 3), logits
        )
    gradients = tape.gradient(loss, reference.trainable_variables)
    step(trainer(model, label_smoothing=smoothing))
    for ours, theirs, gradient in zip(model.trainable_variables, reference.trainable_variables, gradients, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy() - 0.1 * gradient.numpy(), atol=2e-5)


def test_weight_decay_reaches_the_kernels_and_nothing_else() -> None:
    plain, decayed, start = network(), network(), network()
    step(trainer(plain))
    step(trainer(decayed, l2=0.5))
    kernels = 0
    for without, with_it, before in zip(
        plain.trainable_variables, decayed.trainable_variables, start.trainable_variables, strict=True
    ):
        expected = 0.1 * 0.5 * before.numpy() if before.path.endswith("kernel") else np.zeros(before.shape)
        np.testing.assert_allclose(without.numpy() - with_it.numpy(), expected, atol=1e-6)
        kernels += before.path.endswith("kernel")
    assert kernels == 10  # the stem's, 3 + 1 in each of two blocks, and the head's


def test_the_loss_that_is_reported_is_the_plain_cross_entropy() -> None:
    model = network()
    logits = model(normalise(tf.constant(IMAGES)), training=True).numpy().astype(np.float64)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    one = trainer(network(), label_smoothing=0.2, l2=0.5)
    loss, rate = step(one)
    assert loss == pytest.approx(-np.log(probabilities[np.arange(8), LABELS]).mean(), rel=1e-4)
    assert float(one.train_loss.result()) == pytest.approx(loss)
    assert float(one.train_accuracy.result()) == pytest.approx((logits.argmax(axis=1) == LABELS).mean())
    assert rate == pytest.approx(0.1)


def test_training_moves_the_statistics_and_testing_does_not() -> None:
    model = network()
    one = trainer(model)
    before = model.get_layer("conv1_bn").moving_mean.numpy()
    weights = model.get_weights()
    one.test_step(tf.constant(IMAGES), tf.constant(LABELS))
    for now, then in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(now, then)
    step(one)
    assert np.abs(model.get_layer("conv1_bn").moving_mean.numpy() - before).max() > 0


def test_test_metrics_weigh_images_not_batches() -> None:
    model = network()
    one = trainer(model)
    for start, end in ((0, 6), (6, 8)):
        one.test_step(tf.constant(IMAGES[start:end]), tf.constant(LABELS[start:end]))
    logits = model(normalise(tf.constant(IMAGES)), training=False)
    expected = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(LABELS, logits)
    assert float(one.test_loss.result()) == pytest.approx(float(expected), rel=1e-5)
    assert float(one.test_accuracy.result()) == pytest.approx((logits.numpy().argmax(axis=1) == LABELS).mean())


def test_uint16_labels_count_to_65535() -> None:
    logits = np.zeros((1, 65536), np.float32)
    logits[0, 65535] = 5.0
    one = trainer(network())
    expected = np.log(np.exp(5.0) + 65535) - 5.0
    assert float(one.loss_object(tf.constant([65535], tf.uint16), logits)) == pytest.approx(expected, rel=1e-5)
    one.train_accuracy.update_state(tf.constant([65535], tf.uint16), logits)
    assert float(one.train_accuracy.result()) == 1.0


def fit(model: ResNet, training: Split, validation: Split, *, seed: int = 0, epochs: int = 2, **hooks: object) -> None:
    optimizer = make_optimizer("adam", 0.003, 0.9, 0.0, model.trainable_variables)
    one = Trainer(model, optimizer, augmentation=Augmentation(flip=True, shift=0.1), label_smoothing=0.1, l2=1e-4)
    one.fit(training, validation, epochs=epochs, batch_size=8, seed=seed, **hooks)  # type: ignore[arg-type]


def test_it_learns_and_says_how_far_it_is(separable: Callable[[str, int], Split]) -> None:
    steps: list[Progress] = []
    epochs: list[Epoch] = []
    fit(network(2), separable("t", 68), separable("v", 16), epochs=4, on_step=steps.append, on_epoch=epochs.append)
    assert [(one.epoch, one.step, one.steps) for one in steps] == [(e, s, 8) for e in range(1, 5) for s in range(1, 9)]
    assert [one.epoch for one in epochs] == [1, 2, 3, 4]
    assert epochs[-1].loss < epochs[0].loss
    assert epochs[-1].accuracy == 1.0
    assert all(one.seconds > 0 and one.images_per_second > 0 for one in epochs)
    assert epochs[0].loss == pytest.approx(steps[7].loss)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(separable: Callable[[str, int], Split]) -> None:
    training, validation = separable("t", 40), separable("v", 8)
    weights = []
    for seed in (0, 0, 1):
        model = network(2)
        fit(model, training, validation, seed=seed)
        weights.append(model.get_weights())
    assert all(np.array_equal(one, two) for one, two in zip(weights[0], weights[1], strict=True))
    assert not all(np.array_equal(one, two) for one, two in zip(weights[0], weights[2], strict=True))


def test_the_epoch_of_least_validation_loss_is_kept(separable: Callable[..., Split]) -> None:
    model = network(2)
    seen: list[tuple[float, list[np.ndarray]]] = []
    validation = separable("v", 16, swapped=True)  # the more the network learns, the worse it is here
    fit(
        model,
        separable("t", 40),
        validation,
        epochs=4,
        on_epoch=lambda epoch: seen.append((epoch.val_loss, model.get_weights())),
    )
    losses = [loss for loss, _ in seen]
    assert losses[-1] != min(losses)
    best = seen[int(np.argmin(losses))][1]
    assert all(np.array_equal(kept, one) for kept, one in zip(model.get_weights(), best, strict=True))


def test_a_loss_that_is_no_number_stops_the_run_and_names_the_step(separable: Callable[[str, int], Split]) -> None:
    model = network(2)
    one = trainer(model, rate=1e30)
    with pytest.raises(UserError) as caught:
        one.fit(separable("t", 40), separable("v", 8), epochs=2, batch_size=8, seed=0)
    found = re.match(
        r"the loss became (nan|inf) at step (\d) of 5 in epoch 1, where the learning rate was 1e\+30", str(caught.value)
    )
    assert found, caught.value
    assert int(found[2]) > 1


def test_weights_that_are_no_numbers_are_noticed_by_validation(separable: Callable[[str, int], Split]) -> None:
    one = trainer(network(2), rate=1e30)
    with pytest.raises(UserError, match="the validation loss is nan after epoch 1"):
        one.fit(separable("t", 8), separable("v", 8), epochs=2, batch_size=8, seed=0)


def test_a_batch_larger_than_the_split_is_refused(separable: Callable[[str, int], Split]) -> None:
    with pytest.raises(UserError, match=r"train\.batch_size is 8, but there are only 6 training images"):
        fit(network(2), separable("t", 6), separable("v", 8))


def test_the_step_is_compiled_once(separable: Callable[[str, int], Split]) -> None:
    model = network(2)
    one = trainer(model)
    one.fit(separable("t", 40), separable("v", 11), epochs=3, batch_size=8, seed=0)
    assert one.train_step.experimental_get_tracing_count() == 1
    assert one.test_step.experimental_get_tracing_count() <= 2  # a full batch, and any smaller one
