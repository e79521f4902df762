"""Comparing an export's probabilities with the model's."""

import numpy as np
import pytest

from resnet.core.errors import UserError
from resnet.export.agreement import measure_agreement
from resnet.export.labels import answers


def test_agreement_counts_labels_and_measures_probabilities() -> None:
    expected = np.array([[0.6, 0.4], [0.3, 0.7], [0.1, 0.9], [0.8, 0.2]], np.float32)
    found = expected + np.array([[0.0, 0.0], [0.25, -0.25], [0.0, 0.0], [0.0, 0.0]], np.float32)
    agreement = measure_agreement(expected, found)
    assert (agreement.images, agreement.same_label) == (4, 3)
    assert agreement.largest == pytest.approx(0.25)
    with pytest.raises(UserError, match="onnx does not agree with the model: same label on 3 of 4 images"):
        agreement.check("onnx", largest=1.0)
    with pytest.raises(UserError, match="at most 1e-01"):
        agreement.check("onnx", largest=0.1, same_label=0.5)
    agreement.check("onnx", largest=0.3, same_label=0.75)
    with pytest.raises(UserError):
        measure_agreement(expected, expected * np.nan).check("onnx")


def test_probabilities_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Received: \(2, 3\) and \(2, 2\)"):
        measure_agreement(np.zeros((2, 3), np.float32), np.zeros((2, 2), np.float32))


def test_sets_of_labels_agree_pair_by_pair() -> None:
    expected = np.array([[0.6, 0.4, 0.1], [0.3, 0.7, 0.2], [0.1, 0.9, 0.9], [0.0, 0.0, 0.0]], np.float32)
    found = expected + np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.25], [0.0, 0.0, 0.05], [0.0, 0.0, 0.0]], np.float32)
    thresholds = [0.5, 0.5, 0.4]
    agreement = measure_agreement(expected, found, thresholds)
    # Only the last class of the second image crosses its threshold; the most probable class of each image stays the same.
    assert (agreement.images, agreement.same_label, agreement.same_pairs) == (4, 3, 11 / 12)
    assert str(agreement).startswith("same labels on 3 of 4 images, same answer on 91.67 % of the pairs of image and class, ")
    agreement.check("onnx", largest=0.3, same_label=0.9)
    with pytest.raises(UserError, match=r"; expected the same answer on 95 % of the pairs and at most 3e-01: nothing was"):
        agreement.check("onnx", largest=0.3, same_label=0.95)
    with pytest.raises(UserError, match="at most 2e-01"):
        agreement.check("onnx", largest=0.2, same_label=0.9)


def test_a_probability_equal_to_its_threshold_is_a_label() -> None:
    found = np.array([[0.3, 0.3]], np.float32)
    assert answers(found, [0.3, 0.31]).tolist() == [[True, False]]
    assert answers(found, None).tolist() == [[0]]
