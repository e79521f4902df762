"""In which order images come, and how they get from the disk to the training step."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from resnet.dataset.arrays import Split

Batch = tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint16], npt.NDArray[np.int64]]


def epoch_order(images: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """A permutation of the rows of a split that depends on (seed, epoch) alone: (images,) int64.

    Position (epoch, step) is thereby all that a training run needs to know of the data to go on.
    """
    generator = np.random.Generator(np.random.Philox(key=np.array([seed, epoch], dtype=np.uint64)))
    return generator.permutation(images)


def batches(split: Split, rows: npt.NDArray[np.int64], batch_size: int, *, drop_remainder: bool = False) -> Iterator[Batch]:
    """Batches of a split in a given order, each gathered by another thread while the one before it is in use.

    Args:
        split: memory-mapped; only the images of two batches are in memory.
        rows: (n,) the rows of the split in the order in which they are wanted.
        batch_size: images in a batch.
        drop_remainder: leave out a last batch that would be smaller.

    Yields:
        images (batch, height, width, 3) uint8, labels (batch,) uint16, rows (batch,) int64.
    """
    end = len(rows) - len(rows) % batch_size if drop_remainder else len(rows)

    def gather(start: int) -> Batch:
        chosen = rows[start : min(start + batch_size, end)]
        return split.gather(chosen), split.labels[chosen], chosen

    # Not tf.data: a numpy_function in its threads took one of two cores from the training step, which then ran at half
    # its rate, and there is nothing to do here but to copy a few rows.
    with ThreadPoolExecutor(max_workers=1) as thread:
        ahead = thread.submit(gather, 0)
        for start in range(0, end, batch_size):
            batch = ahead.result()
            if start + batch_size < end:
                ahead = thread.submit(gather, start + batch_size)
            yield batch
