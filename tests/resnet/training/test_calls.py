"""Several training steps in one call give the bits of single steps, and everything that is promised about single steps."""

import re
from collections.abc import Callable
from dataclasses import astuple, replace
from typing import Any

import keras
import numpy as np
import pytest

from resnet.core.errors import UserError
from resnet.core.label_sets import LabelSets
from resnet.dataset.arrays import Split
from resnet.network.device_kernels import GPU, PROCESSOR, using
from resnet.network.model import ResNet
from resnet.network.precision import dtype_policy
from resnet.training.augmentation import Augmentation
from resnet.training.calls import Calls, divide_into_calls
from resnet.training.loop import Trainer
from resnet.training.multi_label import MultiLabel
from resnet.training.optimizers import make_optimizer, warmup_cosine
from resnet.training.sizes import SizeSchedule
from resnet.training.state import Progress, Snapshot

STEPS, BATCH, EPOCHS = 7, 8, 2
THREE = replace(PROCESSOR, steps_per_call=3)  # 3, 3 and 1 of seven steps
RICH: dict[str, Any] = {
    "ema": 0.9,
    "freeze_epochs": 1,
    "sizes": SizeSchedule([16, 32], [EPOCHS]),
    "augmentation": Augmentation(flip=True, shift=0.1, crop=0.5, mixup=0.3, cutmix=0.5),
}
SEVERAL = MultiLabel(LabelSets.of_numbers([[1], [0, 1]], 2))


def trainer(optimizer: str = "adam", precision: str = "float32", rate: float | None = None, **options: Any) -> Trainer:
    keras.utils.set_random_seed(0)
    with dtype_policy(precision):
        model = ResNet((32, 32, 3), 2, blocks=(1,), width=4, zero_init_last_gamma=False)
    schedule = rate or warmup_cosine(0.01, EPOCHS * STEPS, 3)
    made = make_optimizer(optimizer, schedule, 0.9, 1e-3, model.trainable_variables, loss_scaling=precision == "float16")
    given: dict[str, Any] = {"augmentation": Augmentation(flip=True, shift=0.2), "label_smoothing": 0.1} | options
    return Trainer(model, made, **given)


def fit(one: Trainer, splits: tuple[Split, Split], on_step: Callable[[Progress], None] = lambda _: None) -> list[Any]:
    """Trains to the end; returns the bits of the state, the weights that are kept, and the history without times."""
    one.fit(*splits, epochs=EPOCHS, batch_size=BATCH, seed=3, on_step=on_step)
    arrays = [*one.state.snapshot().arrays.values(), *one.model.get_weights()]
    return [*(np.asarray(array).tobytes() for array in arrays), *(astuple(epoch)[:6] for epoch in one.state.history)]


@pytest.fixture
def splits(separable: Callable[[str, int], Split]) -> tuple[Split, Split]:
    return separable("t", STEPS * BATCH + 5), separable("v", 12)


def test_calls_are_aligned_to_the_start_of_the_epoch() -> None:
    calls = Calls(3, 1)
    assert calls.of_epoch(0, 7) == [range(3), range(3, 6), range(6, 7)]
    assert calls.of_epoch(3, 7) == [range(3, 6), range(6, 7)]
    assert calls.of_epoch(4, 9) == [range(4, 6), range(6, 9)]
    assert calls.of_epoch(7, 7) == []
    assert calls.of_epoch(0, 2) == [range(2)]
    assert Calls(1, 4).of_epoch(5, 7) == [range(5, 6), range(6, 7)]


@pytest.mark.parametrize(
    ("batch", "hosts", "expected"),
    [
        (64, 1, Calls(8, 1)),  # 8 x 64 images of 3 kB
        (5000, 1, Calls(4, 1)),  # 4 x 5,000 of them are 61 MB, and 64 MiB are allowed
        (30_000, 1, Calls(1, 4)),  # a single batch is larger: as many are started ahead as before
        (64, 2, Calls(1, 4)),
    ],
)
def test_a_call_has_the_steps_of_the_table_unless_images_are_large_or_hosts_agree(
    batch: int, hosts: int, expected: Calls, splits: tuple[Split, Split]
) -> None:
    with using(GPU):
        assert divide_into_calls(splits[0], batch, hosts) == expected
    with using(PROCESSOR):
        assert divide_into_calls(splits[0], batch, hosts) == Calls(1, 0)


@pytest.mark.parametrize(
    ("optimizer", "precision", "options"),
    [
        ("adam", "float32", {}),
        ("sgd", "bfloat16", {"accumulate": 2}),
        ("adamw", "float16", {"balanced": True, "class_weights": np.array([0.5, 1.5], np.float32)}),
        ("adam", "bfloat16", RICH),
        ("adam", "float32", RICH | {"accumulate": 4}),
        ("adam", "bfloat16", RICH | {"multi_label": SEVERAL}),
    ],
)
def test_several_steps_in_a_call_give_the_bits_of_single_steps(
    optimizer: str, precision: str, options: dict[str, Any], splits: tuple[Split, Split]
) -> None:
    seen: list[list[Progress]] = [[], []]
    expected = fit(trainer(optimizer, precision, **options), splits, seen[0].append)
    with using(replace(THREE, steps_ahead=4)):
        found = fit(trainer(optimizer, precision, **options), splits, seen[1].append)
    assert found == expected
    single, together = ([astuple(one)[:6] for one in steps] for steps in seen)
    assert single == together
    assert [(one.epoch, one.step) for one in seen[1]] == [(e, s) for e in (1, 2) for s in range(1, STEPS + 1)]


def test_images_that_were_squeezed_keep_their_aspects(separable: Callable[..., Split]) -> None:
    data = separable("t", STEPS * BATCH, aspect=1.5), separable("v", 8)
    expected = fit(trainer(augmentation=Augmentation(crop=0.5)), data)
    with using(THREE):
        assert fit(trainer(augmentation=Augmentation(crop=0.5)), data) == expected


@pytest.mark.parametrize("options", [{}, {"multi_label": SEVERAL}])
def test_a_run_resumes_at_the_end_of_a_call_bit_for_bit(splits: tuple[Split, Split], options: dict[str, Any]) -> None:
    expected = fit(trainer(**options), splits)
    taken: list[Snapshot] = []
    with using(THREE):
        one = trainer(**options)
        fit(one, splits, lambda _: taken.append(one.state.snapshot()))
        places = [(snapshot.facts["epoch"], snapshot.facts["step"]) for snapshot in taken]
        assert places == [(epoch, step) for epoch in (1, 2) for step in (3, 3, 3, 6, 6, 6, 7)]
        resumed = trainer(**options)
        for snapshot in taken:
            resumed.state.restore(snapshot)
            assert fit(resumed, splits) == expected


@pytest.mark.parametrize(("of_checkpoint", "of_resumed"), [(2, 3), (3, 2), (1, 3), (3, 1)])
def test_a_run_resumes_with_calls_of_another_length(of_checkpoint: int, of_resumed: int, splits: tuple[Split, Split]) -> None:
    expected = fit(trainer(), splits)
    taken: list[Snapshot] = []
    with using(replace(PROCESSOR, steps_per_call=of_checkpoint)):
        one = trainer()
        fit(one, splits, lambda _: taken.append(one.state.snapshot()))
    resumed = trainer()
    resumed.state.restore(next(snapshot for snapshot in taken if snapshot.facts["epoch"] == 2))
    with using(replace(PROCESSOR, steps_per_call=of_resumed)):
        assert fit(resumed, splits) == expected


@pytest.mark.parametrize("ahead", [0, 2, 6])
def test_a_loss_that_is_not_finite_names_its_step_within_the_call(ahead: int, splits: tuple[Split, Split]) -> None:
    one = trainer("sgd", rate=1e30)
    reported: list[Progress] = []
    with using(replace(THREE, steps_ahead=ahead)), pytest.raises(UserError) as caught:
        fit(one, splits, reported.append)
    assert re.match(
        r"the loss became (nan|inf) at step 2 of 7 in epoch 1, where the learning rate was 1e\+30", str(caught.value)
    )
    assert reported == []  # no checkpoint of what the failed step has left


def test_an_exception_from_a_callback_ends_the_run_with_the_state_of_a_call(splits: tuple[Split, Split]) -> None:
    with using(THREE):
        one = trainer()

        def stop(progress: Progress) -> None:
            if progress.step == 5:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fit(one, splits, stop)
    assert (one.state.epoch, one.state.step) == (1, 6)
    assert fit(one, splits) == fit(trainer(), splits)  # the same trainer goes on from there


def test_a_step_is_traced_once_for_calls_of_any_length(splits: tuple[Split, Split]) -> None:
    with using(THREE):
        one = trainer()
        fit(one, splits)
    assert one.train_step.experimental_get_tracing_count() == 1
    assert one.train_steps.experimental_get_tracing_count() == 2  # of three steps, and of the last one
    assert one.frozen_steps.experimental_get_tracing_count() == 0


def test_the_table_has_several_steps_on_gpus_alone() -> None:
    assert (PROCESSOR.steps_per_call, GPU.steps_per_call) == (1, 8)
