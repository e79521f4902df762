"""Balanced sampling: an epoch in which all classes have the same number of images.

Shen, Lin and Huang, "Relay Backpropagation for Effective Learning of Deep Convolutional Neural Networks" (2015), section 3.4:
class-aware sampling. An epoch keeps its number of images, so schedule and cost stay the same. Images of rare classes are in it
several times, and those of frequent classes not in every epoch.
"""

import numpy as np
import numpy.typing as npt


def balanced_rows(labels: npt.NDArray[np.uint16], seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """The rows of an epoch in ascending order, a row as often as its image is used: (images,) int64.

    They depend only on the labels, `seed` and `epoch`. The images of a class differ by at most one in how often they are used,
    and the classes with images by at most one in how many uses they have.

    Args:
        labels: (images,) of the split.
        seed: of the run.
        epoch: from 1.
    """
    # A stream of its own: the order of the epoch has the same key and the counter 0.
    key = np.array([seed, epoch], dtype=np.uint64)
    generator = np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, 1]))
    present = np.unique(labels)
    shares = np.full(len(present), len(labels) // len(present))
    shares[generator.permutation(len(present))[: len(labels) % len(present)]] += 1
    rows = [_of_class(np.flatnonzero(labels == label), share, generator) for label, share in zip(present, shares, strict=True)]
    return np.sort(np.concatenate(rows))


def _of_class(members: npt.NDArray[np.int64], share: int, generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """All members as often as they fit into the share, and a random part of them for the rest."""
    rest = generator.permutation(members)[: share % len(members)]
    return np.concatenate([np.tile(members, share // len(members)), rest])
