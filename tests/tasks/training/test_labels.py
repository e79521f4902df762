"""What the labels mean, and what several labels an image rule out."""

from pathlib import Path

import pytest

from resnet.core.classes import write_classes
from resnet.core.errors import UserError
from resnet.core.label_sets import LabelSets
from tasks.training.labels import Labels


def test_labels_are_classes_or_sets(tmp_path: Path) -> None:
    path = tmp_path / "classes.json"
    write_classes(path, ["a", "b"])
    one = Labels.read(path, balance="weights")
    assert (len(one), one.classes, one.sets) == (2, ["a", "b"], None)
    write_classes(path, ["a", "b"], LabelSets.of_numbers([[], [0], [1], [0, 1]], 2))
    several = Labels.read(path, balance="none")
    assert (len(several), several.classes) == (4, ["a", "b"])
    assert several.sets is not None


@pytest.mark.parametrize("balance", ["weights", "sampling"])
def test_several_labels_are_not_balanced(tmp_path: Path, balance: str) -> None:
    write_classes(tmp_path / "classes.json", ["a", "b"], LabelSets.of_numbers([[0], [1]], 2))
    with pytest.raises(UserError, match=f"train.balance is {balance}, which is for images with one label each, but these"):
        Labels.read(tmp_path / "classes.json", balance=balance)
