"""Runs a trained network on a split."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from resnet.dataset.arrays import Split
from resnet.dataset.batches import batches
from resnet.dataset.squares import centre_squares
from resnet.network.folding import Both, Network


def predict_logits(
    network: Network,
    split: Split,
    batch_size: int,
    on_batch: Callable[[int], object] = lambda images: None,
) -> npt.NDArray[np.float32]:
    """The logits for every image of a split, in its order: (images, classes) float32.

    Args:
        network: maps uint8 images to logits, see `resnet.network.folding.folded_network`.
        split: the images.
        batch_size: images at a time.
        on_batch: is called after each batch with its number of images.
    """
    logits = _Rows(len(split))
    for images, _, _ in batches(split, np.arange(len(split)), batch_size):
        logits.add(network(images))
        on_batch(len(images))
    return logits.whole()


def predict_with_features(
    network: Both,
    split: Split,
    batch_size: int,
    *,
    rows: npt.NDArray[np.int64] | None = None,
    size: int | None = None,
    on_batch: Callable[[int], object] = lambda images: None,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """The logits and the features, the input of the head: (images, classes) and (images, features) float32.

    Args:
        network: maps uint8 images to both, see `resnet.network.folding.folded_network_with_features`.
        split: the images.
        batch_size: images at a time.
        rows: of the images, in this order; None takes all of them.
        size: height and width that the network expects, if the split may have whole photographs, of which it gets the centre.
        on_batch: is called after each batch with its number of images.
    """
    chosen = np.arange(len(split)) if rows is None else rows
    logits, features = _Rows(len(chosen)), _Rows(len(chosen))
    for images, _, of_batch in batches(split, chosen, batch_size):
        if split.aspects is not None and size is not None:
            images = centre_squares(images, split.aspects[of_batch], size)  # noqa: PLW2901
        for results, found in zip((logits, features), network(images), strict=True):
            results.add(found)
        on_batch(len(images))
    return logits.whole(), features.whole()


class _Rows:
    """Results of batches, in one array from the first on: joining them at the end would need their memory twice.

    Args:
        count: rows of all batches together.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._rows: npt.NDArray[np.float32] | None = None
        self._end = 0

    def add(self, results: npt.NDArray[np.float32]) -> None:
        """Takes the results of the next batch, (batch, columns)."""
        if self._rows is None:
            self._rows = np.empty((self._count, *results.shape[1:]), np.float32)
        self._rows[self._end : self._end + len(results)] = results
        self._end += len(results)

    def whole(self) -> npt.NDArray[np.float32]:
        """All rows."""
        assert self._rows is not None
        assert self._end == self._count
        return self._rows


def mirrored(network: Both) -> Both:
    """A network that answers with the mean of its logits for an image and for its mirror image, and the image's features.

    Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural Networks" (2012), section 4.1, average
    probabilities. The mean of the logits is, after softmax, their normalised geometric mean; Jordan, "94% on CIFAR-10 in 3.29
    Seconds on a Single GPU" (2024), section 3.5, takes it too. It commutes with a temperature and an offset, so logits that
    were calibrated for single images stay at the scale of logits. Probabilities that are averaged become less confident
    wherever the two differ.

    Args:
        network: maps uint8 images (batch, height, width, 3) to logits and features.
    """

    def both(images: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        logits, features = network(images)
        other, _ = network(np.ascontiguousarray(images[:, :, ::-1]))
        return (logits + other) / np.float32(2), features

    return both
