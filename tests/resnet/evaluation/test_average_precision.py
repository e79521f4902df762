"""Average precision, and its derivatives against those that scikit-learn's weights give."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from resnet.evaluation.average_precision import average_precisions, influence_on_average_precision


def test_a_class_without_images_has_no_average_precision() -> None:
    truth = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0]], np.bool_)
    logits = np.array([[3, 1, 9], [2, 2, 9], [1, 3, 9]], np.float32)
    # Class 0 has its images on places 1 and 3, class 1 on places 1 and 2.
    assert average_precisions(truth, logits) == pytest.approx([(1 / 1 + 2 / 3) / 2, 1.0, np.nan], nan_ok=True)


@pytest.mark.parametrize("levels", [4, 1000])  # with four, most images have the logit of others
def test_the_derivatives_are_those_of_the_weights(levels: int) -> None:
    generator = np.random.default_rng(levels)
    truth = generator.random(60) < 0.3
    logits = (generator.integers(0, levels, 60) + truth).astype(np.float32)
    found = influence_on_average_precision(truth, logits)
    step = 1e-6
    for row in range(60):
        up, down = np.ones(60), np.ones(60)
        up[row], down[row] = 1 + step, 1 - step
        ends = [average_precision_score(truth, logits, sample_weight=weights) for weights in (up, down)]
        assert found[row] == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=1e-7)
    assert found.sum() == pytest.approx(0, abs=1e-12)


def test_no_image_changes_a_perfect_order() -> None:
    truth = np.array([True, True, False, False])
    assert not influence_on_average_precision(truth, np.array([4, 3, 2, 1], np.float32)).any()
