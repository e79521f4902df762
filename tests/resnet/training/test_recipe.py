"""The trainer that a recipe describes, and all parts of a recipe together."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest

from resnet.dataset.arrays import Split
from resnet.network.model import ResNet
from resnet.network.precision import PRECISIONS
from resnet.training.augmentation import Augmentation
from resnet.training.loop import Trainer
from resnet.training.optimizers import FusedAdam, NesterovSGD
from resnet.training.recipe import Recipe, make_trainer
from resnet.training.state import Snapshot

RECIPE = Recipe(
    epochs=4,
    restarts=[],
    size_schedule=[],
    optimizer="adam",
    learning_rate=0.01,
    schedule="cosine",
    warmup_epochs=1.0,
    momentum=0.8,
    weight_decay=0.003,
    label_smoothing=0.2,
    balance="none",
    shift=0.15,
    flip=True,
    crop=1.0,
    trivial_augment=False,
    mixup=0.0,
    cutmix=0.0,
    ema=0.0,
    accumulate=1,
    freeze_epochs=0,
    unfrozen_rate=0.1,
    patience=0,
    budget_minutes=0.0,
)
EPOCHS, STEPS = 3, 2


def network() -> ResNet:
    keras.utils.set_random_seed(0)
    return ResNet((32, 32, 3), 2, blocks=(1,), width=4, zero_init_last_gamma=False)


MODEL = network()


def make(**changes: Any) -> Any:
    return make_trainer(replace(RECIPE, **changes), MODEL, steps_per_epoch=10)


@pytest.mark.parametrize(
    ("name", "kind", "l2", "decoupled", "momentum"),
    [
        ("adam", FusedAdam, 0.003, None, "beta_1"),
        ("adamw", FusedAdam, 0.0, 0.003, "beta_1"),
        ("sgd", NesterovSGD, 0.003, None, "momentum"),
    ],
)
def test_the_optimizer_gets_its_parameters(
    name: str, kind: type[Any], l2: float, decoupled: float | None, momentum: str
) -> None:
    optimizer: Any = make(optimizer=name).optimizer
    assert getattr(optimizer, momentum) == 0.8
    assert (optimizer.l2, optimizer.weight_decay) == (l2, decoupled)
    assert type(optimizer) is kind


def test_the_default_recipe_uses_none_of_its_options() -> None:
    trainer = make()
    assert trainer.label_smoothing == 0.2
    assert trainer.augmentation == Augmentation(flip=True, shift=0.15)
    assert (trainer.ema, trainer.budget, trainer.class_weights) == (None, None, None)
    assert (trainer.accumulate, trainer.freeze_epochs, trainer.patience, trainer.augmentation.mixes) == (1, 0, 0, False)


def test_every_option_reaches_the_trainer() -> None:
    recipe = replace(
        RECIPE,
        crop=0.4,
        trivial_augment=True,
        mixup=0.3,
        cutmix=0.7,
        ema=0.95,
        accumulate=2,
        freeze_epochs=1,
        unfrozen_rate=0.5,
        patience=3,
        budget_minutes=2.0,
        balance="weights",
    )
    trainer = make_trainer(recipe, MODEL, 10, labels=np.array([0, 0, 0, 1], np.uint16))
    assert trainer.augmentation == Augmentation(flip=True, shift=0.15, crop=0.4, trivial_augment=True, mixup=0.3, cutmix=0.7)
    assert (trainer.accumulate, trainer.freeze_epochs, trainer.patience) == (2, 1, 3)
    assert trainer.class_weights is not None
    assert trainer.class_weights.tolist() == pytest.approx([4 / 6, 2])
    assert trainer.ema is not None
    assert trainer.optimizer.freeze_steps == 10
    schedule = trainer.optimizer._learning_rate
    assert [float(schedule(step)) for step in (0, 9, 20)] == pytest.approx([0.01, 0.01, 0.005])
    # Half of the cosine: it has 20 steps, after 10 frozen ones and 10 of warm-up.
    assert float(schedule(30)) == pytest.approx(0.0025)
    assert trainer.budget is not None
    assert float(trainer.budget.cosine_steps) == 20


def test_the_learning_rate_follows_the_epochs() -> None:
    schedule = make().optimizer._learning_rate
    assert float(schedule(10)) == pytest.approx(0.01)
    assert float(schedule(25)) == pytest.approx(0.005)
    assert float(schedule(40)) == pytest.approx(0.0, abs=1e-9)


def test_one_cycle_takes_the_whole_run() -> None:
    schedule = make(schedule="one_cycle").optimizer._learning_rate
    # 40 steps: the top is at 0.3 * 40 - 1, the first rate is a 25th, and a line leads to step 39.
    assert [float(schedule(step)) for step in (0, 11, 25, 39)] == pytest.approx([0.0004, 0.01, 0.005, 0.0], abs=1e-7)
    later = make(schedule="one_cycle", freeze_epochs=1, unfrozen_rate=0.5).optimizer._learning_rate
    assert [float(later(step)) for step in (0, 9, 10, 18)] == pytest.approx([0.01, 0.01, 0.0002, 0.005])
    assert replace(RECIPE, schedule="one_cycle", freeze_epochs=1).rise_epochs == pytest.approx(0.9)


def test_one_cycle_ends_where_the_budget_ends() -> None:
    trainer = make(schedule="one_cycle", budget_minutes=1.0)
    assert trainer.budget is not None
    trainer.budget.cosine_steps.assign(20.0)
    schedule = trainer.optimizer._learning_rate
    assert [float(schedule(step)) for step in (0, 5, 12, 19)] == pytest.approx([0.0004, 0.01, 0.005, 0.0], abs=1e-7)


def test_only_float16_scales_the_loss() -> None:
    for precision in PRECISIONS:
        optimizer = make_trainer(RECIPE, MODEL, 10, precision).optimizer
        assert isinstance(optimizer, keras.optimizers.LossScaleOptimizer) == (precision == "float16")


@pytest.mark.parametrize(("epochs", "warmup", "steps"), [(1, 0.99, 39), (10, 9.99, 39), (1, 0.5, 1), (1, 0.0, 1)])
def test_a_warm_up_of_almost_all_steps_leaves_one_for_the_cosine(epochs: int, warmup: float, steps: int) -> None:
    recipe = replace(RECIPE, epochs=epochs, warmup_epochs=warmup)
    schedule = make_trainer(recipe, MODEL, steps).optimizer._learning_rate
    assert 0 < float(schedule(epochs * steps - 1)) <= 0.01


@pytest.mark.parametrize(
    ("epochs", "restarts", "freeze", "warmup", "expected"),
    [
        (10, [], 0, 1.0, 1.0),
        (2, [], 0, 1.0, 1.0),
        (1, [], 0, 1.0, 0.5),
        (1, [], 0, 0.9, 0.9),
        (3, [], 2, 1.0, 0.5),
        (9, [1], 0, 1.0, 0.5),
        (4, [], 0, 20.0, 2.0),
        (1, [], 0, 0.0, 0.0),
    ],
)
def test_a_warm_up_without_room_takes_half_of_the_first_phase(
    epochs: int, restarts: list[int], freeze: int, warmup: float, expected: float
) -> None:
    changes: dict[str, Any] = {"epochs": epochs, "restarts": restarts, "freeze_epochs": freeze, "warmup_epochs": warmup}
    assert replace(RECIPE, **changes).rise_epochs == expected


def test_one_epoch_rises_to_its_middle_and_falls_to_zero() -> None:
    schedule = make(epochs=1).optimizer._learning_rate
    assert [float(schedule(step)) for step in (0, 5, 10)] == pytest.approx([0.01 / 6, 0.01, 0.0], abs=1e-9)


def test_a_restart_starts_at_the_rate_of_the_whole_network() -> None:
    schedule = make(freeze_epochs=1, unfrozen_rate=0.5, restarts=[3]).optimizer._learning_rate
    assert [float(schedule(step)) for step in (9, 20, 30, 40)] == pytest.approx([0.01, 0.005, 0.005, 0.0], abs=1e-9)


def full(model: ResNet) -> Trainer:
    """The trainer of a recipe with everything but a budget."""
    recipe = replace(
        RECIPE,
        epochs=EPOCHS,
        size_schedule=[16, 32],
        optimizer="adamw",
        warmup_epochs=0.5,
        crop=0.5,
        trivial_augment=True,
        mixup=0.2,
        cutmix=1.0,
        flip="alternate",
        balance="sampling",
        accumulate=2,
        ema=0.9,
        freeze_epochs=1,
        patience=2,
    )
    return make_trainer(recipe, model, STEPS, labels=np.array([0, 0, 0, 1], np.uint16))


def outcome(one: Trainer) -> list[bytes]:
    return [np.asarray(array).tobytes() for array in (*one.model.get_weights(), *one.state.snapshot().arrays.values())]


def test_a_run_with_all_options_is_the_same_after_a_resume_from_anywhere(separable: Callable[..., Split]) -> None:
    splits = separable("t", 8 * STEPS + 3, size=40, aspect=1.5), separable("v", 12)

    def fit(one: Trainer) -> list[Snapshot]:
        taken: list[Snapshot] = []

        def take(*_: object) -> None:
            taken.append(one.state.snapshot())

        one.fit(*splits, epochs=EPOCHS, batch_size=8, seed=3, on_step=take, on_validation_step=take, on_epoch=take)
        return taken

    undisturbed = full(network())
    taken = fit(undisturbed)
    assert [epoch.size for epoch in undisturbed.state.history] == [16, 32, 32]
    again = full(network())
    fit(again)
    assert outcome(again) == outcome(undisturbed)
    for snapshot in taken[::3]:  # in the middle of epochs, of validation, and between epochs
        again.state.restore(snapshot)
        fit(again)
        assert outcome(again) == outcome(undisturbed)
    best = [epoch.val_loss for epoch in undisturbed.state.history].index(undisturbed.state.least)
    at_its_end = next(snapshot for snapshot in taken if snapshot.facts["epoch"] == best + 2)
    averages = [array for name, array in sorted(at_its_end.arrays.items()) if name.startswith("ema/")]
    assert all(np.array_equal(kept, one) for kept, one in zip(undisturbed.model.get_weights(), averages, strict=True))
