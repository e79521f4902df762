"""Images that stay on the device give the same batches as copies, and never make a run fail or other parts."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from resnet.dataset.arrays import Split
from resnet.network.device_kernels import GPU, PROCESSOR, using
from resnet.training import kept
from resnet.training.augmentation import Augmentation
from resnet.training.hosts import Hosts
from resnet.training.kept import SHARE, Kept, room
from resnet.training.loop import Trainer
from resnet.training.parts import find_parts
from resnet.training.shares import Delivery
from tests.resnet.training.test_calls import BATCH, STEPS, fit, trainer
from tests.resnet.training.test_shares import TwoDevices
from tests.small_device import small_device

KEPT = replace(PROCESSOR, kept_bytes=1e9)
IMAGE = 32 * 32 * 3  # bytes


@pytest.fixture
def splits(separable: Callable[[str, int], Split]) -> tuple[Split, Split]:
    return separable("t", STEPS * BATCH + 5), separable("v", 12)


@pytest.fixture
def read(splits: tuple[Split, Split], monkeypatch: pytest.MonkeyPatch) -> dict[int, int]:
    """How many rows were read from the disk, by the number of images of the split."""
    rows: dict[int, int] = {}
    gather = Split.gather

    def counted(self: Split, wanted: np.ndarray) -> np.ndarray:
        rows[len(self)] = rows.get(len(self), 0) + len(wanted)
        return gather(self, wanted)

    monkeypatch.setattr(Split, "gather", counted)
    return rows


def test_the_images_are_those_of_the_split_whatever_the_size_of_a_chunk(
    splits: tuple[Split, Split], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "_CHUNK_BYTES", 10 * IMAGE)
    found = Kept(splits, [None, "CPU:0"], 1e9)
    assert found
    for split in splits:
        images, rows = found.of(split), np.arange(len(split))
        assert images is not None
        assert len(images) == 2
        for one in images:
            assert one.gather(rows).dtype == tf.uint8
            np.testing.assert_array_equal(one.gather(rows), split.gather(rows))
    found.drop()
    assert not found
    assert found.of(splits[0]) is None
    assert found.splits == splits


@pytest.mark.parametrize("size", [9, 10, 12])
def test_images_whose_bytes_fill_no_word_are_whole(size: int, write_split: Callable[..., Path]) -> None:
    split = Split(write_split("split", [0] * 5, size), 1)  # 243, 300 and 432 bytes an image
    assert not Kept([split], [None], 5 * size * size * 3 - 1)
    [images] = Kept([split], [None], 1e6).of(split) or []
    rows = np.array([[4, 0, 4], [1, 2, 3]])
    np.testing.assert_array_equal(images.gather(rows), split.gather(rows.ravel()).reshape(2, 3, size, size, 3))


@pytest.mark.parametrize(
    ("most", "expected"), [(61 + 12, [True, True]), (61 + 11, [True, False]), (61, [True, False]), (60, [False, False])]
)
def test_training_images_come_first(most: int, expected: list[bool], splits: tuple[Split, Split]) -> None:
    found = Kept(splits, [None], most * IMAGE)
    assert [found.of(split) is not None for split in splits] == expected
    assert bool(found) == any(expected)


@pytest.mark.parametrize("steps", [None, 3])
@pytest.mark.parametrize("neighbour", [False, True])
@pytest.mark.parametrize("strategy", [tf.distribute.get_strategy, TwoDevices])
def test_batches_from_kept_images_are_those_of_copies(
    strategy: Callable[[], Any], neighbour: bool, steps: int | None, splits: tuple[Split, Split]
) -> None:
    training, validation = splits
    rows = np.random.default_rng(0).permutation(61)[: BATCH * (steps or 1)]
    copies = Delivery(made := strategy(), neighbour=neighbour)
    held = Delivery(made, neighbour=neighbour, kept=Kept(splits, copies.devices, 1e9))
    for one, other in zip(
        tf.nest.flatten(held.images(training, rows, steps)), tf.nest.flatten(copies.images(training, rows, steps)), strict=True
    ):
        assert isinstance(one, tf.Tensor)
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(held.whole(validation, rows[:8] % 12), validation.gather(rows[:8] % 12))


@pytest.mark.parametrize("per_call", [1, 3])
@pytest.mark.parametrize("options", [{}, {"accumulate": 2, "augmentation": Augmentation(crop=0.5, mixup=0.3)}])
def test_a_run_has_the_same_bits_and_reads_each_image_once(
    options: dict[str, Any], per_call: int, splits: tuple[Split, Split], read: dict[int, int]
) -> None:
    expected = fit(trainer(**options), splits)
    assert read == {61: 2 * STEPS * BATCH, 12: 2 * 12}
    read.clear()
    with using(replace(KEPT, steps_per_call=per_call)):
        one = trainer(**options)
        assert fit(one, splits) == expected
    assert one.kept.of(splits[0]) is not None
    assert read == {61: 61, 12: 12}


def test_a_resumed_run_has_the_same_bits(splits: tuple[Split, Split]) -> None:
    taken: list[Any] = []
    one = trainer(precision="bfloat16")
    expected = fit(one, splits, lambda _: taken.append(one.state.snapshot()))
    for snapshot in (taken[2], taken[STEPS + 2]):
        with using(replace(KEPT, steps_per_call=3)):
            resumed = trainer(precision="bfloat16")
            resumed.state.restore(snapshot)
            assert fit(resumed, splits) == expected
            assert resumed.kept


def test_where_training_images_alone_fit_those_of_validation_are_copied(
    splits: tuple[Split, Split], read: dict[int, int]
) -> None:
    with using(replace(PROCESSOR, kept_bytes=61 * IMAGE)):
        fit(trainer(), splits)
    assert read == {61: 61, 12: 2 * 12}


def fail_after(monkeypatch: pytest.MonkeyPatch, calls: int, error: Exception) -> None:
    identity, done = tf.identity, [0]

    def failing(tensor: Any) -> Any:
        done[0] += 1
        if done[0] > calls:
            raise error
        return identity(tensor)

    monkeypatch.setattr("resnet.training.kept.tf.identity", failing)


OOM = tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor with shape[61,32,32,3] and type uint8")
# As TensorFlow 2.21 words it where it copies a tensor to a GPU.
NO_COPY = tf.errors.InternalError(None, None, "Failed copying input tensor from CPU:0 to GPU:0: Dst tensor is not initialized.")


@pytest.mark.parametrize("error", [OOM, NO_COPY])
@pytest.mark.parametrize(("copied", "expected"), [(0, [False, False]), (1, [True, False])])
def test_images_for_which_memory_is_missing_are_not_kept(
    copied: int, expected: list[bool], error: Exception, splits: tuple[Split, Split], monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_after(monkeypatch, copied, error)
    found = Kept(splits, [None], 1e9)
    assert [found.of(split) is not None for split in splits] == expected


def test_another_error_of_a_copy_is_not_hidden(splits: tuple[Split, Split], monkeypatch: pytest.MonkeyPatch) -> None:
    fail_after(monkeypatch, 0, tf.errors.InternalError(None, None, "the device is lost"))
    with pytest.raises(tf.errors.InternalError, match="lost"):
        Kept(splits, [None], 1e9)


def too_small_with_images(one: Trainer) -> list[bool]:
    """Lets steps fail as long as images are kept; returns whether they were, for each call."""
    seen: list[bool] = []
    call = one.call

    def failing(*batches: Any, **options: Any) -> Any:
        seen.append(bool(one.kept))
        found = call(*batches, **options)  # it changes the state
        if one.kept:
            raise OOM
        return found

    one.call = failing  # type: ignore[method-assign]
    return seen


def test_a_run_whose_steps_do_not_fit_beside_the_images_goes_on_with_copies(
    splits: tuple[Split, Split], read: dict[int, int]
) -> None:
    expected = fit(trainer(), splits)
    read.clear()
    with using(KEPT):
        one = trainer()
        seen = too_small_with_images(one)
        assert fit(one, splits) == expected
    assert seen == [True, *[False] * (2 * STEPS)]
    assert read == {61: 61 + 2 * STEPS * BATCH, 12: 12 + 2 * 12}


def test_kept_images_do_not_decide_the_number_of_parts(splits: tuple[Split, Split]) -> None:
    with using(KEPT):
        one = trainer()
        seen = too_small_with_images(one)
        assert find_parts(one, splits, BATCH) == 1
        assert seen == [True, False]
        two = trainer()
        small_device(two, 4)
        assert find_parts(two, splits, BATCH) == 2
        assert not two.kept  # the whole batch was tried without them, too


def test_images_that_fit_are_kept_from_the_trial_of_the_parts_on(splits: tuple[Split, Split], read: dict[int, int]) -> None:
    expected = fit(trainer(), splits)
    read.clear()
    with using(KEPT):
        one = trainer()
        assert find_parts(one, splits, BATCH) == 1
        assert one.kept
        assert fit(one, splits) == expected
    assert read == {61: 61, 12: 12}


@pytest.mark.parametrize(
    ("free", "most", "expected"),
    [(8e9, np.inf, SHARE * 8e9), (8e9, 1e9, 1e9), (None, np.inf, 0.0), (None, 0.0, 0.0)],
)
def test_the_room_on_gpus_is_a_share_of_their_free_memory(
    free: float | None, most: float, expected: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind])
    asked: list[int] = []
    monkeypatch.setattr(kept, "free_bytes", lambda devices: asked.append(devices) or free)  # type: ignore[func-returns-value]
    with using(replace(GPU, kept_bytes=most)):
        assert room(2) == expected
    assert asked == ([2] if most else [])


def test_several_hosts_keep_no_images(splits: tuple[Split, Split]) -> None:
    with using(replace(GPU, batches_on=None)):
        assert not trainer(hosts=Hosts(["host:1"] * 2), accumulate=2).keep(*splits)
        assert trainer(accumulate=2).keep(*splits)


def test_nothing_is_kept_on_processors() -> None:
    assert PROCESSOR.kept_bytes == 0
    with using(PROCESSOR):
        assert room(1) == 0


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        ("Identity", tf.int64),
        ("ConcatV2", tf.int64),
        ("GatherV2", tf.int64),
        ("Bitcast", tf.int64),
        ("Reshape", tf.uint8),
        ("StridedSlice", tf.uint8),
    ],
)
def test_tensorflow_has_kernels_on_gpus_for_what_is_done_with_kept_images(operation: str, kind: tf.DType) -> None:
    """Otherwise each step would take the images through main memory, in silence."""
    from tensorflow.python.framework import kernels

    found = [one for one in kernels.get_registered_kernels_for_op(operation).kernel if one.device_type in ("GPU", "DEFAULT")]
    types = {type_ for one in found for limit in one.constraint for type_ in limit.allowed_values.list.type}
    assert found
    assert not types or kind.as_datatype_enum in types
