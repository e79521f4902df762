"""The order of images in an epoch, and batches that are read ahead from disk."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from resnet.dataset.arrays import Split

Batch = tuple[Any, npt.NDArray[np.uint16], npt.NDArray[np.int64]]


def epoch_order(images: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """A permutation of the rows of a split that depends only on `seed` and `epoch`: (images,) int64.

    So a training run can resume at a step of an epoch without any other state of the input.
    """
    generator = np.random.Generator(np.random.Philox(key=np.array([seed, epoch], dtype=np.uint64)))
    return generator.permutation(images)


def batches(
    split: Split,
    rows: npt.NDArray[np.int64],
    batch_size: int,
    *,
    drop_remainder: bool = False,
    bring: Callable[[npt.NDArray[np.uint8]], Any] = lambda images: images,
) -> Iterator[Batch]:
    """Batches of a split in a given order. A thread reads the next batch while the current one is in use.

    Args:
        split: the images; those of two batches are in memory at a time.
        rows: (n,) row numbers of the split, in the order of the batches.
        batch_size: images in a batch.
        drop_remainder: whether to leave out a smaller last batch.
        bring: is called in the thread with the images of a batch; what it returns stands for them.

    Yields:
        images (batch, height, width, 3) uint8, labels (batch,) uint16, rows (batch,) int64.
    """
    end = len(rows) - len(rows) % batch_size if drop_remainder else len(rows)

    def gather(start: int) -> Batch:
        chosen = rows[start : min(start + batch_size, end)]
        return bring(split.gather(chosen)), split.labels[chosen], chosen

    # Not tf.data: with a numpy_function in its threads, which occupied one of two cores, the training step ran at half speed.
    # Copying a few rows needs no more than one thread.
    with ThreadPoolExecutor(max_workers=1) as thread:
        ahead = thread.submit(gather, 0)
        for start in range(0, end, batch_size):
            batch = ahead.result()
            if start + batch_size < end:
                ahead = thread.submit(gather, start + batch_size)
            yield batch
