"""The measurement of steps, with a network of two blocks."""

import time
from pathlib import Path

import numpy as np
import pytest

from commands.advice.data_facts import Sample
from commands.advice.parameters import with_values
from commands.advice.stopwatch import Stopwatch, preprocess_seconds
from tests.imports import ROOT
from tests.pictures import picture


def test_every_part_of_a_network_is_measured_and_none_of_the_recipe_ends_it_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    text = Path("params.yaml").read_text("utf-8")
    tiny = {"build.blocks": [1, 1], "build.width": 4, "train.batch_size": 4, "train.patience": 1, "train.epochs": 9}
    tiny |= {"preprocess.image_size": 32, "preprocess.training_size": 40, "train.size_schedule": [8, 16], "train.crop": 0.5}
    began = time.perf_counter()
    timing = Stopwatch(3).time(with_values(text, tiny | {"train.restarts": [2, 5]}), 24)
    whole = time.perf_counter() - began
    assert min(timing.model, timing.step, timing.image, timing.tracing) > 0
    # Eight steps of training and four of validation, of four images.
    assert timing.start + timing.model + timing.tracing + 4 * timing.step + 8 * timing.image < whole


def test_preprocess_takes_as_long_for_each_image_as_decoding_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 13.0])
    monkeypatch.setattr("commands.advice.stopwatch.time.perf_counter", lambda: next(clock))
    sample = Sample([picture(number) for number in range(12)], np.zeros(12, np.int64))
    # 3 s for 12 images are 0.25 s for one; a second for what does not depend on their number.
    assert preprocess_seconds(sample, 400, 32) == pytest.approx(101.0)
