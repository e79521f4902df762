"""A time budget: how many epochs fit into it, and where the learning rate reaches zero."""

from collections.abc import Callable
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from resnet.dataset.arrays import Split
from resnet.network.model import ResNet
from resnet.training.augmentation import Augmentation
from resnet.training.budget import Budget
from resnet.training.loop import Trainer
from resnet.training.optimizers import make_optimizer, warmup_cosine
from resnet.training.sizes import SizeSchedule
from resnet.training.state import Epoch

EPOCH = Epoch(1, 1.0, 0.5, 1.0, 0.5, 0.1, 10.0, 100.0)


def history(seconds: list[float]) -> list[Epoch]:
    return [replace(EPOCH, epoch=number, seconds=time) for number, time in enumerate(seconds, start=1)]


@pytest.mark.parametrize(
    ("seconds", "last"),
    [([], 20), ([30.0], 3), ([30.0, 10.0], 8), ([30.0, 10.0, 15.0], 6), ([30, 10, 59], 3), ([120.0], 1), ([1.0], 20)],
)
def test_a_budget_of_100_seconds_holds_as_many_epochs_as_fit(seconds: list[float], last: int) -> None:
    budget = Budget(100.0, steps_per_epoch=10, before=5, steps=195)
    assert budget.last_epoch(history(seconds), 20) == last
    assert float(budget.cosine_steps) == last * 10 - 5


@pytest.mark.parametrize(
    ("seconds", "sizes", "last"),
    [
        # 15 s at 32 px make 60 s at 64 px. 85 s are left. A run of three epochs would have two more at 64 px: 120 s.
        ([15.0], [32], 2),
        ([15.0, 10.0], [32, 32], 3),
        ([15.0, 10.0, 10.0], [32, 32, 32], 4),
        # The epochs at 64 px turned out to take 20 s.
        ([15.0, 10.0, 25.0, 20.0], [32, 32, 64, 64], 5),
        ([15.0, 10.0, 60.0], [32, 32, 64], 3),
        ([120.0], [32], 1),
        ([], [], 20),
    ],
)
def test_a_budget_knows_that_larger_images_take_longer(seconds: list[float], sizes: list[int], last: int) -> None:
    budget = Budget(100.0, steps_per_epoch=10, before=5, steps=195, sizes=SizeSchedule([32, 64], (20,)))
    epochs = [replace(epoch, size=size) for epoch, size in zip(history(seconds), sizes, strict=True)]
    assert budget.last_epoch(epochs, 20) == last


def test_the_rate_comes_to_zero_where_the_budget_ends() -> None:
    budget = Budget(100.0, steps_per_epoch=10, before=5, steps=195)
    rate = tf.function(warmup_cosine(0.02, 200, 5, cosine_steps=budget.cosine_steps))
    assert float(rate(tf.constant(10))) > 0.0199
    budget.last_epoch(history([30.0, 20.0]), 20)  # two more: 40 steps in all, 35 of them in the cosine
    assert float(rate(tf.constant(5))) == pytest.approx(0.02)
    assert float(rate(tf.constant(5 + 14))) == pytest.approx(0.01 * (1 + np.cos(np.pi * 14 / 35)))
    assert float(rate(tf.constant(40))) == pytest.approx(0.0, abs=1e-9)


def test_a_run_without_time_ends_after_an_epoch(separable: Callable[[str, int], Split]) -> None:
    keras.utils.set_random_seed(0)
    model = ResNet((32, 32, 3), 2, blocks=(1,), width=4, zero_init_last_gamma=False)
    optimizer = make_optimizer("sgd", 0.1, 0.0, 0.0, model.trainable_variables)
    budget = Budget(0.01, steps_per_epoch=3, before=0, steps=12)
    one = Trainer(model, optimizer, augmentation=Augmentation(), budget=budget)
    one.fit(separable("t", 24), separable("v", 8), epochs=4, batch_size=8, seed=0)
    assert [epoch.epoch for epoch in one.state.history] == [1]
