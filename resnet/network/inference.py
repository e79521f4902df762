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
    results = []
    for images, _, _ in batches(split, np.arange(len(split)), batch_size):
        results.append(network(images))
        on_batch(len(images))
    return np.concatenate(results)


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
    results = []
    for images, _, of_batch in batches(split, np.arange(len(split)) if rows is None else rows, batch_size):
        if split.aspects is not None and size is not None:
            images = centre_squares(images, split.aspects[of_batch], size)  # noqa: PLW2901
        results.append(network(images))
        on_batch(len(images))
    logits, features = zip(*results, strict=True)
    return np.concatenate(logits), np.concatenate(features)


def mirrored(network: Both) -> Both:
    """A network that answers with the mean of its logits for an image and for its mirror image, and the image's features.

    Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural Networks" (2012), section 4.1, average
    probabilities. The mean of the logits is, after softmax, their normalised geometric mean; Jordan, "94% on CIFAR-10 in 3.29
    Seconds on a Single GPU" (2024), section 3.5, takes it too. It commutes with a division by a temperature, so logits that
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
