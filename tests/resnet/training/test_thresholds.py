"""The thresholds against a search over all of them, and where there are too few images for one."""

import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import expit, logit
from sklearn.metrics import f1_score

from resnet.training.thresholds import fit_thresholds

LEAST = 20  # images with a class, and without it, that a threshold of its own needs


def drawn(images: int, shares: tuple[float, ...], seed: int = 0) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float32]]:
    """Whether images have classes, which occur in these shares, and the logits of their true probabilities."""
    generator = np.random.default_rng(seed)
    logits = logit(np.array(shares)) + 2.0 * generator.normal(size=(images, len(shares)))
    return generator.random(logits.shape) < expit(logits), logits.astype(np.float32)


def test_each_threshold_has_the_highest_f1_of_all() -> None:
    truth, logits = drawn(400, (0.5, 0.2, 0.1))
    probabilities = expit(logits)
    for number, threshold in enumerate(fit_thresholds(truth, logits)):
        own, labels = probabilities[:, number], truth[:, number]
        assert 0 < threshold < 1
        best = max(f1_score(labels, own >= one) for one in own)
        assert f1_score(labels, own >= threshold) == best


def test_with_probabilities_that_hold_it_is_half_of_the_f1() -> None:
    truth, logits = drawn(200_000, (0.3, 0.05), seed=1)
    for number, threshold in enumerate(fit_thresholds(truth, logits)):
        reached = f1_score(truth[:, number], expit(logits[:, number]) >= threshold)
        assert threshold == pytest.approx(reached / 2, abs=0.04)


def test_a_rare_class_has_the_threshold_of_all_pairs() -> None:
    truth, logits = drawn(300, (0.5, 0.4, 0.3), seed=2)
    truth[:, 1] = False
    truth[: LEAST - 1, 1] = True
    truth[:, 2] = True
    truth[: LEAST - 1, 2] = False
    first, rare, frequent = fit_thresholds(truth, logits)
    assert rare == frequent != first
    pairs, labels = expit(logits).ravel(), truth.ravel()
    assert f1_score(labels, pairs >= rare) == max(f1_score(labels, pairs >= one) for one in pairs)
    # Classes that every image has, or none, have no part in the common threshold.
    for value, own in ((True, 4.0), (True, -3.0), (False, 1.0)):
        constant = np.concatenate([truth, np.full((300, 3), value)], axis=1)
        more = np.concatenate([logits, np.full((300, 3), own, np.float32)], axis=1)
        assert fit_thresholds(constant, more) == [first, rare, frequent, *[rare] * 3]
    truth[LEAST - 1, 1] = True
    assert fit_thresholds(truth, logits)[1] != rare


@pytest.mark.parametrize("value", [False, True])
def test_without_a_difference_it_is_a_half(value: bool) -> None:
    assert fit_thresholds(np.full((30, 2), value), np.zeros((30, 2), np.float32)) == [0.5, 0.5]


def test_extreme_logits_give_numbers_between_zero_and_one() -> None:
    truth = np.arange(60)[:, np.newaxis] % 2 == np.array([0, 1])
    for sign in (1.0, -1.0):
        found = fit_thresholds(truth, np.where(truth, 500.0, -500.0).astype(np.float32) * sign)
        assert all(0 < one < 1 for one in found)
    assert fit_thresholds(truth, np.where(truth, 500.0, -500.0).astype(np.float32)) == [0.5, 0.5]
