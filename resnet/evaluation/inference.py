"""Runs a trained network on a split."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from resnet.dataset.arrays import Split
from resnet.dataset.batches import batches
from resnet.evaluation.folding import Network


def mirrored(network: Network) -> Network:
    """A network that answers with the mean of its logits for an image and for its mirror image.

    Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural Networks" (2012), section 4.1, average
    probabilities. The mean of the logits is, after softmax, their normalised geometric mean; Jordan, "94% on CIFAR-10 in 3.29
    Seconds on a Single GPU" (2024), section 3.5, takes it too. It commutes with a division by a temperature, so logits that
    were calibrated for single images stay at the scale of logits. Probabilities that are averaged become less confident
    wherever the two differ.

    Args:
        network: maps uint8 images (batch, height, width, 3) to logits.
    """

    def both(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        return (network(images) + network(np.ascontiguousarray(images[:, :, ::-1]))) / np.float32(2)

    return both


def predict_logits(
    network: Network,
    split: Split,
    batch_size: int,
    on_batch: Callable[[int], object] = lambda images: None,
) -> npt.NDArray[np.float32]:
    """The logits for every image of a split, in its order: (images, classes) float32.

    Args:
        network: maps uint8 images to logits, see `resnet.evaluation.folding.folded_network`.
        split: the images.
        batch_size: images at a time.
        on_batch: is called after each batch with its number of images.
    """
    results = []
    for images, _, _ in batches(split, np.arange(len(split)), batch_size):
        results.append(network(images))
        on_batch(len(images))
    return np.concatenate(results)
