"""The parts of a recipe, each against sums done another way, and all of them together."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.utils.class_weight import compute_class_weight

from resnet.dataset.arrays import Split
from resnet.network.model import ResNet
from resnet.network.normalisation import normalise
from resnet.training.augmentation import Augmentation
from resnet.training.budget import Budget
from resnet.training.loop import Trainer
from resnet.training.mixing import Mixed
from resnet.training.objective import balanced_weights, objective
from resnet.training.optimizers import HeadFirst, make_optimizer, warmup_cosine
from resnet.training.state import Epoch, Snapshot

IMAGES = tf.constant(np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8))
LABELS = tf.constant(np.arange(8, dtype=np.uint16) % 3)
DRAWS = tf.fill((8, 15), 0.9)
EPOCH = Epoch(1, 1.0, 0.5, 1.0, 0.5, 0.1, 10.0, 100.0)


def network(classes: int = 3) -> ResNet:
    keras.utils.set_random_seed(0)
    return ResNet((32, 32, 3), classes, blocks=(1,), width=4, zero_init_last_gamma=False)


def trainer(model: ResNet, name: str = "sgd", rate: Any = 0.1, head_steps: int = 0, **options: Any) -> Trainer:
    optimizer = make_optimizer(name, rate, 0.9 if name != "sgd" else 0.0, 0.1, model.trainable_variables, head_steps=head_steps)
    return Trainer(model, optimizer, **({"augmentation": Augmentation()} | options))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_objective_is_that_of_soft_labels(smoothing: float, weighted: bool) -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(4, 3)).astype(np.float32)
    labels, others = np.array([0, 2, 1, 1], np.uint16), np.array([2, 1, 1, 0], np.uint16)
    shares = np.array([0.1, 0.5, 0.7, 1.0], np.float32)
    weights = np.array([0.5, 1.0, 3.0], np.float32)
    targets = shares[:, None] * np.eye(3)[labels] + (1 - shares[:, None]) * np.eye(3)[others]
    plain = keras.losses.CategoricalCrossentropy(from_logits=True)(targets, logits)
    smoothed = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)(
        targets, logits, sample_weight=targets @ weights if weighted else None
    )
    reported, learned = objective(
        tf.constant(logits), Mixed(None, labels, others, tf.constant(shares)), smoothing, weights if weighted else None
    )
    assert float(reported) == pytest.approx(float(plain), rel=1e-5)
    assert float(learned) == pytest.approx(float(smoothed), rel=1e-5)


def test_balanced_weights_are_scikit_learns() -> None:
    labels = np.array([0] * 7 + [1] * 2 + [3], np.uint16)
    expected = compute_class_weight("balanced", classes=np.array([0, 1, 3]), y=labels)
    # Of four classes, where scikit-learn sees three.
    np.testing.assert_allclose(balanced_weights(labels, 4), np.insert(expected * 3 / 4, 2, 0.0), rtol=1e-6)


def test_weights_of_classes_need_no_mixing() -> None:
    logits = tf.constant(np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32))
    weights = np.array([1.0, 5.0], np.float32)
    _, learned = objective(logits, Mixed(None, tf.constant([0, 1, 1])), 0.0, weights)
    expected = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(
        np.array([0, 1, 1]), logits, sample_weight=weights[[0, 1, 1]]
    )
    assert float(learned) == pytest.approx(float(expected), rel=1e-6)


def test_a_mixed_batch_is_learned_with_both_labels() -> None:
    model, reference = network(), network()
    one = trainer(model, augmentation=Augmentation(mixup=0.3))
    draws = np.full((8, 15), 0.9, np.float32)
    draws[:, 11] = shares = np.linspace(0, 1, 8)
    loss, _ = one.train_step(IMAGES, LABELS, tf.constant(draws))
    mixed = shares[:, None, None, None] * normalise(IMAGES) + (1 - shares[:, None, None, None]) * np.roll(
        normalise(IMAGES), -1, 0
    )
    targets = shares[:, None] * np.eye(3)[LABELS] + (1 - shares[:, None]) * np.eye(3)[np.roll(LABELS, -1)]
    logits = reference(tf.cast(mixed, tf.float32), training=True)
    assert float(loss) == pytest.approx(
        float(keras.losses.CategoricalCrossentropy(from_logits=True)(targets, logits)), rel=1e-4
    )
    assert float(one.train_accuracy.result()) == np.mean(
        np.argmax(logits, 1) == np.where(shares >= 0.5, LABELS, np.roll(LABELS, -1))
    )


def test_the_gradient_of_parts_is_the_mean_of_theirs() -> None:
    model, reference = network(), network()
    one = trainer(model, accumulate=4, label_smoothing=0.1)
    one.train_step(IMAGES, LABELS, DRAWS)
    sums = [np.zeros(variable.shape) for variable in reference.trainable_variables]
    start = [variable.numpy() for variable in reference.trainable_variables]
    for number in range(0, 8, 2):
        with tf.GradientTape() as tape:
            logits = reference(normalise(IMAGES[number : number + 2]), training=True)
            targets = tf.one_hot(tf.cast(LABELS[number : number + 2], tf.int32), 3)
            loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)(targets, logits)
        gradients = tape.gradient(loss, reference.trainable_variables)
        sums = [total + gradient.numpy() for total, gradient in zip(sums, gradients, strict=True)]
    for ours, before, total in zip(model.trainable_variables, start, sums, strict=True):
        np.testing.assert_allclose(ours.numpy(), before - 0.1 * total / 4, atol=2e-5)
    for ours, theirs in zip(model.non_trainable_variables, reference.non_trainable_variables, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-4, atol=1e-5)  # one part after another
    assert int(one.optimizer.iterations) == 1


def test_the_average_follows_the_weights_and_is_what_is_validated() -> None:
    model = network()
    one = trainer(model, average=0.3)
    assert one.average
    expected = model.get_weights()
    for step in range(1, 5):
        one.train_step(IMAGES, LABELS, DRAWS)
        decay = min(0.3, (1 + step) / (10 + step))
        expected = [decay * then + (1 - decay) * now for then, now in zip(expected, model.get_weights(), strict=True)]
    for ours, theirs in zip(one.average.get_weights(), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    weights = model.get_weights()
    one.test_step(IMAGES, LABELS)
    assert all(np.array_equal(now, then) for now, then in zip(model.get_weights(), weights, strict=True))
    model.set_weights(expected)
    logits = model(normalise(IMAGES), training=False)
    reference = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(LABELS, logits)
    assert float(one.test_loss.result()) == pytest.approx(float(reference), rel=1e-4)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_a_step_of_the_head_leaves_all_else(name: str) -> None:
    model = network()
    one = trainer(model, name, l2=0.1)
    before = {weight.path: weight.numpy() for weight in model.weights}
    loss, _ = one.head_step(IMAGES, LABELS, DRAWS)
    reference = network()(normalise(IMAGES), training=False)
    assert float(loss) == pytest.approx(
        float(keras.losses.SparseCategoricalCrossentropy(from_logits=True)(LABELS, reference)), rel=1e-5
    )
    changed = {weight.path for weight in model.weights if not np.array_equal(weight.numpy(), before[weight.path])}
    assert changed == {"predictions/kernel", "predictions/bias"}
    one.train_step(IMAGES, LABELS, DRAWS)
    assert all(not np.array_equal(weight.numpy(), before[weight.path]) for weight in model.weights if "kernel" in weight.path)


def test_a_step_of_the_head_can_be_taken_with_a_scaled_loss() -> None:
    model = network()
    one = trainer(model)
    one.optimizer = make_optimizer("adam", 0.01, 0.9, 0.0, model.trainable_variables, loss_scaling=True)
    before = model.get_weights()
    one.head_step(IMAGES, LABELS, DRAWS)
    assert sum(not np.array_equal(now, then) for now, then in zip(model.get_weights(), before, strict=True)) == 2


def test_adams_correction_begins_anew_when_the_rest_does() -> None:
    moved = []
    for head_steps in (3, 0):
        model = network()
        one = trainer(model, "adam", 0.01, head_steps=head_steps)
        kernel = model.get_layer("conv1_conv").kernel
        one.optimizer.iterations.assign(head_steps)
        before = kernel.numpy()
        one.train_step(IMAGES, LABELS, DRAWS)
        moved.append(kernel.numpy() - before)
    np.testing.assert_array_equal(moved[0], moved[1])


def test_the_whole_network_begins_its_own_schedule_after_the_head() -> None:
    schedule = HeadFirst(0.1, 5, warmup_cosine(0.02, 20, 4))
    rates = [float(schedule(step)) for step in range(26)]
    assert rates[:5] == pytest.approx([0.1] * 5)
    assert rates[5] == pytest.approx(0.02 / 5)
    assert rates[9] == pytest.approx(0.02)
    assert rates[17] == pytest.approx(0.01)
    assert rates[25] == pytest.approx(0.0, abs=1e-9)


def history(losses: list[float], seconds: list[float] | None = None) -> list[Epoch]:
    times = seconds or [10.0] * len(losses)
    return [
        replace(EPOCH, epoch=number, val_loss=loss, seconds=time)
        for number, (loss, time) in enumerate(zip(losses, times, strict=True), start=1)
    ]


@pytest.mark.parametrize(
    ("losses", "head_epochs", "last"),
    [
        ([], 0, 9),
        ([3, 2, 2.5, 2.6], 0, 9),
        ([3, 2, 2.5, 2.6, 2.0], 0, 5),
        ([1, 2, 3, 4], 0, 4),
        ([1, 2, 3, 4], 2, 9),
        ([1] * 5, 2, 5),
    ],
)
def test_a_run_ends_when_patience_does(losses: list[float], head_epochs: int, last: int) -> None:
    one = trainer(network(), patience=3, head_epochs=head_epochs)
    one.state.history = history(losses)
    assert one.last_epoch(9) == last


@pytest.mark.parametrize(
    ("seconds", "last"),
    [([], 20), ([30.0], 3), ([30.0, 10.0], 8), ([30.0, 10.0, 15.0], 6), ([30, 10, 59], 3), ([120.0], 1), ([1.0], 20)],
)
def test_a_budget_of_100_seconds_holds_as_many_epochs_as_fit(seconds: list[float], last: int) -> None:
    budget = Budget(100.0, steps_per_epoch=10, before=5, steps=195)
    assert budget.last_epoch(history([1.0] * len(seconds), seconds), 20) == last
    assert float(budget.cosine_steps) == last * 10 - 5


def test_the_rate_comes_to_zero_where_the_budget_ends() -> None:
    budget = Budget(100.0, steps_per_epoch=10, before=5, steps=195)
    rate = tf.function(warmup_cosine(0.02, 200, 5, cosine_steps=budget.cosine_steps))
    assert float(rate(tf.constant(10))) > 0.0199
    budget.last_epoch(history([1.0, 1.0], [30.0, 20.0]), 20)  # two more: 40 steps in all, 35 of them in the cosine
    assert float(rate(tf.constant(5))) == pytest.approx(0.02)
    assert float(rate(tf.constant(5 + 14))) == pytest.approx(0.01 * (1 + np.cos(np.pi * 14 / 35)))
    assert float(rate(tf.constant(40))) == pytest.approx(0.0, abs=1e-9)


def test_a_run_without_time_ends_after_an_epoch(separable: Callable[[str, int], Split]) -> None:
    one = trainer(network(2), budget=Budget(0.01, steps_per_epoch=3, before=0, steps=12))
    one.fit(separable("t", 24), separable("v", 8), epochs=4, batch_size=8, seed=0)
    assert [epoch.epoch for epoch in one.state.history] == [1]


EPOCHS, STEPS = 3, 2


def full(model: ResNet) -> Trainer:
    """With everything but a budget."""
    schedule = HeadFirst(0.01, STEPS, warmup_cosine(0.01, (EPOCHS - 1) * STEPS, 1))
    return trainer(
        model,
        "adamw",
        schedule,
        head_steps=STEPS,
        augmentation=Augmentation(flip=True, shift=0.1, crop=0.5, trivial=True, mixup=0.2, cutmix=1.0),
        label_smoothing=0.1,
        class_weights=np.array([0.5, 2.0], np.float32),
        accumulate=2,
        average=0.9,
        head_epochs=1,
        patience=2,
    )


def outcome(one: Trainer) -> list[bytes]:
    return [np.asarray(array).tobytes() for array in (*one.model.get_weights(), *one.state.snapshot().arrays.values())]


def test_all_together_wherever_it_is_restored_it_ends_the_same(separable: Callable[[str, int], Split]) -> None:
    splits = separable("t", 8 * STEPS + 3), separable("v", 12)

    def fit(one: Trainer) -> list[Snapshot]:
        taken: list[Snapshot] = []

        def take(*_: object) -> None:
            taken.append(one.state.snapshot())

        one.fit(*splits, epochs=EPOCHS, batch_size=8, seed=3, on_step=take, on_validation_step=take, on_epoch=take)
        return taken

    undisturbed = full(network(2))
    taken = fit(undisturbed)
    assert len(undisturbed.state.history) == EPOCHS
    again = full(network(2))
    fit(again)
    assert outcome(again) == outcome(undisturbed)
    for snapshot in taken[::3]:  # in the middle of epochs, of validation, and between epochs
        again.state.restore(snapshot)
        fit(again)
        assert outcome(again) == outcome(undisturbed)
    best = [epoch.val_loss for epoch in undisturbed.state.history].index(undisturbed.state.least)
    at_its_end = next(snapshot for snapshot in taken if snapshot.facts["epoch"] == best + 2)
    averages = [array for name, array in sorted(at_its_end.arrays.items()) if name.startswith("average/")]
    assert all(np.array_equal(kept, one) for kept, one in zip(undisturbed.model.get_weights(), averages, strict=True))
