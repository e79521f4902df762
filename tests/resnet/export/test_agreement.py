"""Comparing an export's probabilities with the model's."""

import numpy as np
import pytest

from resnet.core.errors import UserError
from resnet.export.agreement import measure_agreement


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
