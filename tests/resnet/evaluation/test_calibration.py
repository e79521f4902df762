"""The calibration error against its definition, and against networks of known calibration."""

import numpy as np
import pytest

from resnet.evaluation.calibration import error_by_chance, reliability


def guo(confidence: list[float], correct: list[bool]) -> float:
    """Guo et al. 2017, equation 3, written out with M = 15 and bins ((m - 1) / M, m / M]."""
    error = 0.0
    for m in range(1, 16):
        members = [i for i, p in enumerate(confidence) if (m - 1) / 15 < p <= m / 15]
        if members:
            accuracy = sum(correct[i] for i in members) / len(members)
            mean = sum(confidence[i] for i in members) / len(members)
            error += len(members) / len(confidence) * abs(accuracy - mean)
    return error


def test_the_error_is_that_of_the_definition() -> None:
    generator = np.random.default_rng(0)
    confidence = generator.uniform(0.05, 1.0, 500)
    correct = generator.random(500) < confidence**2
    assert reliability(confidence, correct).error == pytest.approx(guo(confidence.tolist(), correct.tolist()), abs=1e-12)


def test_a_bound_belongs_to_the_bin_below_it() -> None:
    found = reliability(np.array([0.2, 0.2000001, 1.0]), np.array([True, False, True]))
    assert np.flatnonzero(found.images).tolist() == [2, 3, 14]
    assert found.hits[[2, 3, 14]].tolist() == [1, 0, 1]
    assert found.confidence[[2, 3, 14]] == pytest.approx([0.2, 0.2000001, 1.0])


def test_what_chance_alone_gives_is_exceeded_by_one_calibrated_network_in_twenty() -> None:
    generator = np.random.default_rng(3)
    confidence = generator.uniform(0.3, 1.0, 200)
    limit = error_by_chance(confidence)
    beyond = [guo(confidence.tolist(), (generator.random(200) < confidence).tolist()) > limit for _ in range(400)]
    assert 0.02 < np.mean(beyond) < 0.09  # three standard deviations about 0.05


def test_a_network_that_is_too_sure_is_beyond_chance() -> None:
    confidence = np.full(400, 0.95)
    correct = np.arange(400) % 10 < 8
    error = reliability(confidence, correct).error
    assert error == pytest.approx(0.15)
    assert error > 3 * error_by_chance(confidence)
