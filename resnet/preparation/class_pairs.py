"""The classes of images, which have one each or several: pairs of an image and a class, and the images of each class."""

import numpy as np
import numpy.typing as npt

from resnet.core.label_sets import LabelSets


def class_pairs(
    labels: npt.NDArray[np.uint16], label_sets: LabelSets | None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Each pair of an image and one of its classes, in the order of the images.

    Args:
        labels: (images,) uint16.
        label_sets: what the labels mean; None if each is the number of a class.

    Returns:
        The rows of the images and the numbers of the classes, (pairs,) int64 both. An image of the empty set is in none.
    """
    if label_sets is None:
        return np.arange(len(labels)), labels.astype(np.int64)
    of_set, classes = np.nonzero(label_sets.members)
    sizes = np.bincount(of_set, minlength=len(label_sets))
    starts = np.cumsum(sizes) - sizes
    own = sizes[labels]
    rows = np.repeat(np.arange(len(labels)), own)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(own) - own, own)
    return rows, classes[starts[labels][rows] + within]


def images_by_class(labels: npt.NDArray[np.uint16], label_sets: LabelSets | None, classes: int) -> npt.NDArray[np.int64]:
    """The number of images of each class, (classes,) int64."""
    if label_sets is None:
        return np.bincount(labels, minlength=classes)
    return np.bincount(labels, minlength=len(label_sets)) @ label_sets.members.astype(np.int64)
