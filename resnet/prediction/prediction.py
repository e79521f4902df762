"""Predictions of a trained network for image files. The same code decodes them as for training."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt

from resnet.core.parallel import in_order
from resnet.images.decoding import MAX_PIXELS, load
from resnet.images.outcomes import BadFile, Rejected, shown
from resnet.network.known_score import is_known
from resnet.prediction.image_files import ImageFile

Pixels = npt.NDArray[np.uint8]
Logits = npt.NDArray[np.float32]
Probabilities = npt.NDArray[np.float64]
Network = Callable[[Pixels], Logits] | Callable[[Pixels], tuple[Logits, npt.NDArray[np.float32]]]
T = TypeVar("T")


@dataclass(frozen=True)
class Decoded:
    """A decoded image.

    Attributes:
        path: of the file, as in `ImageFile`.
        pixels: (size, size, 3) uint8 RGB, the input of the network.
    """

    path: str
    pixels: Pixels


@dataclass(frozen=True)
class Prediction:
    """The prediction for an image.

    Attributes:
        path: of the file, as in `ImageFile`.
        probabilities: (classes,) float64, with sum 1; of a network for several labels an image, each in [0, 1].
        known_score: negative, or not finite, for an image that shows none of the classes; None if the network does not say it.
    """

    path: str
    probabilities: Probabilities
    known_score: float | None = None

    @property
    def known(self) -> bool | None:
        """Whether the image shows one of the classes; None if the network does not say it."""
        return None if self.known_score is None else bool(is_known(np.asarray(self.known_score)))


def decode_files(files: Iterable[ImageFile | Rejected], size: int) -> Iterator[Decoded | Rejected]:
    """Reads and decodes files in threads, in their order. A file that is not a usable image gives a `Rejected` in its place."""
    return in_order(lambda file: file if isinstance(file, Rejected) else _decode(file, size), files)


def _decode(file: ImageFile, size: int) -> Decoded | Rejected:
    try:
        return Decoded(file.path, load(file.read(), size, MAX_PIXELS))
    except BadFile as bad:
        return Rejected(shown(file.path), bad.reason, bad.detail)


def in_batches(images: Iterable[Decoded | Rejected], batch_size: int) -> Iterator[list[Decoded | Rejected]]:
    """Groups with `batch_size` images each, and the rejected files among them. The last group may be smaller."""
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


def predict(
    network: Network, batches: Iterable[list[Decoded | Rejected]], *, multi_label: bool = False
) -> Iterator[Prediction | Rejected]:
    """The prediction for each image, in their order; rejected files are passed through.

    Args:
        network: maps (batch, size, size, 3) uint8 images to (batch, classes) logits, or to these and (batch,) known scores.
        batches: groups from `in_batches`.
        multi_label: the network says of each class whether an image has it, by the logistic function.
    """
    normalise = _logistic if multi_label else _softmax
    for batch in batches:
        images = [image.pixels for image in batch if isinstance(image, Decoded)]
        rows = _rows(network(np.stack(images)), normalise) if images else iter(())
        for image in batch:
            yield image if isinstance(image, Rejected) else Prediction(image.path, *next(rows))


def _rows(
    found: Logits | tuple[Logits, npt.NDArray[np.float32]], normalise: Callable[[Probabilities], Probabilities]
) -> Iterator[tuple[Any, float | None]]:
    """The probabilities and the known score of each image."""
    logits, scores = found if isinstance(found, tuple) else (found, None)
    known = [None] * len(logits) if scores is None else scores.tolist()
    return zip(normalise(logits.astype(np.float64)), known, strict=True)


# Neither is scipy.special's: its import takes a sixth of the time to predict one photograph.
def _softmax(logits: Probabilities) -> Probabilities:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _logistic(logits: Probabilities) -> Probabilities:
    return np.exp(-np.logaddexp(0.0, -logits))  # 1 / (1 + exp(-x)) would overflow for logits below -709


@contextmanager
def reading_ahead(items: Iterable[T], depth: int) -> Iterator[Iterator[T]]:
    """Iterates over items in a background thread, which starts at once and is at most `depth` items ahead of the consumer."""
    source, end = iter(items), object()
    thread = ThreadPoolExecutor(1)
    waiting = deque(thread.submit(next, source, end) for _ in range(depth))

    def results() -> Iterator[T]:
        while (item := waiting.popleft().result()) is not end:
            waiting.append(thread.submit(next, source, end))
            yield cast(T, item)

    try:
        yield results()
    finally:
        thread.shutdown(cancel_futures=True)
