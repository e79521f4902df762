"""How the batches of a call reach the devices: each gets its share, on GPUs already while the call before it runs."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from resnet.dataset.arrays import Split
from resnet.network.device_kernels import kernels
from resnet.training.kept import Images, Kept


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


class Batches(NamedTuple):
    """The batches of a call, on the devices: the arguments of `Trainer.train_step`, or for several steps of `train_steps`."""

    images: Any
    labels: Any
    draws: Any
    size: int
    aspects: Any


class Delivery:
    """Takes batches to the devices of a strategy.

    The reading thread calls it for the images, so they are copied while a step runs. Each device gets nothing but its share,
    and does not augment the rest.

    Args:
        strategy: that shares each batch.
        neighbour: as in `share`.
        kept: images that are on the devices already.
    """

    def __init__(self, strategy: tf.distribute.Strategy, *, neighbour: bool, kept: Kept | None = None) -> None:
        self._strategy = strategy
        self._neighbour = neighbour
        self._kept = kept or Kept()
        self._ahead = kernels().batches_on  # asked here: what tests and benchmarks choose is not chosen in another thread

    @property
    def devices(self) -> list[str | None]:
        """The names of the devices; None where a batch is used where it is."""
        several = self._strategy.num_replicas_in_sync > 1
        return [*self._strategy.extended.worker_devices] if several else [self._ahead]

    def images(self, split: Split, rows: npt.NDArray[np.int64], steps: int | None = None) -> Any:
        """The images in some rows of a split, as `shares` of them.

        Args:
            split: that has the images.
            rows: (batch,) or (steps x batch,).
            steps: as in `shares`.
        """
        kept = self._kept.of(split)
        if kept is None:
            return self.shares(split.gather(rows), steps)
        if len(kept) == 1:
            with tf.device(self._ahead):
                return kept[0].gather(_by_steps(rows, steps))
        return self._strategy.experimental_distribute_values_from_function(lambda one: self._kept_share(kept, rows, steps, one))

    def batches(self, images: Any, labels: Any, draws: Any, *, size: int, aspects: Any, steps: int | None) -> Batches:
        """A call on these images, which are on the devices already, and the shares of the rest.

        Args:
            images: as `images` or `shares` returns them.
            labels: (batch,) or (steps x batch,) uint16; so many have draws and aspects, too.
            draws: the random numbers of the augmentation, float32.
            size: height and width of the augmented images in pixels.
            aspects: float32, or None.
            steps: as in `shares`.
        """
        return Batches(images, self.shares(labels, steps), self.shares(draws, steps), size, self.shares(aspects, steps))

    def whole(self, split: Split, rows: npt.NDArray[np.int64]) -> Any:
        """The images in some rows of a split, on the device that the kernels of this machine name, if they name one."""
        kept = self._kept.of(split)
        if kept is None:
            return self._placed(split.gather(rows))
        with tf.device(self._ahead):
            return kept[0].gather(rows)

    def shares(self, batches: Any, steps: int | None = None) -> Any:
        """The shares of the devices, for `Strategy.run`; for a single device the batches as they are.

        Args:
            batches: an array or tensor (batch, ...), or None; with steps (steps x batch, ...), one batch after another.
            steps: how many batches there are. The shares of a call of several steps are (steps, share, ...). None for a single
                batch, whose shares are (share, ...).
        """
        if batches is None:
            return None
        if self._strategy.num_replicas_in_sync == 1:
            return self._placed(_by_steps(batches, steps))
        return self._strategy.experimental_distribute_values_from_function(lambda one: self._share(batches, steps, one))

    def _placed(self, batches: Any) -> Any:
        if self._ahead is None:
            return batches
        with tf.device(self._ahead):
            return tf.identity(batches)

    def _share(self, batches: Any, steps: int | None, device: tf.distribute.experimental.ValueContext) -> tf.Tensor:
        positions = self._positions(batches.shape[0], steps, device)
        # An array is cut before it is copied. The numbers of a tensor, which are few, may be on a GPU and stay there.
        part = batches[positions] if isinstance(batches, np.ndarray) else tf.gather(batches, positions)
        with tf.device(self.devices[device.replica_id_in_sync_group]):
            return tf.identity(part)

    def _kept_share(
        self,
        kept: list[Images],
        rows: npt.NDArray[np.int64],
        steps: int | None,
        device: tf.distribute.experimental.ValueContext,
    ) -> tf.Tensor:
        number = device.replica_id_in_sync_group
        with tf.device(self.devices[number]):
            return kept[number].gather(rows[self._positions(len(rows), steps, device)])

    def _positions(
        self, images: int, steps: int | None, device: tf.distribute.experimental.ValueContext
    ) -> npt.NDArray[np.int64]:
        """Which of the images of a call a device gets: (share,), or (steps, share)."""
        size = images // (steps or 1)
        number, count = device.replica_id_in_sync_group, device.num_replicas_in_sync
        positions = share(size, number, count, neighbour=self._neighbour)
        return positions if steps is None else size * np.arange(steps)[:, np.newaxis] + positions


def _by_steps(batches: Any, steps: int | None) -> Any:
    """(steps x batch, ...) as (steps, batch, ...)."""
    if steps is None:
        return batches
    shape = (steps, batches.shape[0] // steps, *batches.shape[1:])
    return batches.reshape(shape) if isinstance(batches, np.ndarray) else tf.reshape(batches, shape)
