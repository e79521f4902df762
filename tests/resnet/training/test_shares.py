"""Which images of a batch each device gets, and where they are copied. Two real devices are in `tests/test_devices.py`."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from resnet.dataset.arrays import Split
from resnet.network.device_kernels import GPU, PROCESSOR, using
from resnet.training.shares import Delivery, share

IMAGES = np.arange(6 * 2 * 2 * 3, dtype=np.uint8).reshape(6, 2, 2, 3)


class TwoDevices:
    """Stands in for a strategy of two devices, which are both the processor; one process cannot divide it later."""

    num_replicas_in_sync = 2
    extended = SimpleNamespace(worker_devices=("CPU:0", "CPU:0"))

    def experimental_distribute_values_from_function(self, of: Callable[[Any], Any]) -> list[Any]:
        return [of(SimpleNamespace(replica_id_in_sync_group=number, num_replicas_in_sync=2)) for number in range(2)]


def test_a_share_is_a_stretch_of_the_batch_with_its_neighbour() -> None:
    assert share(6, 1, 3, neighbour=False).tolist() == [2, 3]
    assert [share(6, number, 3, neighbour=True).tolist() for number in range(3)] == [[0, 1, 2], [2, 3, 4], [4, 5, 0]]


@pytest.mark.parametrize("kind", [np.asarray, tf.constant])
def test_each_device_gets_its_share(kind: Callable[[Any], Any]) -> None:
    strategy: Any = TwoDevices()
    for neighbour, expected in ((False, ([0, 1, 2], [3, 4, 5])), (True, ([0, 1, 2, 3], [3, 4, 5, 0]))):
        found: Any = Delivery(strategy, neighbour=neighbour).shares(kind(IMAGES))
        for part, rows in zip(found, expected, strict=True):
            assert isinstance(part, tf.Tensor)
            np.testing.assert_array_equal(part, IMAGES[rows])
    assert Delivery(strategy, neighbour=True).shares(None) is None


@pytest.mark.parametrize("kind", [np.asarray, tf.constant])
def test_each_device_gets_its_share_of_each_batch_of_a_call(kind: Callable[[Any], Any]) -> None:
    strategy: Any = TwoDevices()
    three_batches = kind(np.concatenate([IMAGES, IMAGES + 100, IMAGES + 200]))
    for neighbour, expected in ((False, ([0, 1, 2], [3, 4, 5])), (True, ([0, 1, 2, 3], [3, 4, 5, 0]))):
        found: Any = Delivery(strategy, neighbour=neighbour).shares(three_batches, 3)
        for part, rows in zip(found, expected, strict=True):
            np.testing.assert_array_equal(part, np.stack([IMAGES[rows], IMAGES[rows] + 100, IMAGES[rows] + 200]))


@pytest.mark.parametrize("kind", [np.asarray, tf.constant])
def test_the_batches_of_a_call_are_stacked_for_a_single_device(kind: Callable[[Any], Any]) -> None:
    with using(PROCESSOR):
        delivery = Delivery(tf.distribute.get_strategy(), neighbour=False)
    np.testing.assert_array_equal(delivery.shares(kind(IMAGES), 3), [IMAGES[:2], IMAGES[2:4], IMAGES[4:]])
    given = delivery.batches(IMAGES, np.arange(6), tf.ones((6, 15)), size=32, aspects=None, steps=2)
    assert (given.labels.tolist(), given.draws.shape, given.size, given.aspects) == (
        [[0, 1, 2], [3, 4, 5]],
        (2, 3, 15),
        32,
        None,
    )


def test_a_processor_gets_the_batch_as_it_is() -> None:
    with using(PROCESSOR):
        delivery = Delivery(tf.distribute.get_strategy(), neighbour=True)
    assert delivery.shares(IMAGES) is IMAGES


def test_on_gpus_the_batch_is_copied_to_the_device_by_whatever_thread_reads_it(write_split: Callable[..., Path]) -> None:
    assert GPU.batches_on == "GPU:0"
    with using(replace(GPU, batches_on="CPU:0")):
        delivery = Delivery(tf.distribute.get_strategy(), neighbour=True)
    split, rows = Split(write_split("split", [0, 1, 2]), 3), np.array([2, 0])
    expected = split.gather(rows)
    for found in (delivery.shares(expected), delivery.images(split, rows), delivery.whole(split, rows)):  # outside of the block
        assert found.device.endswith("device:CPU:0")
        assert found.dtype == tf.uint8
        np.testing.assert_array_equal(found, expected)
    assert delivery.shares(None) is None
