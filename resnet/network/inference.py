"""Runs a trained network on a split."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from resnet.dataset.arrays import Split
from resnet.dataset.batches import batches
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
    results = []
    for images, _, _ in batches(split, np.arange(len(split)), batch_size):
        results.append(network(images))
        on_batch(len(images))
    return np.concatenate(results)


def predict_with_features(
    network: Both,
    split: Split,
    batch_size: int,
    rows: npt.NDArray[np.int64] | None = None,
    on_batch: Callable[[int], object] = lambda images: None,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """The logits and the features, the input of the head: (images, classes) and (images, features) float32.

    Args:
        network: maps uint8 images to both, see `resnet.network.folding.folded_network_with_features`.
        split: the images.
        batch_size: images at a time.
        rows: of the images, in this order; None takes all of them.
        on_batch: is called after each batch with its number of images.
    """
    results = []
    for images, _, _ in batches(split, np.arange(len(split)) if rows is None else rows, batch_size):
        results.append(network(images))
        on_batch(len(images))
    logits, features = zip(*results, strict=True)
    return np.concatenate(logits), np.concatenate(features)
