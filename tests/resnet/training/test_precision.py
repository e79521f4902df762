"""Training in 16 bits: close to float32, reproducible, and without lost gradients."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from resnet.dataset.arrays import Split
from resnet.native.library import load
from resnet.network.model import ResNet
from resnet.network.saving import load_model, save_model
from resnet.training import loop
from resnet.training.augmentation import DRAWS, Augmentation
from resnet.training.loop import Trainer
from resnet.training.optimizers import make_optimizer

if TYPE_CHECKING:
    from resnet.training.state import Epoch

CLASSES = ["dark", "bright"]
IMAGES = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
LABELS = np.arange(8, dtype=np.uint16) % 2


@pytest.fixture
def trainer(tmp_path: Path) -> Callable[..., Trainer]:
    """Makes trainers of the same initial network in a precision."""
    keras.utils.set_random_seed(0)
    model = ResNet((32, 32, 3), 2, blocks=(1, 1), width=8, zero_init_last_gamma=False, class_names=CLASSES)
    save_model(model, tmp_path / "model.keras")

    def make(precision: str, name: str = "adam", rate: float = 0.003, weight_decay: float = 1e-4, **options: Any) -> Trainer:
        model = load_model(tmp_path / "model.keras", CLASSES, (32, 32, 3), precision)
        scaling = precision == "float16"
        optimizer = make_optimizer(name, rate, 0.9, weight_decay, model.trainable_variables, loss_scaling=scaling)
        return Trainer(model, optimizer, augmentation=Augmentation(), label_smoothing=0.1, **options)

    return make


def step(one: Trainer) -> float:
    return float(one.train_step(tf.constant(IMAGES), tf.constant(LABELS), tf.fill((8, DRAWS), 0.9))[0])


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_it_learns_as_in_float32(
    precision: str, trainer: Callable[..., Trainer], separable: Callable[[str, int], Split]
) -> None:
    training, validation = separable("t", 40), separable("v", 16)
    results: dict[str, list[Epoch]] = {}
    for name in ("float32", precision):
        results[name] = []
        trainer(name).fit(training, validation, epochs=3, batch_size=8, seed=0, on_epoch=results[name].append)
    for ours, theirs in zip(results[precision], results["float32"], strict=True):
        assert ours.loss == pytest.approx(theirs.loss, abs=0.1)
    assert results[precision][-1].accuracy == 1.0


def test_bfloat16_gives_the_same_weights_each_time(
    trainer: Callable[..., Trainer], separable: Callable[[str, int], Split]
) -> None:
    training, validation = separable("t", 40), separable("v", 8)
    weights = []
    for _ in range(2):
        one = trainer("bfloat16")
        one.fit(training, validation, epochs=2, batch_size=8, seed=0)
        weights.append(one.model.get_weights())
    assert all(np.array_equal(first, second) for first, second in zip(*weights, strict=True))


@pytest.mark.skipif(load() is None, reason="the library has not been compiled; `make setup` does that")
@pytest.mark.parametrize(("name", "options"), [("adam", {"accumulate": 2, "ema": 0.9}), ("adamw", {}), ("sgd", {})])
def test_the_update_in_one_operation_gives_the_same_bits(
    trainer: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch, name: str, options: dict[str, Any]
) -> None:
    seen = []
    for at_once in (True, False):
        if not at_once:
            monkeypatch.setattr(loop, "updates_at_once", lambda _: False)
        one = trainer("bfloat16", name, 0.01, 0.1, **options)
        graph = one.train_step.get_concrete_function(tf.constant(IMAGES), tf.constant(LABELS), tf.fill((8, DRAWS), 0.9)).graph
        assert at_once == any(op.type in ("ResnetAdam", "ResnetSgd") for op in graph.get_operations())
        one.frozen_step(tf.constant(IMAGES), tf.constant(LABELS), tf.fill((8, DRAWS), 0.9))
        losses = [step(one) for _ in range(3)]
        seen.append([losses, *one.model.get_weights(), *one.state.snapshot().arrays.values()])
    for first, second in zip(*seen, strict=True):
        np.testing.assert_array_equal(first, second)


def test_bfloat16_resumes_with_the_same_bits(trainer: Callable[..., Trainer], separable: Callable[[str, int], Split]) -> None:
    splits, taken = (separable("t", 24), separable("v", 8)), []
    whole, resumed = trainer("bfloat16"), trainer("bfloat16")
    whole.fit(*splits, epochs=2, batch_size=8, seed=0, on_step=lambda _: taken.append(whole.state.snapshot()))

    resumed.state.restore(taken[3])
    resumed.fit(*splits, epochs=2, batch_size=8, seed=0)

    for one, other in zip(whole.model.get_weights(), resumed.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_scaled_loss_changes_neither_the_update_nor_the_weight_decay(trainer: Callable[..., Trainer]) -> None:
    plain, scaled = trainer("float32", "sgd", 0.1, 0.5), trainer("float32", "sgd", 0.1, 0.5)
    variables = scaled.model.trainable_variables
    scaled.optimizer = make_optimizer("sgd", 0.1, 0.9, 0.5, variables, loss_scaling=True)
    assert step(plain) == step(scaled)
    assert float(scaled.optimizer.dynamic_scale) == 2.0**15
    for one, other in zip(plain.model.get_weights(), scaled.model.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_an_overflow_skips_the_step_and_halves_the_factor(trainer: Callable[..., Trainer]) -> None:
    one = trainer("float16")
    one.optimizer.dynamic_scale.assign(1e30)
    before = [variable.numpy() for variable in one.model.trainable_variables]
    assert np.isfinite(step(one))
    assert float(one.optimizer.dynamic_scale) == pytest.approx(5e29)
    assert all(np.array_equal(then, now.numpy()) for then, now in zip(before, one.model.trainable_variables, strict=True))
    assert int(one.optimizer.iterations) == 0


@pytest.mark.parametrize("value", [np.nan, np.copysign(np.nan, -1), np.inf])
def test_numbers_that_are_not_finite_inside_the_network_reach_the_loss(trainer: Callable[..., Trainer], value: float) -> None:
    one = trainer("bfloat16")
    offset = one.model.get_layer("conv2_block1_2_bn").beta
    offset.assign(np.full(offset.shape, value))
    assert np.isnan(step(one))
