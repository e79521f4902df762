"""The arithmetic of the forecast. The expected figures are calculated by hand."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from commands.advice.forecast import Timing, between, epoch_seconds, epochs_within, forecast, over_sizes

TIMING = Timing(start=4.0, model=1.5, tracing=6.0, step=0.5, image=0.01)
DATA = SimpleNamespace(images=(330, 40, 100))
ARGUMENTS: Any = {"batch_size": 32, "samples": 32, "preprocess": 7.0}


def test_an_epoch_has_full_batches_of_training_and_all_validation_images() -> None:
    # 10 steps of 0.5 s; the last 10 of 330 images make no batch. 40 images of 0.01 s.
    assert epoch_seconds(TIMING, DATA, 32) == pytest.approx(5.4)


def test_each_part_of_the_run() -> None:
    found = forecast(TIMING, DATA, epochs=20, **ARGUMENTS)
    assert found.preprocess == 7
    assert found.build == pytest.approx(4 + 1.5 + 0.5)
    assert found.train == pytest.approx(6 + 6 + 20 * 5.4)
    # 100 test images once, 32 of them 50 times more.
    assert found.evaluate == pytest.approx(6 + 0.01 * (100 + 50 * 32))
    assert found.seconds == pytest.approx(7 + 6 + 120 + 23 + found.render + found.dvc)
    assert found.minutes == pytest.approx(found.seconds / 60)


def test_what_is_not_measured_takes_as_long_as_the_start_of_tensorflow_says() -> None:
    once, twice = (forecast(replace(TIMING, start=start), DATA, epochs=20, **ARGUMENTS) for start in (2.1, 4.2))
    assert [once.render, once.dvc] == pytest.approx([3.0, 12.8])
    assert [twice.render, twice.dvc] == pytest.approx([6.0, 25.6])


def test_few_test_images_have_few_occlusion_maps() -> None:
    few = SimpleNamespace(images=(330, 40, 3))
    assert forecast(TIMING, few, epochs=1, **ARGUMENTS).evaluate == pytest.approx(6 + 0.01 * 3 * 51)


@pytest.mark.parametrize(("more", "epochs"), [(0.1, 0), (5.3, 0), (5.5, 1), (54.1, 10), (-100, 0)])
def test_the_epochs_that_fit(more: float, epochs: int) -> None:
    without = forecast(TIMING, DATA, epochs=0, **ARGUMENTS).seconds
    assert epochs_within(without + more, TIMING, DATA, **ARGUMENTS) == epochs


def test_a_step_costs_a_constant_and_a_part_for_each_pixel() -> None:
    # step = 0.1 + size^2 / 40960, image = size^2 / 4096000
    small = 64, Timing(1.0, 2.0, 3.0, 0.2, 0.001)
    large = 128, Timing(1.5, 1.0, 4.0, 0.5, 0.004)
    found = between(small, large, 96)
    assert [found.step, found.image] == pytest.approx([0.325, 0.00225])
    assert (found.start, found.model, found.tracing) == (1.5, 2.0, 4.0)
    assert between(small, large, 256).step == pytest.approx(0.1 + 1.6)


def test_noise_of_a_measurement_gives_no_negative_time() -> None:
    assert between((64, TIMING), (128, Timing(4.0, 1.5, 6.0, 5.0, 0.1)), 32).step > 0


def test_shares_of_different_sizes_have_the_mean_time_and_compile_once_for_each_size() -> None:
    small, large = Timing(4.0, 1.5, 6.0, 0.1, 0.01), Timing(4.2, 1.5, 7.0, 0.4, 0.03)
    found = over_sizes([small, small, large])
    assert (found.start, found.tracing) == (4.2, 13.0)
    assert [found.step, found.image] == pytest.approx([0.2, 0.05 / 3])
