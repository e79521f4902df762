"""Numbers in sentences: the helpers, and sentences about exactly one thing in different parts of the project."""

from collections.abc import Callable
from pathlib import Path

import pytest

from commands.remote_objects import _none_of
from resnet.core.words import agreeing, counted
from resnet.export.agreement import Agreement
from resnet.ingestion.ledger import Ledger
from resnet.network.devices import _why_too_few
from resnet.preparation.splits import _missing_error
from tasks.ingest import _decided, _left_out, _small
from tasks.preprocess import _some


def test_numbers_have_separators_and_their_noun_has_its_plural() -> None:
    assert [counted(number, "class", "classes") for number in (0, 1, 2)] == ["0 classes", "1 class", "2 classes"]
    assert counted(12345, "image") == "12,345 images"


def test_words_agree_with_their_number() -> None:
    assert [agreeing(number, "was", "were") for number in (0, 1, 2, 1.5)] == ["were", "was", "were", "were"]


def ledger(folder: Path) -> Ledger:
    """A source with one file, which is ignored, and a decision about no image."""
    with Ledger(folder, "quarantine") as made:
        made.ignore("notes.txt")
        made.unmatched = 1
    return made


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        (lambda _: str(Agreement(1, 1, 0.0)), "same label on 1 of 1 image, largest"),
        (lambda _: _none_of(1), "The only object of dvc.lock's outputs is neither missing nor damaged"),
        (lambda _: str(_missing_error("cat", "test", 1)), "test split: 1 image or group of images could be moved there"),
        (lambda folder: _left_out(ledger(folder), folder)[0], "left out of 1 file: 1 ignored as no image, see"),
        (lambda folder: _decided(ledger(folder), Path("x.csv"), 1)[1], "1 of 1 decision in x.csv is about no image"),
        (lambda _: _small(["owl"], 1)[0], "left out 1 class with fewer than 1 image: 'owl'"),
    ],
)
def test_one_thing_is_in_the_singular(tmp_path: Path, sentence: Callable[[Path], str], expected: str) -> None:
    assert expected in sentence(tmp_path / "raw")


def test_the_only_device_and_the_only_class_are_in_the_singular(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnet.network.devices.slices", list)
    assert _why_too_few("GPU", 1).startswith("TensorFlow finds 1 GPU: set it to 1, or")
    assert _some("class", "classes", ["cat"]) == "1 class ('cat') is"
    assert _some("class", "classes", ["cat", "dog"]) == "2 classes ('cat' and others) are"
