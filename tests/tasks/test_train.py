"""What the parameters of `train` come to."""

from typing import Any, get_args

import keras
import numpy as np
import pytest

from resnet.network.model import ResNet
from resnet.network.precision import PRECISIONS
from resnet.training.augmentation import Augmentation
from resnet.training.optimizers import OPTIMIZERS, FusedAdam
from tasks.train import Train, make_trainer

VALUES: dict[str, Any] = {
    "epochs": 4,
    "restarts": [],
    "batch_size": 8,
    "precision": "auto",
    "devices": 1,
    "optimizer": "adam",
    "learning_rate": 0.01,
    "warmup_epochs": 1.0,
    "momentum": 0.8,
    "weight_decay": 0.003,
    "label_smoothing": 0.2,
    "shift": 0.15,
    "flip": True,
    "class_weights": "none",
    "crop": 1.0,
    "trivial_augment": False,
    "mixup": 0.0,
    "cutmix": 0.0,
    "ema": 0.0,
    "accumulate": 1,
    "freeze_epochs": 0,
    "unfrozen_rate": 0.1,
    "patience": 0,
    "budget_minutes": 0.0,
}
MODEL = ResNet((32, 32, 3), 2, blocks=(1,), width=4)


def test_every_optimizer_can_be_named() -> None:
    assert get_args(Train.model_fields["optimizer"].annotation) == OPTIMIZERS


@pytest.mark.parametrize(
    ("name", "kind", "l2", "decoupled", "momentum"),
    [
        ("adam", FusedAdam, 0.003, None, "beta_1"),
        ("adamw", FusedAdam, 0.0, 0.003, "beta_1"),
        ("sgd", keras.optimizers.SGD, 0.003, None, "momentum"),
    ],
)
def test_every_parameter_reaches_its_place(name: str, kind: type, l2: float, decoupled: float | None, momentum: str) -> None:
    trainer = make_trainer(Train(**(VALUES | {"optimizer": name})), MODEL, steps_per_epoch=10)
    optimizer: Any = trainer.optimizer
    assert getattr(optimizer, momentum) == 0.8
    assert optimizer.weight_decay == decoupled
    assert type(optimizer) is kind
    assert trainer.l2 == l2
    assert trainer.label_smoothing == 0.2
    assert trainer.augmentation == Augmentation(flip=True, shift=0.15)


def test_the_learning_rate_follows_the_epochs() -> None:
    schedule = make_trainer(Train(**VALUES), MODEL, steps_per_epoch=10).optimizer._learning_rate
    assert float(schedule(10)) == pytest.approx(0.01)
    assert float(schedule(25)) == pytest.approx(0.005)
    assert float(schedule(40)) == pytest.approx(0.0, abs=1e-9)


def test_float16_alone_scales_the_loss() -> None:
    for precision in PRECISIONS:
        optimizer = make_trainer(Train(**VALUES), MODEL, 10, precision).optimizer
        assert isinstance(optimizer, keras.optimizers.LossScaleOptimizer) == (precision == "float16")


def test_every_precision_can_be_named() -> None:
    assert get_args(Train.model_fields["precision"].annotation) == ("auto", *PRECISIONS)


@pytest.mark.parametrize(("epochs", "warmup", "steps"), [(1, 0.99, 39), (10, 9.99, 39), (1, 0.5, 1), (1, 0.0, 1)])
def test_a_warm_up_of_almost_all_steps_leaves_one_to_fall(epochs: int, warmup: float, steps: int) -> None:
    params = Train(**(VALUES | {"epochs": epochs, "warmup_epochs": warmup}))
    schedule = make_trainer(params, MODEL, steps).optimizer._learning_rate
    assert 0 < float(schedule(epochs * steps - 1)) <= 0.01


def test_every_part_of_the_recipe_reaches_its_place() -> None:
    changes = {
        "crop": 0.4,
        "trivial_augment": True,
        "mixup": 0.3,
        "cutmix": 0.7,
        "ema": 0.95,
        "accumulate": 2,
        "freeze_epochs": 1,
        "unfrozen_rate": 0.5,
        "patience": 3,
        "budget_minutes": 2.0,
        "class_weights": "balanced",
    }
    labels = np.array([0, 0, 0, 1], np.uint16)
    trainer = make_trainer(Train(**(VALUES | changes)), MODEL, 10, labels=labels)
    assert trainer.augmentation == Augmentation(flip=True, shift=0.15, crop=0.4, trivial=True, mixup=0.3, cutmix=0.7)
    assert (trainer.accumulate, trainer.head_epochs, trainer.patience) == (2, 1, 3)
    assert trainer.class_weights is not None
    assert trainer.class_weights.tolist() == pytest.approx([4 / 6, 2])
    assert trainer.average is not None
    assert trainer.optimizer.head_steps == 10
    schedule = trainer.optimizer._learning_rate
    assert [float(schedule(step)) for step in (0, 9, 20)] == pytest.approx([0.01, 0.01, 0.005])
    assert float(schedule(30)) == pytest.approx(
        0.0025
    )  # half of the cosine, of 20 steps after 10 of the head and 10 of warm-up
    assert trainer.budget is not None
    assert float(trainer.budget.cosine_steps) == 20


def test_the_default_recipe_has_none_of_it() -> None:
    trainer = make_trainer(Train(**VALUES), MODEL, 10)
    assert (trainer.average, trainer.budget, trainer.class_weights) == (None, None, None)
    assert (trainer.accumulate, trainer.head_epochs, trainer.patience, trainer.augmentation.mixes) == (1, 0, 0, False)


def test_a_restart_is_at_the_rate_of_the_whole_network() -> None:
    changes = {"freeze_epochs": 1, "unfrozen_rate": 0.5, "restarts": [3]}
    schedule = make_trainer(Train(**(VALUES | changes)), MODEL, 10).optimizer._learning_rate
    assert [float(schedule(step)) for step in (9, 20, 30, 40)] == pytest.approx([0.01, 0.005, 0.005, 0.0], abs=1e-9)
