"""Finding the number of parts in which a step fits into memory, and the sentences where it does not."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from resnet.core.errors import UserError
from resnet.dataset.arrays import Split
from resnet.network.device_kernels import PROCESSOR, using
from resnet.training.augmentation import Augmentation
from resnet.training.hosts import Hosts
from resnet.training.parts import enough_for_step, find_parts
from resnet.training.sizes import SizeSchedule
from tests.resnet.training.test_loop import network, trainer
from tests.small_device import small_device


def exhaust(*_: Any) -> None:
    raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")


@pytest.mark.parametrize(
    ("batch", "most", "first", "parts"), [(8, 8, 1, [1]), (8, 3, 1, [1, 2, 4]), (8, 8, 4, [4]), (9, 4, 1, [1, 3])]
)
def test_the_fewest_parts_in_which_the_step_fits_are_found(
    batch: int, most: int, first: int, parts: list[int], separable: Callable[[str, int], Split]
) -> None:
    one = trainer(network(2, blocks=1))
    seen = small_device(one, most)
    assert find_parts(one, (separable("t", 16), separable("v", 8)), batch, first) == one.accumulate == parts[-1]
    assert one.tried
    assert {images for images, _ in seen} == {batch // number for number in parts}


def test_a_trial_leaves_no_trace_in_the_run(separable: Callable[[str, int], Split]) -> None:
    options: dict[str, Any] = {"name": "adam", "ema": 0.9, "augmentation": Augmentation(shift=0.1, mixup=0.2)}
    training, validation = separable("t", 20), separable("v", 8)
    tried, untried = trainer(network(2, blocks=1), **options), trainer(network(2, blocks=1), **options, accumulate=4)
    small_device(tried, 2)
    find_parts(tried, (training, validation), 8)
    before, after = untried.state.snapshot(), tried.state.snapshot()
    assert before.facts == after.facts
    assert before.arrays.keys() == after.arrays.keys()
    assert all(np.array_equal(before.arrays[name], after.arrays[name]) for name in before.arrays)
    for one in (tried, untried):
        one.fit(training, validation, epochs=1, batch_size=8, seed=3)
    pairs = zip(tried.model.get_weights(), untried.model.get_weights(), strict=True)
    assert all(np.array_equal(one, other) for one, other in pairs)


def test_the_trial_has_the_largest_size_of_the_run(separable: Callable[[str, int], Split]) -> None:
    one = trainer(network(2, blocks=1), sizes=SizeSchedule([16, 32, 24], [3]), freeze_epochs=1)
    seen = small_device(one, 8)
    find_parts(one, (separable("t", 16), separable("v", 8)), 8)
    assert seen == [(8, 32)]


def test_the_trial_has_the_batches_of_the_largest_call(separable: Callable[[str, int], Split]) -> None:
    one = trainer(network(2, blocks=1))
    given: list[tuple[tuple[int, ...], int]] = []
    call, delivery = one.call, one.delivery
    copies: list[int] = []

    def counted() -> Any:
        made: Any = delivery()
        shares = made.shares

        def counting(batches: Any, steps: int | None = None) -> Any:
            copies.append(np.ndim(batches))
            return shares(batches, steps)

        made.shares = counting
        return made

    def noting(batches: Any, **options: Any) -> Any:
        given.append((tuple(batches.images.shape), sum(axes == 4 for axes in copies)))
        return call(batches, **options)

    one.call, one.delivery = noting, counted  # type: ignore[method-assign]
    before = one.state.snapshot()
    for steps, ahead, images in ((1, 0, 16), (1, 4, 16), (3, 4, 64), (3, 0, 16)):
        copies.clear()
        with using(replace(PROCESSOR, steps_per_call=steps, steps_ahead=ahead)):
            find_parts(one, (separable("t" * (len(given) + 1), images), separable("v" * (len(given) + 1), 8)), 8)
    image = (32, 32, 3)
    # Two steps are all that 16 images give. On the device are the call that computes, those ahead, and the next one.
    assert given == [((8, *image), 2), ((8, *image), 6), ((3, 8, *image), 4), ((2, 8, *image), 2)]
    after = one.state.snapshot()
    assert all(np.array_equal(before.arrays[name], after.arrays[name]) for name in before.arrays)


def test_a_batch_that_cannot_be_divided_further_is_refused(separable: Callable[[str, int], Split]) -> None:
    one = trainer(network(2, blocks=1))
    small_device(one, 0)
    weights = one.model.get_weights()
    sentence = (
        "a step of 3 images of 32 x 32 pixels in 3 parts needs more memory than is free, and the batch cannot be divided into "
        "more parts: lower the size of the images or build.width."
    )
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}$"):
        find_parts(one, (separable("t", 16), separable("v", 8)), 3)
    assert all(np.array_equal(now, then) for now, then in zip(one.model.get_weights(), weights, strict=True))
    assert not one.tried


@pytest.mark.parametrize(
    ("batch", "parts", "tried", "hosts", "sentence"),
    [
        (
            8,
            1,
            False,
            1,
            "pixels needs more memory than is free: set train.accumulate to auto or 2, or lower train.batch_size.",
        ),
        (6, 3, False, 1, "pixels in 3 parts needs more memory than is free: set train.accumulate to auto or 6, or lower"),
        (4, 4, False, 1, "pixels in 4 parts needs more memory than is free: lower train.batch_size."),
        (8, 2, False, 2, "pixels in 2 parts needs more memory than is free: lower train.batch_size."),
        (
            8,
            2,
            True,
            1,
            "free: it fitted when training began, so end what else uses that memory, and run the same command to go on from "
            "the last checkpoint, or set train.accumulate to 4, which is another run.",
        ),
    ],
)
def test_memory_that_is_used_up_in_a_step_is_one_sentence(
    batch: int, parts: int, tried: bool, hosts: int, sentence: str
) -> None:
    one = trainer(network(2, blocks=1), accumulate=parts, hosts=Hosts(["host:1"] * hosts))
    one.tried = tried
    with pytest.raises(UserError) as caught, enough_for_step(one, batch):
        exhaust()
    assert str(caught.value).startswith(f"a step of {batch} images of 32 x 32 ")
    assert sentence in str(caught.value)


def test_a_run_without_enough_memory_ends_with_the_size_of_its_step(separable: Callable[[str, int], Split]) -> None:
    one = trainer(network(2, blocks=1), sizes=SizeSchedule([16], [1]))
    small_device(one, 4)
    steps: list[Any] = []
    sentence = (
        "a step of 8 images of 16 x 16 pixels needs more memory than is free: set train.accumulate to auto or 2, or lower "
        "train.batch_size."
    )
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}$"):
        one.fit(separable("t", 16), separable("v", 8), epochs=1, batch_size=8, seed=0, on_step=steps.append)
    assert steps == []  # no checkpoint of what the failed step has left


def test_a_validation_without_enough_memory_names_the_batch(separable: Callable[[str, int], Split]) -> None:
    one = trainer(network(2, blocks=1))
    one.validation_step = exhaust
    sentence = "validation with 8 images of 32 x 32 pixels at a time needs more memory than is free: lower train.batch_size."
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}$"):
        one.fit(separable("t", 8), separable("v", 8), epochs=1, batch_size=8, seed=0)
