"""Images with several labels each: the label of an image is then the number of its set of classes.

So one uint16 per image is enough, as with one label per image, and a set that many images share is stored once. The sets are
in `classes.json`. As text a set is its class names with `|` between them, in the order of the classes; the empty set is "".
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # texts are read by commands that should start without NumPy
    import numpy as np
    import numpy.typing as npt

SEPARATOR = "|"


@dataclass(frozen=True)
class LabelSets:
    """The sets of classes that images have.

    Attributes:
        members: (sets, classes) bool, whether a class is in a set. No two rows are equal.
    """

    members: "npt.NDArray[np.bool_]"

    @classmethod
    def of_numbers(cls, sets: Iterable[Iterable[int]], classes: int) -> "LabelSets":
        """The sets of these numbers of classes, in this order."""
        import numpy as np

        rows = [list(numbers) for numbers in sets]
        members = np.zeros((len(rows), classes), np.bool_)
        for row, numbers in zip(members, rows, strict=True):
            row[numbers] = True
        return cls(members)

    def __len__(self) -> int:
        return len(self.members)

    def numbers(self) -> list[list[int]]:
        """The numbers of the classes in each set."""
        return [row.nonzero()[0].tolist() for row in self.members]

    def texts(self, classes: Sequence[str]) -> list[str]:
        """Each set as text."""
        return texts_of(self.members, classes)

    def of(self, labels: "npt.NDArray[np.uint16]") -> "npt.NDArray[np.bool_]":
        """(images, classes) bool, the classes of images with these labels."""
        return self.members[labels]


def texts_of(members: "npt.NDArray[np.bool_]", classes: Sequence[str]) -> list[str]:
    """Each row of (rows, classes) bool as text."""
    return [SEPARATOR.join(classes[number] for number in row.nonzero()[0].tolist()) for row in members]


def names_in(text: str) -> list[str]:
    """The class names in a text, without spaces around them, each once, in their order."""
    return list(dict.fromkeys(name for part in text.split(SEPARATOR) if (name := part.strip())))
