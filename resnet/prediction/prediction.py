"""What a trained network says of image files, which are decoded as for its training, by the same code."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt

from resnet.core.parallel import in_order
from resnet.images.decoding import MAX_PIXELS, load
from resnet.images.outcomes import BadFile, Rejected, shown
from resnet.ingestion.sources.folder import read_file

Pixels = npt.NDArray[np.uint8]
Network = Callable[[Pixels], npt.NDArray[np.float32]]
T = TypeVar("T")


@dataclass(frozen=True)
class Decoded:
    """An image as the network takes it: (size, size, 3) uint8."""

    path: Path
    pixels: Pixels


@dataclass(frozen=True)
class Prediction:
    """What the network says of an image.

    Attributes:
        path: of the file.
        probabilities: (classes,) float64, of sum 1.
    """

    path: Path
    probabilities: npt.NDArray[np.float64]


def decode_files(files: Iterable[Path | Rejected], size: int) -> Iterator[Decoded | Rejected]:
    """Reads and decodes files in threads, in their order; one that is no usable image is told of in its place."""
    return in_order(lambda file: file if isinstance(file, Rejected) else _decode(file, size), files)


def _decode(path: Path, size: int) -> Decoded | Rejected:
    try:
        return Decoded(path, load(read_file(path), size, MAX_PIXELS))
    except BadFile as bad:
        return Rejected(shown(str(path)), bad.reason, bad.detail)


def in_batches(images: Iterable[Decoded | Rejected], batch_size: int) -> Iterator[list[Decoded | Rejected]]:
    """Groups of `batch_size` images, with what was rejected among them; the last group is smaller."""
    group: list[Decoded | Rejected] = []
    count = 0
    for image in images:
        group.append(image)
        count += isinstance(image, Decoded)
        if count == batch_size:
            yield group
            group, count = [], 0
    if group:
        yield group


def predict(network: Network, batches: Iterable[list[Decoded | Rejected]]) -> Iterator[Prediction | Rejected]:
    """What the network says of each image, in their order.

    Args:
        network: from (batch, size, size, 3) uint8 images to (batch, classes) logits.
        batches: as `in_batches` gives them.
    """
    from scipy.special import softmax

    for batch in batches:
        images = [image.pixels for image in batch if isinstance(image, Decoded)]
        rows: Iterator[Any] = iter(softmax(network(np.stack(images)).astype(np.float64), axis=1)) if images else iter(())
        for image in batch:
            yield image if isinstance(image, Rejected) else Prediction(image.path, next(rows))


@contextmanager
def reading_ahead(items: Iterable[T], depth: int) -> Iterator[Iterator[T]]:
    """Gives the same items, fetched by a thread of their own that begins at once and is at most `depth` items ahead."""
    source, end = iter(items), object()
    thread = ThreadPoolExecutor(1)
    waiting = deque(thread.submit(next, source, end) for _ in range(depth))

    def taken() -> Iterator[T]:
        while (item := waiting.popleft().result()) is not end:
            waiting.append(thread.submit(next, source, end))
            yield cast(T, item)

    try:
        yield taken()
    finally:
        thread.shutdown(cancel_futures=True)
