"""What `preprocess` says of the data."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import PIL.Image
import pyarrow.parquet as pq
import pytest

from resnet.core.classes import read_label_sets, read_label_texts
from resnet.core.errors import UserError
from resnet.dataset.arrays import Split
from resnet.images.manifest import read_manifest
from resnet.images.outcomes import Candidate
from resnet.ingestion.raw_data import write_raw
from resnet.ingestion.sources.source import Source
from resnet.preparation.similar_pairs import find_similar
from tasks.preprocess import Preprocess, preprocess
from tasks.stage.params import Params
from tests.parameters import PREPROCESS
from tests.pictures import picture

CLASSES = ["cat", "dog", "owl"]
SMALL = "preprocess: warning: the validation split has "
Image = tuple[bytes, str, str | None, str | None]
PARAMETERS = PREPROCESS.model_copy(update={"near_duplicates": "report"})


def notes(
    folder: Path, images: Sequence[Image], capsys: pytest.CaptureFixture[str], parameters: Preprocess = PARAMETERS
) -> list[str]:
    """The lines of `said` without the warning that the validation split is small, as it is in most tests."""
    return [line for line in said(folder, images, capsys, parameters) if not line.startswith(SMALL)]


def said(
    folder: Path, images: Sequence[Image], capsys: pytest.CaptureFixture[str], parameters: Preprocess = PARAMETERS
) -> list[str]:
    """The lines that `preprocess` prints for images: each with its class, split and group."""
    files = [
        Candidate(f"{n:03d}", label, lambda encoded=encoded: encoded, split, group)  # type: ignore[misc]
        for n, (encoded, label, split, group) in enumerate(images)
    ]
    folder.mkdir(exist_ok=True)
    write_raw(folder / "raw", Source(CLASSES, lambda: iter(files)), max_pixels=10**6)
    preprocess(parameters, raw=folder / "raw", prepared=folder / "prepared")
    return capsys.readouterr().out.splitlines()


def given(split: str, classes: Sequence[str], first: int) -> list[Image]:
    return [(picture(first + n), label, split, None) for n, label in enumerate(classes)]


def test_classes_that_a_given_split_lacks_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = [*given("training", CLASSES, 0), *given("validation", ["dog", "cat"], 10), *given("test", ["dog"], 20)]
    assert notes(tmp_path, images, capsys) == [
        "preprocess: 3 training, 2 validation, 1 test images of 32 pixels",
        "preprocess: 1 class ('owl') is not in the validation split that the source gives",
        "preprocess: 2 classes ('cat' and others) are not in the test split that the source gives",
    ]


def test_a_small_validation_split_is_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = [*given("training", CLASSES, 0), *given("validation", ["dog", "cat"], 10), *given("test", CLASSES, 20)]
    assert said(tmp_path, images, capsys)[-1] == (
        f"{SMALL}2 images, at least one class has none, which is few to choose the epoch and fit the temperature of the "
        "probabilities by; raise preprocess.validation_share, or add images"
    )


def test_splits_that_the_source_lacks_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    training, test = given("training", CLASSES * 3, 0), given("test", CLASSES, 20)
    assert notes(tmp_path / "test", [*training, *test], capsys)[1:] == [
        "preprocess: the source gives no validation split; it was cut from the images for training"
    ]
    assert notes(tmp_path / "none", training, capsys)[1:] == [
        "preprocess: the source gives no validation and no test splits; they were cut from the images for training"
    ]
    assert notes(tmp_path / "plain", [(*image[:2], None, None) for image in training], capsys)[1:] == []


def test_one_pair_and_one_group_are_told_in_the_singular(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images: list[Image] = [
        *given("training", CLASSES, 0),
        *given("validation", CLASSES, 10),
        *given("test", CLASSES, 20),
        (picture(0), "cat", "test", "g"),
        (picture(30), "cat", "training", "g"),
    ]
    assert notes(tmp_path, images, capsys)[1:] == [
        f"preprocess: 1 pair of images looks alike, 1 across splits; see {tmp_path / 'prepared' / 'near_duplicates.csv'}",
        "preprocess: 1 group ('g') is in more than one of the splits that the source gives",
    ]


def test_pairs_that_are_not_listed_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    encoded = [picture(9, size=(96, 96), kind="JPEG", quality=quality) for quality in range(70, 90)]
    alike: list[Image] = [(image, "cat", "training", None) for image in encoded]
    images = [*given("training", CLASSES, 100), *given("validation", CLASSES, 110), *given("test", CLASSES, 120), *alike]
    told = notes(tmp_path, images, capsys)[1]
    written = len((tmp_path / "prepared" / "near_duplicates.csv").read_text("utf-8").splitlines()) - 1
    in_all = len(find_similar(read_manifest(tmp_path / "raw", CLASSES), near=True))
    assert in_all > written
    assert told.startswith(f"preprocess: {in_all} pairs of images look alike, none across splits; {written} of them are in ")


def test_whole_training_images_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = [*given("training", CLASSES, 0), *given("validation", CLASSES, 10), *given("test", CLASSES, 20)]
    larger = PARAMETERS.model_copy(update={"training_size": 48})
    assert notes(tmp_path, images, capsys, larger)[0] == (
        "preprocess: 3 training, 3 validation, 3 test images of 32 pixels, those for training whole at 48 pixels"
    )
    assert Split(tmp_path / "prepared" / "training", 3).image_shape == (48, 48, 3)


def test_stored_images_smaller_than_the_others_are_refused() -> None:
    PARAMETERS.model_copy(update={"training_size": 32}).check(Params(0, {}))
    with pytest.raises(UserError, match="preprocess.training_size is 24, which is below preprocess.image_size, 32: raise it"):
        PARAMETERS.model_copy(update={"training_size": 24}).check(Params(0, {}))


def test_a_fold_is_cut_from_all_images_and_the_splits_of_the_source_are_told_to_be_unused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = [*given("training", CLASSES * 4, 0), *given("test", CLASSES * 2, 40)]
    tested = []
    for number in (1, 2, 3):
        fold = PARAMETERS.model_copy(update={"fold": f"{number}/3"})
        assert notes(tmp_path / str(number), images, capsys, fold)[-1] == (
            f"preprocess: the test split is fold {number}/3 of all images, whatever preprocess.test_share says; the splits of "
            "the source are not used"
        )
        rows = (tmp_path / str(number) / "prepared" / "index.csv").read_text("utf-8").splitlines()[1:]
        tested += [row.split(",")[0] for row in rows if row.split(",")[2] == "test"]
    assert sorted(tested) == [f"{number:03d}" for number in range(18)]


def test_sets_of_labels_pass_through_and_their_classes_are_in_all_splits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = ["cat|dog", "dog|owl", "", "owl", "cat"] * 8
    files = [Candidate(f"{n:03d}", label, lambda n=n: picture(n)) for n, label in enumerate(labels)]  # type: ignore[misc]
    write_raw(tmp_path / "raw", Source(CLASSES, lambda: iter(files), multi_label=True), max_pixels=10**6)
    preprocess(PARAMETERS, raw=tmp_path / "raw", prepared=tmp_path / "prepared")
    folder = tmp_path / "prepared"
    assert (folder / "classes.json").read_bytes() == (tmp_path / "raw" / "classes.json").read_bytes()
    texts, sets = read_label_texts(folder / "classes.json"), read_label_sets(folder / "classes.json")
    assert sets is not None
    with (folder / "index.csv").open(encoding="utf-8", newline="") as file:
        index = list(csv.DictReader(file))
    assert [row["label"] for row in index] == labels
    for split in ("training", "validation", "test"):
        stored = Split(folder / split, len(texts)).labels
        assert [texts[label] for label in stored] == [row["label"] for row in index if row["split"] == split]
        assert sets.of(stored[:]).any(axis=0).all()
    lines = capsys.readouterr().out.splitlines()
    counts = {split: sum(row["split"] == split for row in index) for split in ("training", "validation", "test")}
    assert lines[0] == f"preprocess: {', '.join(f'{count} {split}' for split, count in counts.items())} images of 32 pixels"
    assert lines[-1].startswith(f"{SMALL}{counts['validation']} images, at least one class has ")


def test_the_size_of_thumbnails_depends_on_the_classes_and_not_on_the_sets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resnet.preparation.prepared_data._MANY_CLASSES", 3)
    labels = ["cat|dog", "dog|owl", "", "owl", "cat"] * 4  # five sets of three classes
    files = [
        Candidate(f"{n:03d}", label, lambda n=n: picture(n, size=(120, 100)))  # type: ignore[misc]
        for n, label in enumerate(labels)
    ]
    write_raw(tmp_path / "raw", Source(CLASSES, lambda: iter(files), multi_label=True), max_pixels=10**6)
    preprocess(PARAMETERS, raw=tmp_path / "raw", prepared=tmp_path / "prepared")
    pictures = pq.read_table(tmp_path / "prepared" / "thumbnails.parquet")["jpeg"].to_pylist()
    assert {PIL.Image.open(io.BytesIO(one)).width for one in pictures} == {96}
