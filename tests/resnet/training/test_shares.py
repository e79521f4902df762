"""Which images of a batch each device gets, and where they are copied. Two real devices are in `tests/test_devices.py`."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

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


def test_a_processor_gets_the_batch_as_it_is() -> None:
    with using(PROCESSOR):
        delivery = Delivery(tf.distribute.get_strategy(), neighbour=True)
    assert delivery.shares(IMAGES) is IMAGES
    assert delivery.whole(IMAGES) is IMAGES


def test_on_gpus_the_batch_is_copied_to_the_device_by_whatever_thread_reads_it() -> None:
    assert GPU.batches_on == "GPU:0"
    with using(replace(GPU, batches_on="CPU:0")):
        delivery = Delivery(tf.distribute.get_strategy(), neighbour=True)
    for found in (delivery.shares(IMAGES), delivery.whole(IMAGES)):  # outside of the block, as in another thread
        assert found.device.endswith("device:CPU:0")
        assert found.dtype == tf.uint8
        np.testing.assert_array_equal(found, IMAGES)
    assert delivery.shares(None) is None
