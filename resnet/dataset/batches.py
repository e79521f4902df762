"""The order of images in an epoch, and batches that are read ahead from disk."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from resnet.core.errors import UserError
from resnet.core.words import agreeing, counted
from resnet.dataset.arrays import Split

Piece = TypeVar("Piece")
Found = TypeVar("Found")
Batch = tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint16], npt.NDArray[np.int64]]


def epoch_order(images: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """A permutation of the rows of a split that depends only on `seed` and `epoch`: (images,) int64.

    So a training run can resume at a step of an epoch without any other state of the input.
    """
    generator = np.random.Generator(np.random.Philox(key=np.array([seed, epoch], dtype=np.uint64)))
    return generator.permutation(images)


def require_full_batch(images: int, batch_size: int) -> None:
    """Raises `UserError` if a split for training has fewer images than one batch: an epoch would have no step."""
    if images < batch_size:
        raise UserError(
            f"train.batch_size is {batch_size}, but there {agreeing(images, 'is', 'are')} only "
            f"{counted(images, 'training image')}: lower it or add images."
        )


def read_ahead(read: Callable[[Piece], Found], pieces: Sequence[Piece]) -> Iterator[Found]:
    """Reads pieces in their order. A thread reads the next one while the current one is in use.

    Args:
        read: is called in the thread with each piece.
        pieces: what to read, one after another; what was read of two of them is in memory at a time.

    Yields:
        what `read` returned.
    """
    if not pieces:
        return
    # Not tf.data: with a numpy_function in its threads, which occupied one of two cores, the training step ran at half speed.
    # Copying a few rows needs no more than one thread.
    with ThreadPoolExecutor(max_workers=1) as thread:
        ahead = thread.submit(read, pieces[0])
        for piece in pieces[1:]:
            found = ahead.result()
            ahead = thread.submit(read, piece)
            yield found
        yield ahead.result()


def batches(split: Split, rows: npt.NDArray[np.int64], batch_size: int, *, drop_remainder: bool = False) -> Iterator[Batch]:
    """Batches of a split in a given order, read ahead.

    Args:
        split: the images; those of two batches are in memory at a time.
        rows: (n,) row numbers of the split, in the order of the batches.
        batch_size: images in a batch.
        drop_remainder: whether to leave out a smaller last batch.

    Yields:
        images (batch, height, width, 3) uint8, labels (batch,) uint16, rows (batch,) int64.
    """
    end = len(rows) - len(rows) % batch_size if drop_remainder else len(rows)

    def gather(chosen: npt.NDArray[np.int64]) -> Batch:
        return split.gather(chosen), split.labels[chosen], chosen

    yield from read_ahead(gather, [rows[start : min(start + batch_size, end)] for start in range(0, end, batch_size)])
