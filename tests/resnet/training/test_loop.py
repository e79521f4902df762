"""The training loop, compared with independent calculations, and its guarantees."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from resnet.core.errors import UserError
from resnet.dataset.arrays import Split
from resnet.dataset.batches import epoch_order
from resnet.network.device_kernels import PROCESSOR, using
from resnet.network.model import ResNet
from resnet.network.normalisation import normalise
from resnet.training.augmentation import DRAWS, Augmentation
from resnet.training.hosts import Hosts
from resnet.training.loop import Trainer
from resnet.training.optimizers import make_optimizer
from resnet.training.state import Epoch, Progress

IMAGES = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
LABELS = np.arange(8, dtype=np.uint16) % 3
NO_DRAWS = np.full((8, DRAWS), 0.9, np.float32)
BATCH = tf.constant(IMAGES), tf.constant(LABELS)
FULL_DRAWS = tf.fill((8, 15), 0.9)
EPOCH = Epoch(1, 1.0, 0.5, 1.0, 0.5, 0.1, 10.0, 100.0)


def network(classes: int = 3, blocks: int = 2) -> ResNet:
    keras.utils.set_random_seed(0)
    return ResNet((32, 32, 3), classes, blocks=(1,) * blocks, width=4, zero_init_last_gamma=False)


def trainer(model: ResNet, rate: float = 0.1, *, name: str = "sgd", weight_decay: float = 0.0, **options: Any) -> Trainer:
    momentum = 0.0 if name == "sgd" else 0.9
    optimizer = make_optimizer(name, rate, momentum, weight_decay, model.trainable_variables)
    return Trainer(model, optimizer, **({"augmentation": Augmentation()} | options))


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


def test_weight_decay_applies_to_kernels_only() -> None:
    plain, decayed, start = network(), network(), network()
    step(trainer(plain))
    step(trainer(decayed, weight_decay=0.5))
    kernels = 0
    for without, with_it, before in zip(
        plain.trainable_variables, decayed.trainable_variables, start.trainable_variables, strict=True
    ):
        expected = 0.1 * 0.5 * before.numpy() if before.path.endswith("kernel") else np.zeros(before.shape)
        np.testing.assert_allclose(without.numpy() - with_it.numpy(), expected, atol=1e-6)
        kernels += before.path.endswith("kernel")
    assert kernels == 10  # one in the stem, 3 + 1 in each of two blocks, one in the head


def test_the_loss_that_is_reported_is_the_plain_cross_entropy() -> None:
    model = network()
    logits = model(normalise(tf.constant(IMAGES)), training=True).numpy().astype(np.float64)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    one = trainer(network(), label_smoothing=0.2, weight_decay=0.5)
    loss, rate = step(one)
    assert loss == pytest.approx(-np.log(probabilities[np.arange(8), LABELS]).mean(), rel=1e-4)
    assert float(one.train_loss.result()) == pytest.approx(loss)
    assert float(one.train_accuracy.result()) == pytest.approx((logits.argmax(axis=1) == LABELS).mean())
    assert rate == pytest.approx(0.1)


def test_training_changes_the_statistics_and_validation_does_not() -> None:
    model = network()
    one = trainer(model)
    before = model.get_layer("conv1_bn").moving_mean.numpy()
    weights = model.get_weights()
    one.validation_step(tf.constant(IMAGES), tf.constant(LABELS))
    for now, then in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(now, then)
    step(one)
    assert np.abs(model.get_layer("conv1_bn").moving_mean.numpy() - before).max() > 0


def test_metrics_of_validation_weight_images_equally_not_batches() -> None:
    model = network()
    one = trainer(model)
    for start, end in ((0, 6), (6, 8)):
        one.validation_step(tf.constant(IMAGES[start:end]), tf.constant(LABELS[start:end]))
    logits = model(normalise(tf.constant(IMAGES)), training=False)
    expected = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(LABELS, logits)
    assert float(one.validation_loss.result()) == pytest.approx(float(expected), rel=1e-5)
    assert float(one.validation_accuracy.result()) == pytest.approx((logits.numpy().argmax(axis=1) == LABELS).mean())


def test_confusions_are_those_of_the_last_validation(separable: Callable[[str, int], Split]) -> None:
    model = network(classes=2)
    one = trainer(model)
    validation = separable("validation", 20)
    for _ in range(2):
        one._validate(validation, 8, lambda: None)
    logits = model(normalise(tf.constant(validation.gather(np.arange(20)))), training=False).numpy()
    expected = np.zeros((2, 2), np.int64)
    for label, predicted in zip(validation.labels[:20], logits.argmax(axis=1), strict=True):
        expected[label, predicted] += 1
    np.testing.assert_array_equal(one.confusion, expected)


def test_confusions_of_many_classes_are_not_counted() -> None:
    one = trainer(network(classes=101))
    one.validation_step(*BATCH)
    assert one.confusion is None


@pytest.mark.parametrize("mixup", [0.0, 1.0])
def test_the_augmented_images_are_those_of_the_first_batch(separable: Callable[[str, int], Split], mixup: float) -> None:
    training = separable("training", 16)
    one = trainer(network(classes=2), augmentation=Augmentation(shift=0.2, mixup=mixup))
    shown = one.augmented(training, 3, 8)
    draws, order = one.augmentation.draw(16, 3, 1), epoch_order(16, 3, 1)[:8]
    images = one.augmentation(tf.constant(training.gather(order)), tf.gather(draws, order))
    if mixup:
        labels = tf.constant(training.labels[order])
        images = one.augmentation.mix(tf.cast(images, tf.float32), labels, tf.gather(draws, order)).images
    np.testing.assert_allclose(shown, images, atol=0.5)
    assert shown.shape == (8, 32, 32, 3)


def test_uint16_labels_reach_65535() -> None:
    logits = np.zeros((1, 65536), np.float32)
    logits[0, 65535] = 5.0
    one = trainer(network())
    expected = np.log(np.exp(5.0) + 65535) - 5.0
    assert float(one.loss_object(tf.constant([65535], tf.uint16), logits)) == pytest.approx(expected, rel=1e-5)
    one.train_accuracy.update_state(tf.constant([65535], tf.uint16), logits)
    assert float(one.train_accuracy.result()) == 1.0


def fit(model: ResNet, training: Split, validation: Split, *, seed: int = 0, epochs: int = 2, **hooks: object) -> None:
    optimizer = make_optimizer("adam", 0.003, 0.9, 1e-4, model.trainable_variables)
    one = Trainer(model, optimizer, augmentation=Augmentation(flip=True, shift=0.1), label_smoothing=0.1)
    one.fit(training, validation, epochs=epochs, batch_size=8, seed=seed, **hooks)  # type: ignore[arg-type]


@pytest.mark.parametrize("ahead", [0, 3, 20])
def test_it_learns_and_reports_its_progress(ahead: int, separable: Callable[[str, int], Split]) -> None:
    steps: list[Progress] = []
    epochs: list[Epoch] = []
    with using(replace(PROCESSOR, steps_ahead=ahead)):
        fit(network(2), separable("t", 68), separable("v", 16), epochs=4, on_step=steps.append, on_epoch=epochs.append)
    assert [(one.epoch, one.step, one.steps) for one in steps] == [(e, s, 8) for e in range(1, 5) for s in range(1, 9)]
    assert [one.epoch for one in epochs] == [1, 2, 3, 4]
    assert epochs[-1].loss < epochs[0].loss
    assert epochs[-1].accuracy == 1.0
    assert all(one.seconds > 0 and one.images_per_second > 0 for one in epochs)
    assert epochs[0].loss == pytest.approx(steps[7].loss)
    assert [one.learning_rate for one in steps] == pytest.approx([0.003] * 32)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(separable: Callable[[str, int], Split]) -> None:
    training, validation = separable("t", 40), separable("v", 8)
    weights = []
    for seed in (0, 0, 1):
        model = network(2)
        fit(model, training, validation, seed=seed)
        weights.append(model.get_weights())
    assert all(np.array_equal(one, two) for one, two in zip(weights[0], weights[1], strict=True))
    assert not all(np.array_equal(one, two) for one, two in zip(weights[0], weights[2], strict=True))


def test_the_epoch_with_the_lowest_validation_loss_is_kept(separable: Callable[..., Split]) -> None:
    model = network(2)
    seen: list[tuple[float, list[np.ndarray]]] = []
    validation = separable("v", 16, swapped=True)  # here the loss increases while the network learns
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


class Parting(Hosts):
    """One host that counts how often it waits for the others before it may end."""

    parted = 0

    def part(self) -> None:
        self.parted += 1


@pytest.mark.parametrize("ahead", [0, 2])
def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step(ahead: int, separable: Callable[[str, int], Split]) -> None:
    model = network(2)
    one = trainer(model, rate=1e30, hosts=(hosts := Parting()))
    with using(replace(PROCESSOR, steps_ahead=ahead)), pytest.raises(UserError) as caught:
        one.fit(separable("t", 40), separable("v", 8), epochs=2, batch_size=8, seed=0)
    found = re.match(
        r"the loss became (nan|inf) at step (\d) of 5 in epoch 1, where the learning rate was 1e\+30", str(caught.value)
    )
    assert found, caught.value
    assert int(found[2]) == 2  # the first step ruins the weights
    assert one.state.step == 2 + ahead
    assert hosts.parted == 1


def test_validation_detects_weights_that_are_not_finite(separable: Callable[[str, int], Split]) -> None:
    one = trainer(network(2), rate=1e30, hosts=(hosts := Parting()))
    with pytest.raises(UserError, match="the validation loss is nan after epoch 1"):
        one.fit(separable("t", 8), separable("v", 8), epochs=2, batch_size=8, seed=0)
    assert hosts.parted == 1


def test_hosts_do_not_end_before_all_have_finished(separable: Callable[[str, int], Split]) -> None:
    one = trainer(network(2), hosts=(hosts := Parting()))
    one.fit(separable("t", 8), separable("v", 8), epochs=1, batch_size=8, seed=0, on_epoch=lambda _: hosts.part())
    assert hosts.parted == 2


def test_a_batch_larger_than_the_split_is_refused(separable: Callable[[str, int], Split]) -> None:
    with pytest.raises(UserError, match=r"train\.batch_size is 8, but there are only 6 training images"):
        fit(network(2), separable("t", 6), separable("v", 8))


def test_the_step_is_compiled_once(separable: Callable[[str, int], Split]) -> None:
    model = network(2)
    one = trainer(model)
    one.fit(separable("t", 40), separable("v", 11), epochs=3, batch_size=8, seed=0)
    assert one.train_step.experimental_get_tracing_count() == 1
    assert one.validation_step.experimental_get_tracing_count() <= 2  # for a full batch and for any smaller one


def test_batches_that_are_copied_while_a_step_runs_give_the_same_weights(separable: Callable[[str, int], Split]) -> None:
    training, validation = separable("t", 24), separable("v", 8)
    weights, given = [], list[Any]()

    def noting(step: Any) -> Any:
        return lambda images, *rest: given.append(images) or step(images, *rest)  # type: ignore[func-returns-value]

    for choice in (PROCESSOR, replace(PROCESSOR, batches_on="CPU:0")):
        with using(choice):
            one = trainer(model := network(2, blocks=1))
            one.train_step, one.validation_step = noting(one.train_step), noting(one.validation_step)
            one.fit(training, validation, epochs=1, batch_size=8, seed=0)
        weights.append(model.get_weights())
    assert all(np.array_equal(one, other) for one, other in zip(*weights, strict=True))
    assert [isinstance(images, tf.Tensor) for images in given] == [False] * 4 + [True] * 4  # three steps and the validation


def test_a_mixed_batch_is_trained_with_both_labels() -> None:
    model, reference = network(blocks=1), network(blocks=1)
    one = trainer(model, augmentation=Augmentation(mixup=0.3))
    draws = np.full((8, 15), 0.9, np.float32)
    draws[:, 11] = shares = np.linspace(0, 1, 8)
    loss, _ = one.train_step(BATCH[0], BATCH[1], tf.constant(draws))
    mixed = shares[:, None, None, None] * normalise(BATCH[0]) + (1 - shares[:, None, None, None]) * np.roll(
        normalise(BATCH[0]), -1, 0
    )
    targets = shares[:, None] * np.eye(3)[BATCH[1]] + (1 - shares[:, None]) * np.eye(3)[np.roll(BATCH[1], -1)]
    logits = reference(tf.cast(mixed, tf.float32), training=True)
    assert float(loss) == pytest.approx(
        float(keras.losses.CategoricalCrossentropy(from_logits=True)(targets, logits)), rel=1e-4
    )
    assert float(one.train_accuracy.result()) == np.mean(
        np.argmax(logits, 1) == np.where(shares >= 0.5, BATCH[1], np.roll(BATCH[1], -1))
    )


def test_the_gradient_of_a_batch_in_parts_is_the_mean_of_the_parts() -> None:
    model, reference = network(blocks=1), network(blocks=1)
    one = trainer(model, accumulate=4, label_smoothing=0.1)
    one.train_step(BATCH[0], BATCH[1], FULL_DRAWS)
    sums = [np.zeros(variable.shape) for variable in reference.trainable_variables]
    start = [variable.numpy() for variable in reference.trainable_variables]
    for number in range(0, 8, 2):
        with tf.GradientTape() as tape:
            logits = reference(normalise(BATCH[0][number : number + 2]), training=True)
            targets = tf.one_hot(tf.cast(BATCH[1][number : number + 2], tf.int32), 3)
            loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)(targets, logits)
        gradients = tape.gradient(loss, reference.trainable_variables)
        sums = [total + gradient.numpy() for total, gradient in zip(sums, gradients, strict=True)]
    for ours, before, total in zip(model.trainable_variables, start, sums, strict=True):
        np.testing.assert_allclose(ours.numpy(), before - 0.1 * total / 4, atol=2e-5)
    for ours, theirs in zip(model.non_trainable_variables, reference.non_trainable_variables, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-4, atol=1e-5)  # one part after another
    assert int(one.optimizer.iterations) == 1


def test_the_moving_average_follows_the_weights_and_is_validated() -> None:
    model = network(blocks=1)
    one = trainer(model, ema=0.3)
    assert one.ema
    expected = model.get_weights()
    for step in range(1, 5):
        one.train_step(BATCH[0], BATCH[1], FULL_DRAWS)
        decay = min(0.3, (1 + step) / (10 + step))
        expected = [decay * then + (1 - decay) * now for then, now in zip(expected, model.get_weights(), strict=True)]
    for ours, theirs in zip(one.ema.get_weights(), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    weights = model.get_weights()
    one.validation_step(BATCH[0], BATCH[1])
    assert all(np.array_equal(now, then) for now, then in zip(model.get_weights(), weights, strict=True))
    model.set_weights(expected)
    logits = model(normalise(BATCH[0]), training=False)
    reference = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(BATCH[1], logits)
    assert float(one.validation_loss.result()) == pytest.approx(float(reference), rel=1e-4)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_a_frozen_step_changes_only_the_head(name: str) -> None:
    model = network(blocks=1)
    one = trainer(model, name=name, weight_decay=0.1)
    before = {weight.path: weight.numpy() for weight in model.weights}
    loss, _ = one.frozen_step(BATCH[0], BATCH[1], FULL_DRAWS)
    reference = network(blocks=1)(normalise(BATCH[0]), training=False)
    assert float(loss) == pytest.approx(
        float(keras.losses.SparseCategoricalCrossentropy(from_logits=True)(BATCH[1], reference)), rel=1e-5
    )
    changed = {weight.path for weight in model.weights if not np.array_equal(weight.numpy(), before[weight.path])}
    assert changed == {"predictions/kernel", "predictions/bias"}
    one.train_step(BATCH[0], BATCH[1], FULL_DRAWS)
    assert all(not np.array_equal(weight.numpy(), before[weight.path]) for weight in model.weights if "kernel" in weight.path)


def test_a_frozen_step_works_with_loss_scaling() -> None:
    model = network(blocks=1)
    one = trainer(model)
    one.optimizer = make_optimizer("adam", 0.01, 0.9, 0.0, model.trainable_variables, loss_scaling=True)
    before = model.get_weights()
    one.frozen_step(BATCH[0], BATCH[1], FULL_DRAWS)
    assert sum(not np.array_equal(now, then) for now, then in zip(model.get_weights(), before, strict=True)) == 2


def history(losses: list[float]) -> list[Epoch]:
    return [replace(EPOCH, epoch=number, val_loss=loss) for number, loss in enumerate(losses, start=1)]


@pytest.mark.parametrize(
    ("losses", "freeze_epochs", "last"),
    [
        ([], 0, 9),
        ([3, 2, 2.5, 2.6], 0, 9),
        ([3, 2, 2.5, 2.6, 2.0], 0, 5),
        ([1, 2, 3, 4], 0, 4),
        ([1, 2, 3, 4], 2, 9),
        ([1] * 5, 2, 5),
    ],
)
def test_early_stopping_waits_for_patience_epochs(losses: list[float], freeze_epochs: int, last: int) -> None:
    one = trainer(network(blocks=1), patience=3, freeze_epochs=freeze_epochs)
    one.state.history = history(losses)
    assert one.last_epoch(9) == last
