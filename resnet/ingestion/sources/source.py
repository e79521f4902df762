"""What every kind of source provides: its classes, and an outcome for each of its files."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePath

from resnet.core.tables import SPLITS
from resnet.images.outcomes import Outcome

# The names under which data sets store splits, compared without case, and the splits that they mean here.
SPLIT_NAMES = {
    "train": "training",
    "training": "training",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True)
class Source:
    """A set of labelled images.

    Attributes:
        classes: the class names in the order of their labels, including classes without images.
        files: starts an iteration over all files; the order is always the same, and each file occurs once.
        notes: sentences about how the source was interpreted, where that may be unexpected.
        splits: the splits that the source gives, as far as that is known before its files are read; in the order of
            `resnet.core.tables.SPLITS`.
        multi_label: whether the label of each file is a set of classes: their names with `|` between them, in any order, and
            "" for none of them.
    """

    classes: list[str]
    files: Callable[[], Iterator[Outcome]]
    notes: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    multi_label: bool = False


def in_order(splits: Iterable[str | None]) -> tuple[str, ...]:
    """The splits among these, each once, in the order of `resnet.core.tables.SPLITS`."""
    given = set(splits)
    return tuple(split for split in SPLITS if split in given)


def split_of(path: PurePath) -> str | None:
    """The split that the name of a file means, or else its nearest folder: "training" for `train-00000-of-00002.parquet`.

    A word between characters that are neither letters nor digits counts, as on the Hugging Face hub.
    """
    for name in (path.stem, *reversed(path.parent.parts)):
        for word in re.split(r"[\W_]+", name.casefold()):
            if word in SPLIT_NAMES:
                return SPLIT_NAMES[word]
    return None
