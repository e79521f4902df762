"""The folds of an audit, put together."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from commands.out_of_fold import collect
from commands.results import Prediction, RevisionResults
from resnet.core.errors import UserError

HASHES = {"a": "1", "b": "2", "c": "3"}


def fold(labels: dict[str, str], data: str = "0", name: str = "audit-01", *, of_sets: bool = False) -> RevisionResults:
    """The results of a fold that tests these images; class 0 is always the most probable."""
    found: Any = SimpleNamespace(name=name, data=data, classes=["cat", "dog"], pixel_hashes=lambda: HASHES)
    found.of_sets = of_sets
    found.predictions = {path: Prediction(label, "cat", 0.75) for path, label in labels.items()}
    found.probabilities = lambda: np.tile(np.array([0.75, 0.25], np.float32), (len(labels), 1))
    return cast("RevisionResults", found)


def test_each_image_is_there_once_with_its_fold() -> None:
    found = collect([fold({"b": "dog"}), fold({"a": "cat", "c": "dog"})])
    assert (found.paths, found.pixel_hashes) == (["b", "a", "c"], ["2", "1", "3"])
    assert found.labels.tolist() == [1, 0, 1]
    assert found.fold.tolist() == [0, 1, 1]
    assert found.probabilities.shape == (3, 2)


@pytest.mark.parametrize(
    "folds",
    [
        [fold({"b": "dog"}), fold({"a": "cat"})],  # c is in none
        [fold({"b": "dog", "a": "cat"}), fold({"a": "cat", "c": "dog"})],
        [fold({"b": "dog"}), fold({"a": "cat", "c": "dog"}, data="1")],
    ],
)
def test_folds_that_do_not_test_each_image_once_are_refused(folds: list[RevisionResults]) -> None:
    with pytest.raises(UserError, match="do not test each image of one source once, so they are not of one audit"):
        collect(folds)


def test_folds_of_images_with_several_labels_are_refused() -> None:
    folds = [fold({"b": "cat|dog"}, of_sets=True), fold({"a": "cat", "c": ""}, of_sets=True)]
    with pytest.raises(UserError, match="the images have several labels each, but an audit needs one label for each image"):
        collect(folds)
