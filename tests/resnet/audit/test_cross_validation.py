"""Cross-validated accuracy."""

import numpy as np
import pytest

from resnet.audit.cross_validation import CrossValidation


def test_all_folds_are_pooled_and_their_spread_is_told() -> None:
    found = CrossValidation(images=(40, 60), hits=(38, 52))
    assert found.accuracy == 0.9
    # 90 of 100 by Wilson's formula: (0.9 + z²/200 ± z sqrt(0.09/100 + z²/40000)) / (1 + z²/100) with z = 1.96.
    assert found.interval == pytest.approx((0.8256, 0.9448), abs=1e-4)
    assert found.sentence() == (
        "cross-validated accuracy 90.00 % (95 % interval 82.56 to 94.48 %) of 100 images, each judged by a network that was "
        "not trained on it; the 2 folds have 86.67 to 95.00 %, standard deviation 5.89"
    )


def test_images_are_counted_by_fold() -> None:
    correct, fold = np.array([True, False, True, True, False]), np.array([0, 0, 1, 1, 1])
    assert CrossValidation.of(correct, fold) == CrossValidation(images=(2, 3), hits=(1, 2))
