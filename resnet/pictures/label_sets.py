"""What the pages say about images with several labels each, whose labels are texts such as "cat|dog"."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from resnet.core.label_sets import SEPARATOR
from resnet.pictures.data_labels import set_in_words


class Pairs(NamedTuple):
    """Numbers of images by a class that they have (row) and a predicted class (column).

    Attributes:
        counts: (classes, classes) on the diagonal images that have the class and are predicted to have it; beside it images
            that have the class of the row and are not predicted to have it, but wrongly to have that of the column.
        support: (classes,) images that have the class.
    """

    counts: npt.NDArray[np.int64]
    support: npt.NDArray[np.int64]


def count_pairs(labels: Sequence[str], predicted: Sequence[str], classes: Sequence[str]) -> Pairs:
    """Counts images, whose labels and predictions are texts of sets."""
    place = {name: number for number, name in enumerate(classes)}
    found = Pairs(np.zeros((len(classes), len(classes)), np.int64), np.zeros(len(classes), np.int64))
    for label, guess, images in _counted(labels, predicted):
        truth, answer = (np.array([place[name] for name in _names(text)], np.int64) for text in (label, guess))
        right = np.intersect1d(truth, answer)
        found.counts[right, right] += images
        found.counts[np.ix_(np.setdiff1d(truth, answer), np.setdiff1d(answer, truth))] += images
        found.support[truth] += images
    return found


def most_frequent_set(labels: Sequence[str]) -> dict[str, Any]:
    """The label of the most images, as text for people, and the share of images that have exactly this one."""
    sets, images = np.unique(np.array(labels, object).astype(str), return_counts=True)
    place = int(images.argmax())
    return {"label": set_in_words(str(sets[place])), "share": float(images[place] / len(labels))}


def difference(label: str, guess: str) -> dict[str, str]:
    """The classes that a predicted set lacks, and those that it has wrongly, as texts; empty where there are none."""
    truth, found = _names(label), _names(guess)
    missing, wrong = ([name for name in one if name not in other] for one, other in ((truth, found), (found, truth)))
    return {"missing": f" {SEPARATOR} ".join(missing), "wrong": f" {SEPARATOR} ".join(wrong)}


def _names(text: str) -> list[str]:
    return text.split(SEPARATOR) if text else []


def _counted(labels: Sequence[str], predicted: Sequence[str]) -> Iterator[tuple[str, str, int]]:
    """Each pair of label and prediction with its number of images; there are far fewer pairs than images."""
    import pandas as pd

    sizes = pd.DataFrame({"label": labels, "predicted": predicted}, dtype=object).groupby(["label", "predicted"]).size()
    for (label, guess), images in zip(sizes.index.tolist(), sizes.tolist(), strict=True):
        yield label, guess, images
