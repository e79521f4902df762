"""How a batch reaches the devices: each gets its share, on GPUs already while the step before it runs."""

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from resnet.network.device_kernels import kernels


def share(batch_size: int, number: int, count: int, *, neighbour: bool) -> npt.NDArray[np.int64]:
    """Which images of a batch one of several devices or hosts computes, in their order.

    Args:
        batch_size: a multiple of `count`.
        number: of the device or host, from 0.
        count: devices or hosts.
        neighbour: whether the share is followed by the first image of the next one, or the last share by the first image of the
            batch: mixup and CutMix need it.

    Returns:
        (batch_size / count,) positions in the batch, or one more with the neighbour.
    """
    size = batch_size // count
    return np.arange(number * size, (number + 1) * size + neighbour) % batch_size


class Delivery:
    """Takes batches to the devices of a strategy.

    The reading thread calls it for the images, so they are copied while a step runs. Each device gets nothing but its share,
    and does not augment the rest.

    Args:
        strategy: that shares each batch.
        neighbour: as in `share`.
    """

    def __init__(self, strategy: tf.distribute.Strategy, *, neighbour: bool) -> None:
        self._strategy = strategy
        self._neighbour = neighbour
        self._ahead = kernels().batches_on  # asked here: what tests and benchmarks choose is not chosen in another thread

    def whole(self, batch: Any) -> Any:
        """The batch, on the device that the kernels of this machine name, or as it is if they name none."""
        if self._ahead is None or batch is None:
            return batch
        with tf.device(self._ahead):
            return tf.identity(batch)

    def shares(self, batch: Any) -> Any:
        """The shares of the devices, for `Strategy.run`; for a single device as `whole`.

        Args:
            batch: an array or tensor (batch, ...), or None.
        """
        if self._strategy.num_replicas_in_sync == 1 or batch is None:
            return self.whole(batch)
        return self._strategy.experimental_distribute_values_from_function(lambda device: self._share(batch, device))

    def _share(self, batch: Any, device: tf.distribute.experimental.ValueContext) -> tf.Tensor:
        number, count = device.replica_id_in_sync_group, device.num_replicas_in_sync
        rows = share(batch.shape[0], number, count, neighbour=self._neighbour)
        # An array is cut before it is copied. The numbers of a tensor, which are few, may be on a GPU and stay there.
        part = batch[rows] if isinstance(batch, np.ndarray) else tf.gather(batch, rows)
        with tf.device(self._strategy.extended.worker_devices[number]):
            return tf.identity(part)
