"""The calibration error over pairs of image and class, against its definition and against networks of known calibration."""

import numpy as np
import pytest

from resnet.evaluation.pair_calibration import PairCalibration
from tests.resnet.evaluation.test_calibration import guo


def pairs(*tables: np.ndarray) -> PairCalibration:
    """Of tables of truth and probability, in turn."""
    found = PairCalibration()
    for truth, probabilities in zip(tables[::2], tables[1::2], strict=True):
        found.add(truth, probabilities)
    return found


def test_the_error_is_that_of_all_pairs_in_one_list() -> None:
    generator = np.random.default_rng(0)
    probabilities = generator.random((80, 7)) ** 3
    truth = generator.random((80, 7)) < probabilities**1.5
    found = pairs(truth[:30], probabilities[:30], truth[30:], probabilities[30:])
    expected = guo(probabilities.ravel().tolist(), truth.ravel().tolist())
    assert found.reliability().error == pytest.approx(expected, abs=1e-12)
    assert found.reliability().images.sum() == 560
    assert found.reliability().hits.sum() == truth.sum()
    assert found.error_by_chance() == pytest.approx(pairs(truth, probabilities).error_by_chance(), rel=1e-9)


@pytest.mark.parametrize("together", [False, True])
def test_what_chance_alone_gives_is_exceeded_by_one_calibrated_network_in_twenty(together: bool) -> None:
    """About so, also if the classes of an image come together, so that its pairs are one observation and not six."""
    generator = np.random.default_rng(5)
    beyond = []
    for _ in range(400):
        probabilities = np.repeat(generator.random((300, 1)), 6, axis=1) if together else generator.random((300, 6))
        truth = generator.random((300, 1 if together else 6)) < probabilities
        found = pairs(truth, probabilities)
        beyond.append(found.reliability().error > found.error_by_chance())
    assert 0.02 < np.mean(beyond) < 0.12


def test_pairs_of_different_images_vary_as_their_probabilities_say() -> None:
    probabilities = np.random.default_rng(1).random((90, 1))
    some, none = (pairs(np.full((90, 1), truth), probabilities).error_by_chance() for truth in (True, False))
    assert some == pytest.approx(none)  # whatever their labels are


def test_a_network_that_is_too_sure_is_beyond_chance() -> None:
    probabilities = np.full((200, 3), 0.95)
    truth = np.arange(600).reshape(200, 3) % 10 < 8
    found = pairs(truth, probabilities)
    assert found.reliability().error == pytest.approx(0.15)
    assert found.reliability().error > 3 * found.error_by_chance()
