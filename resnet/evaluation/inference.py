"""Running a trained network over a split."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from resnet.dataset.arrays import Split
from resnet.dataset.batches import batches
from resnet.evaluation.folding import Network


def predict_logits(
    network: Network,
    split: Split,
    batch_size: int,
    on_batch: Callable[[int], object] = lambda images: None,
) -> npt.NDArray[np.float32]:
    """The network's logits for every image of a split, in its order: (images, classes) float32.

    Args:
        network: from uint8 images to logits, as `resnet.evaluation.folding.folded_network` makes it.
        split: of images.
        batch_size: images at a time.
        on_batch: called with the number of images of each batch that is done.
    """
    results = []
    for images, _, _ in batches(split, np.arange(len(split)), batch_size):
        results.append(network(images))
        on_batch(len(images))
    return np.concatenate(results)
