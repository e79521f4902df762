"""What an int8 export loses, and when it is refused."""

import numpy as np
import pytest

from resnet.core.errors import UserError
from resnet.export.drift import measure_drift


def probabilities(classes: list[int]) -> np.ndarray:
    return np.where(np.eye(2)[classes] == 1, 0.75, 0.25).astype(np.float32)


def test_figures_of_a_few_images() -> None:
    labels = np.array([0, 0, 1, 1])
    expected, found = probabilities([0, 0, 1, 0]), probabilities([0, 1, 1, 0])
    drift = measure_drift(labels, expected, found)
    assert (drift.images, drift.accuracy, drift.int8_accuracy, drift.difference) == (4, 0.75, 0.5, -0.25)
    assert (drift.same_label, drift.mean_change, drift.largest_change) == (3, 0.125, 0.5)  # one image of four moves by a half
    assert str(drift).startswith("accuracy 50.00 % instead of 75.00 % in float32 (-25.00 points, 95 % interval ")
    assert drift.figures()["int8_accuracy"] == 0.5


@pytest.mark.parametrize(("lost", "is_refused"), [(0, False), (2, False), (30, True)])
def test_a_loss_is_refused_if_chance_does_not_explain_it(lost: int, is_refused: bool) -> None:
    labels = np.zeros(200, np.int64)
    drift = measure_drift(labels, probabilities([0] * 200), probabilities([1] * lost + [0] * (200 - lost)))
    # No losses among 200 images leave room for 1 point: Wilson's interval of 200 of 200 begins at 98.1 %.
    assert drift.is_open()
    if is_refused:
        with pytest.raises(UserError, match=r"worse than in float32 by more than 0.5 points beyond chance: accuracy 85.00 %"):
            drift.check("onnx")
    else:
        drift.check("onnx")


def test_numbers_that_are_no_probabilities_are_refused() -> None:
    broken = np.full((4, 2), np.nan, np.float32)
    with pytest.raises(UserError, match="onnx in int8 returns numbers that are no probabilities"):
        measure_drift(np.zeros(4, np.int64), probabilities([0] * 4), broken).check("onnx")


def test_many_images_without_a_loss_rule_it_out() -> None:
    labels = np.arange(2000) % 2
    assert not measure_drift(labels, probabilities(labels.tolist()), probabilities(labels.tolist())).is_open()


def test_other_shapes_are_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match=r"Received: \(4, 2\) and \(3, 2\)"):
        measure_drift(np.zeros(4, np.int64), probabilities([0] * 4), probabilities([0] * 3))


def test_figures_of_sets_of_labels() -> None:
    truth = np.array([[1, 0], [1, 1], [0, 0], [0, 1]], np.bool_)
    expected = np.array([[0.6, 0.2], [0.9, 0.3], [0.1, 0.1], [0.7, 0.9]], np.float32)  # right but for the last image
    found = np.array([[0.6, 0.2], [0.9, 0.2], [0.1, 0.1], [0.7, 0.9]], np.float32)  # the second loses its second label
    drift = measure_drift(truth, expected, found, [0.5, 0.25])
    assert (drift.accuracy, drift.int8_accuracy, drift.same_label, drift.same_pairs) == (0.75, 0.5, 3, 7 / 8)
    assert "; same labels on 3 of 4 images, same answer on 87.50 % of the pairs of image and class, difference" in str(drift)
    assert drift.figures()["same_pairs"] == 7 / 8
    assert "same_pairs" not in measure_drift(np.zeros(4, np.int64), expected, found).figures()


@pytest.mark.parametrize(("lost", "is_refused"), [(2, False), (30, True)])
def test_a_loss_of_whole_sets_is_refused_if_chance_does_not_explain_it(lost: int, is_refused: bool) -> None:
    truth = np.ones((200, 5), np.bool_)
    expected, found = (np.full((200, 5), 0.9, np.float32) for _ in range(2))
    found[:lost, 3] = 0.1  # one pair of five: 97 % of the pairs are right, and 85 % of the sets
    drift = measure_drift(truth, expected, found, [0.5] * 5)
    if is_refused:
        with pytest.raises(UserError, match=r"worse than in float32 by more than 0.5 points beyond chance: accuracy 85.00 %"):
            drift.check("onnx")
    else:
        drift.check("onnx")
