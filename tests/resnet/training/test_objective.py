"""The loss of a batch, compared with Keras and scikit-learn."""

import math
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.utils.class_weight import compute_class_weight

from resnet.training.mixing import Mixed
from resnet.training.objective import balanced_weights, objective


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
    reported, loss = objective(
        tf.constant(logits), Mixed(None, labels, others, tf.constant(shares)), smoothing, weights if weighted else None
    )
    assert float(reported) == pytest.approx(float(plain), rel=1e-5)
    assert float(loss) == pytest.approx(float(smoothed), rel=1e-5)


def test_balanced_weights_are_scikit_learns() -> None:
    labels = np.array([0] * 7 + [1] * 2 + [3], np.uint16)
    expected = compute_class_weight("balanced", classes=np.array([0, 1, 3]), y=labels)
    # Of four classes, where scikit-learn sees three.
    np.testing.assert_allclose(balanced_weights(labels, 4), np.insert(expected * 3 / 4, 2, 0.0), rtol=1e-6)


def test_weights_of_classes_need_no_mixing() -> None:
    logits = tf.constant(np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32))
    weights = np.array([1.0, 5.0], np.float32)
    _, loss = objective(logits, Mixed(None, tf.constant([0, 1, 1])), 0.0, weights)
    expected = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(
        np.array([0, 1, 1]), logits, sample_weight=weights[[0, 1, 1]]
    )
    assert float(loss) == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_of_a_device_does_not_depend_on_their_number(smoothing: float, monkeypatch: pytest.MonkeyPatch) -> None:
    logits = tf.constant([[1.0, 0.0], [0.0, 0.0]])
    batch = Mixed(tf.zeros((2, 8, 8, 3)), tf.constant([0, 1], tf.uint16))
    plain = (math.log(1 + math.exp(-1)) + math.log(2)) / 2
    uniform = (math.log(1 + math.exp(-1)) + 0.5 + math.log(2)) / 2  # the mean over both classes: 0.5 more for the first image
    for devices in (1, 2, 4):
        monkeypatch.setattr(
            tf.distribute, "get_strategy", lambda devices=devices: SimpleNamespace(num_replicas_in_sync=devices)
        )
        reported, loss = objective(logits, batch, smoothing, None)
        assert float(reported) == pytest.approx(plain)
        assert float(loss) == pytest.approx((1 - smoothing) * plain + smoothing * uniform)
