"""What the labels of the images mean: classes, or sets of classes if images have several labels."""

from dataclasses import dataclass
from pathlib import Path

from resnet.core.classes import read_classes, read_label_sets
from resnet.core.errors import UserError
from resnet.core.label_sets import LabelSets


@dataclass(frozen=True)
class Labels:
    """The labels of a data set.

    Attributes:
        classes: their names.
        sets: of classes, if images have several labels; a label is then the number of a set.
    """

    classes: list[str]
    sets: LabelSets | None

    @classmethod
    def read(cls, classes_json: Path, *, balance: str) -> "Labels":
        """Reads them from `classes.json`.

        Raises:
            UserError: the file is missing or damaged, or images have several labels and `train.balance` is not none.
        """
        found = cls(read_classes(classes_json), read_label_sets(classes_json))
        if found.sets:
            refuse_balance(balance)
        return found

    def __len__(self) -> int:
        """The number of different labels."""
        return len(self.classes if self.sets is None else self.sets)


def refuse_balance(balance: str) -> None:
    """Raises `UserError` unless `train.balance` suits images with several labels."""
    if balance != "none":
        raise UserError(
            f"train.balance is {balance}, which is for images with one label each, but these have several: set it to none."
        )
