"""The temperature against searches over a grid, and where data alone would give none."""

import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import expit, softmax
from scipy.stats import norm

from resnet.training.temperature import BOUND, fit_multi_label_calibration, fit_temperature

Logits = npt.NDArray[np.float64]


def drawn(images: int, classes: int, scale: float, seed: int = 0) -> tuple[npt.NDArray[np.int64], Logits]:
    """Labels that were drawn with the probabilities of some logits, and these logits multiplied by `scale`."""
    generator = np.random.default_rng(seed)
    logits = 2.0 * generator.normal(size=(images, classes))
    labels = (softmax(logits, axis=1).cumsum(axis=1) < generator.random((images, 1))).sum(axis=1)
    return labels, scale * logits


@pytest.mark.parametrize("scale", [0.2, 1.0, 5.0])
def test_a_known_temperature_is_found(scale: float) -> None:
    labels, logits = drawn(20_000, 5, scale)
    assert fit_temperature(labels, logits.astype(np.float32)) == pytest.approx(scale, rel=0.03)


@pytest.mark.parametrize("images", [1, 7, 179, 2000])
def test_it_is_the_lowest_point_of_a_grid(images: int) -> None:
    labels, logits = drawn(images, 4, 1.7, seed=images)
    grid = np.geomspace(1 / BOUND, BOUND, 4001)
    likely = [np.log(softmax(logits / one, axis=1)[np.arange(images), labels] + 1e-300).sum() for one in grid]
    costs = -np.array(likely) - norm(0, 0.35).logpdf(np.log(grid))
    assert fit_temperature(labels, logits) == pytest.approx(grid[np.argmin(costs)], rel=0.002)


def test_images_without_a_mistake_do_not_make_probabilities_of_one() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 10, 179)
    logits = 4.0 * np.eye(10)[labels] + generator.normal(size=(179, 10))
    assert (logits.argmax(axis=1) == labels).mean() > 0.95
    right = logits.argmax(axis=1) == labels
    found = [fit_temperature(labels[right][:images], logits[right][:images]) for images in (5, 20, 150)]
    assert 1 > found[0] > found[1] > found[2] > 0.3
    assert softmax(logits[right] / found[2], axis=1).max(axis=1).mean() < 0.999


@pytest.mark.parametrize(("images", "most"), [(10, 0.03), (14, 0.03), (100, 0.01)])
def test_few_images_hardly_spoil_probabilities_that_hold(images: int, most: float) -> None:
    test_labels, test_logits = drawn(4000, 10, 1.0)

    def loss(temperature: float) -> float:
        return float(-np.log(softmax(test_logits / temperature, axis=1)[np.arange(4000), test_labels]).mean())

    losses = [loss(fit_temperature(*drawn(images, 10, 1.0, seed=seed))) for seed in range(1, 41)]
    assert np.mean(losses) - loss(1.0) < most  # 0.013, 0.018 and 0.004; without the prior 0.061, 0.056 and 0.005
    wrong = [loss(fit_temperature(*drawn(images, 10, 2.0, seed=seed)) / 2.0) for seed in range(1, 41)]
    assert np.mean(wrong) < loss(0.5)  # such a network needs 2: it is better than with 1


def test_a_class_without_images_changes_nothing_else() -> None:
    labels, logits = drawn(5000, 4, 2.0)
    chosen = labels != 3
    assert fit_temperature(labels[chosen], logits[chosen]) == pytest.approx(2.0, rel=0.25)


def test_what_cannot_be_fitted_stays_as_it_is() -> None:
    assert fit_temperature(np.zeros(0, int), np.zeros((0, 3))) == 1.0
    assert fit_temperature(np.array([0, 1]), np.full((2, 3), 7.0)) == 1.0


def test_it_is_bounded() -> None:
    labels, logits = drawn(500, 3, 1.0)
    assert fit_temperature((labels + 1) % 3, 100 * logits) == pytest.approx(BOUND, rel=1e-4)
    assert fit_temperature(np.tile(labels, 99), np.tile(1e-2 * logits, (99, 1))) == pytest.approx(1 / BOUND, rel=1e-4)


def answered(
    images: int, classes: int, scale: float, shift: float = 0.0, seed: int = 0
) -> tuple[npt.NDArray[np.bool_], Logits]:
    """Whether images have classes, drawn with the probabilities of some logits, and these minus `shift`, times `scale`."""
    generator = np.random.default_rng(seed)
    logits = 2.0 * generator.normal(size=(images, classes)) - 1.0
    return generator.random(logits.shape) < expit(logits), scale * (logits - shift)


@pytest.mark.parametrize(("scale", "shift"), [(0.2, 0.0), (1.0, 0.7), (5.0, -1.5)])
def test_a_known_calibration_of_several_labels_is_found(scale: float, shift: float) -> None:
    truth, logits = answered(10_000, 6, scale, shift)
    temperature, offset = fit_multi_label_calibration(truth, logits.astype(np.float32))
    assert temperature == pytest.approx(scale, rel=0.03)
    assert offset == pytest.approx(shift, abs=0.05)


@pytest.mark.parametrize("images", [1, 9, 300])
def test_for_several_labels_it_is_the_lowest_point_of_a_grid(images: int) -> None:
    truth, logits = answered(images, 4, 1.7, 0.4, seed=images)

    def cost(temperature: float, offset: float) -> float:
        moved = logits / temperature + offset
        likely = np.log(np.where(truth, expit(moved), expit(-moved)) + 1e-300).sum()
        return float(-likely - norm(0, 0.35).logpdf(np.log(temperature)) - norm(0, 0.5).logpdf(offset))

    temperature, offset = fit_multi_label_calibration(truth, logits)
    least = cost(temperature, offset)
    around = [(temperature * factor, offset + step) for factor in (0.99, 1.0, 1.01) for step in (-0.01, 0.0, 0.01)]
    assert least == pytest.approx(min(cost(*one) for one in around), abs=1e-9)
    grid = [(one, other) for one in np.geomspace(0.3, 5, 40) for other in np.linspace(-2, 2, 41)]
    assert least <= min(cost(*one) for one in grid)


def test_several_labels_without_images_are_not_calibrated_and_few_hardly() -> None:
    assert fit_multi_label_calibration(np.zeros((0, 3), bool), np.zeros((0, 3))) == (1.0, 0.0)
    temperature, offset = fit_multi_label_calibration(np.ones((1, 3), bool), np.zeros((1, 3)))
    assert temperature == 1.0
    assert 0 < offset < 0.5


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_better_of_two_valleys_is_taken(seed: int) -> None:
    truth, logits = answered(100, 5, 0.01, seed=seed)
    assert fit_multi_label_calibration(truth, logits)[0] == pytest.approx(1 / BOUND, rel=1e-3)


def test_the_temperature_of_several_labels_is_bounded() -> None:
    truth, logits = answered(2_000, 3, 1.0)
    assert fit_multi_label_calibration(~truth, 1e3 * logits)[0] == pytest.approx(BOUND, rel=1e-4)
    assert fit_multi_label_calibration(np.ones((1000, 20), bool), np.full((1000, 20), -3e4))[1] == BOUND
