"""Figures against sums done by hand."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from resnet.data.arrays import Split
from resnet.evaluation.folding import fold
from resnet.evaluation.inference import predict_logits
from resnet.evaluation.metrics import summarise, wilson_interval
from resnet.model import ResNet
from resnet.normalisation import normalise


def wilson(hits: int, trials: int) -> tuple[float, float]:
    """Wilson 1927, written out."""
    z, p = 1.959963984540054, hits / trials
    middle = (p + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * (p * (1 - p) / trials + z**2 / (4 * trials**2)) ** 0.5
    return middle - half, middle + half


@pytest.mark.parametrize(("hits", "trials"), [(9, 10), (355, 359), (10, 10), (0, 5)])
def test_the_interval_is_wilsons(hits: int, trials: int) -> None:
    assert wilson_interval(hits, trials) == pytest.approx(wilson(hits, trials), abs=1e-9)


def test_figures_of_a_small_case() -> None:
    labels = np.array([0, 0, 1, 1, 2, 2], np.uint16)
    predicted = [0, 1, 1, 1, 0, 2]
    logits = np.log(np.full((6, 3), 0.1) + 0.7 * np.eye(3)[predicted]).astype(np.float32)
    figures = summarise(labels, logits)
    # F1 = 2 TP / (2 TP + FP + FN): 2/4, 4/5, 2/3.
    assert figures["macro_f1"] == pytest.approx((2 / 4 + 4 / 5 + 2 / 3) / 3, abs=1e-6)
    assert figures["accuracy"] == pytest.approx(4 / 6, abs=1e-6)
    assert figures["loss"] == pytest.approx(-(4 * np.log(0.8 / 1.0) + 2 * np.log(0.1 / 1.0)) / 6, abs=1e-6)
    assert (figures["accuracy_low"], figures["accuracy_high"]) == pytest.approx(wilson(4, 6), abs=1e-6)
    assert figures["images"] == 6
    assert list(figures) == ["accuracy", "accuracy_low", "accuracy_high", "loss", "macro_f1", "images"]


def test_top5_is_there_when_there_are_more_than_five_classes() -> None:
    labels = np.array([0, 1, 2], np.uint16)
    logits = np.tile(np.arange(6, dtype=np.float32), (3, 1))  # the top five are 5, 4, 3, 2, 1
    assert summarise(labels, logits)["top5_accuracy"] == pytest.approx(2 / 3, abs=1e-6)
    assert "top5_accuracy" not in summarise(labels, logits[:, :5])


def test_a_class_that_is_never_predicted_counts_as_zero() -> None:
    figures = summarise(np.array([0, 1], np.uint16), np.array([[1, 0], [1, 0]], np.float32))
    assert figures["macro_f1"] == pytest.approx((2 / 3 + 0) / 2, abs=1e-6)


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_every_image_is_predicted_once_and_in_order(write_split: Callable[..., Path], batch_size: int) -> None:
    split = Split(write_split("split", [0] * 7), classes=2)
    keras.utils.set_random_seed(0)
    model = ResNet((32, 32, 3), 2, blocks=(1,), width=4, zero_init_last_gamma=False)
    done: list[int] = []
    logits = predict_logits(fold(model), split, batch_size, on_batch=done.append)
    expected = np.asarray(model(normalise(split.gather(np.arange(7))), training=False))
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    assert sum(done) == 7
