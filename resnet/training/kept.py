"""The images of splits that stay on the devices that train, so that no step waits for a copy of them.

A split is copied once, as uint8, and the batches are gathered on the device by their rows. Every device keeps all images: in
each epoch, the order of the images decides anew which device needs which of them. Labels and aspects are few bytes and travel
with the rows.

TensorFlow 2.21 has no kernel on GPUs that gathers uint8: it would take all images back to main memory in each step. So eight
bytes are kept as one int64, and what was gathered is read as bytes again.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from resnet.dataset.arrays import Split
from resnet.network.device_kernels import kernels
from resnet.network.memory import is_used_up
from resnet.network.occupancy import free_bytes

SHARE = 0.25  # of the free memory; while they are put together, the images need it twice
_CHUNK_BYTES = 256 * 2**20  # that are read and copied at a time
_WORD = 8  # bytes of an int64


class Images(NamedTuple):
    """The images of a split on a device.

    Attributes:
        words: (images, words) int64, the bytes of each image, and zeros up to a multiple of eight.
        shape: (height, width, 3) of an image.
    """

    words: tf.Tensor
    shape: tuple[int, int, int]

    def gather(self, rows: npt.NDArray[np.int64]) -> tf.Tensor:
        """The images in some rows, on their device: (*rows.shape, height, width, 3) uint8."""
        found = tf.bitcast(tf.gather(self.words, rows), tf.uint8)
        size = int(np.prod(self.shape))
        if size % _WORD:
            found = tf.reshape(found, (*rows.shape, -1))[..., :size]
        return tf.reshape(found, (*rows.shape, *self.shape))


class Kept:
    """The images of splits on each of several devices.

    Args:
        splits: to keep, the most important one first. From the first one that does not fit, none is kept.
        devices: their names; None for the one that TensorFlow chooses.
        most: bytes on a device.

    Attributes:
        splits: those that were given.
    """

    def __init__(self, splits: Sequence[Split] = (), devices: Sequence[str | None] = (None,), most: float = 0.0) -> None:
        self.splits = tuple(splits)
        self._images: dict[Split, list[Images]] = {}
        for split in splits:
            if not len(split):
                continue
            most -= len(split) * _WORD * _words(split)
            if most < 0 or not self._keep(split, devices):
                break

    def __bool__(self) -> bool:
        """Whether there is any split on the devices."""
        return bool(self._images)

    def of(self, split: Split) -> list[Images] | None:
        """The images of a split on each device; None if they are not kept."""
        return self._images.get(split)

    def drop(self) -> None:
        """Frees the memory."""
        self._images.clear()

    def _keep(self, split: Split, devices: Sequence[str | None]) -> bool:
        """Copies a split to the devices, if it fits into their memory.

        Raises:
            UserError: an image does not match its checksum.
        """
        chunk = max(1, _CHUNK_BYTES // (_WORD * _words(split)))
        parts: list[list[tf.Tensor]] = [[] for _ in devices]
        try:
            for start in range(0, len(split), chunk):
                words = _as_words(split.gather(np.arange(start, min(start + chunk, len(split)))), _words(split))
                for device, held in zip(devices, parts, strict=True):
                    with tf.device(device):
                        held.append(tf.identity(words))
            joined = [_joined(device, held) for device, held in zip(devices, parts, strict=True)]
            self._images[split] = [Images(words, split.image_shape) for words in joined]
        except (tf.errors.ResourceExhaustedError, tf.errors.InternalError) as error:
            if not is_used_up(error):
                raise
            return False
        return True


def room(devices: int) -> float:
    """The most bytes of images that each device keeps: a share of the memory that is free on the fullest one.

    Where the driver does not say how much is free, as on a slice of a GPU, nothing is kept.
    """
    most = kernels().kept_bytes
    if not most or not tf.config.list_physical_devices("GPU"):
        return most
    free = free_bytes(devices)
    return 0.0 if free is None else min(most, SHARE * free)


def _joined(device: str | None, parts: list[tf.Tensor]) -> tf.Tensor:
    with tf.device(device):
        joined = parts[0] if len(parts) == 1 else tf.concat(parts, axis=0)
    parts.clear()  # the next device needs the memory if it is on the same card
    return joined


def _words(split: Split) -> int:
    """The words of an image."""
    return -(-int(np.prod(split.image_shape)) // _WORD)


def _as_words(images: npt.NDArray[np.uint8], words: int) -> npt.NDArray[np.int64]:
    """(images, words) int64, the same bytes in the same order, with zeros at the end of each image."""
    flat = images.reshape(len(images), -1)
    return np.pad(flat, ((0, 0), (0, _WORD * words - flat.shape[1]))).view(np.int64)
