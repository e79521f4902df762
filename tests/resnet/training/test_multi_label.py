"""Training with several labels an image, compared with Keras's binary cross-entropy, and what several hosts add up."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from resnet.core.label_sets import LabelSets
from resnet.network.model import ResNet
from resnet.network.normalisation import normalise
from resnet.training.augmentation import DRAWS, Augmentation
from resnet.training.loop import Trainer
from resnet.training.mixing import Mixed
from resnet.training.multi_label import MultiLabel
from resnet.training.optimizers import make_optimizer
from tests.resnet.training.test_loop import IMAGES, network

SETS = LabelSets.of_numbers([[], [0], [1, 2], [0, 1, 2]], 3)
LABELS = np.array([0, 1, 2, 3, 3, 2, 1, 0], np.uint16)
TARGETS = SETS.of(LABELS).astype(np.float32)
LOGITS = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32) * 3
binary = keras.losses.BinaryCrossentropy(from_logits=True)


def trainer(model: ResNet, **options: Any) -> Trainer:
    optimizer = make_optimizer("sgd", 0.1, 0.0, 0.0, model.trainable_variables)
    return Trainer(model, optimizer, augmentation=Augmentation(), multi_label=MultiLabel(SETS), **options)


def step(one: Trainer) -> float:
    return float(one.train_step(tf.constant(IMAGES), tf.constant(LABELS), tf.fill((8, DRAWS), 0.9))[0])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_step_follows_the_gradient_of_the_binary_cross_entropy(smoothing: float) -> None:
    reference, model = network(), network()
    with tf.GradientTape() as tape:
        logits = reference(normalise(tf.constant(IMAGES)), training=True)
        loss = binary(TARGETS * (1 - smoothing) + smoothing / 3, logits)
    gradients = tape.gradient(loss, reference.trainable_variables)
    one = trainer(model, label_smoothing=smoothing)
    assert step(one) == pytest.approx(float(binary(TARGETS, logits)), rel=1e-5)  # reported without smoothing
    for ours, theirs, gradient in zip(model.trainable_variables, reference.trainable_variables, gradients, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy() - 0.1 * gradient.numpy(), atol=2e-5)
    right = ((np.asarray(logits) >= 0) == (TARGETS == 1)).all(axis=1)
    assert float(one.train_accuracy.result()) == pytest.approx(right.mean())


def test_two_parts_are_their_mean() -> None:
    whole, halves = network(), network()
    one, two = trainer(whole), trainer(halves, accumulate=2)
    # Batch normalisation that keeps its statistics: otherwise each part has its own.
    losses = [
        float(each.frozen_step(tf.constant(IMAGES), tf.constant(LABELS), tf.fill((8, DRAWS), 0.9))[0]) for each in (one, two)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert float(one.train_accuracy.result()) == float(two.train_accuracy.result())
    np.testing.assert_allclose(whole.layers[-1].kernel.numpy(), halves.layers[-1].kernel.numpy(), atol=1e-6)


def test_validation_adds_up_batches_of_different_sizes() -> None:
    model = network()
    one = trainer(model)
    one.validation_step(tf.constant(IMAGES[:6]), tf.constant(LABELS[:6]))
    one.validation_step(tf.constant(IMAGES[6:]), tf.constant(LABELS[6:]))
    logits = np.asarray(model(normalise(tf.constant(IMAGES)), training=False))
    assert float(one.validation_loss.result()) == pytest.approx(float(binary(TARGETS, logits)), rel=1e-5)
    assert float(one.validation_accuracy.result()) == ((logits >= 0) == (TARGETS == 1)).all(axis=1).mean()
    assert one.confusion is None  # there is no single predicted class


def test_mixed_images_have_their_shares_of_both_sets() -> None:
    shares = np.array([0.9, 0.3, 0.5, 1.0, 0.0, 0.7, 0.2, 0.6], np.float32)
    others = np.roll(LABELS, -1)
    batch = Mixed(tf.zeros((8, 1, 1, 3)), tf.constant(LABELS), tf.constant(others), tf.constant(shares))
    reported, loss = MultiLabel(SETS).objective(tf.constant(LOGITS), batch, 0.2)
    targets = shares[:, np.newaxis] * TARGETS + (1 - shares[:, np.newaxis]) * SETS.of(others)
    assert float(reported) == pytest.approx(float(binary(targets, LOGITS)), rel=1e-5)
    assert float(loss) == pytest.approx(float(binary(targets * 0.8 + 0.2 / 3, LOGITS)), rel=1e-5)


def test_an_image_is_right_if_all_its_classes_are() -> None:
    logits = np.where(TARGETS == 1, 2.0, -2.0).astype(np.float32)
    logits[1, 2] = 0.1  # one class too many
    logits[3, 0] = -0.1  # one too few
    logits[7] = [-3.0, -3.0, -1e-6]  # no class is right for the empty set
    found = MultiLabel(SETS).matches(tf.constant(LABELS), tf.constant(logits)).numpy()
    assert found.tolist() == [1, 0, 1, 0, 1, 1, 1, 1]
