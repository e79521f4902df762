"""What is read from `data/raw/`."""

import io
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from commands.advice.data_facts import read_facts, take_sample
from commands.advice.parameters import with_values
from resnet.core.errors import UserError
from resnet.images.manifest import read_manifest
from resnet.images.outcomes import Candidate
from resnet.ingestion.raw_data import write_raw
from resnet.ingestion.sources.source import Source
from tests.imports import ROOT
from tests.pictures import picture

CLASSES = ["cat", "dog"]


def write(folder: Path, *, images: int = 60, size: tuple[int, int] = (40, 30), splits: bool = False) -> Path:
    """Raw data of which one image in four is a dog, and the last six are given for the test."""
    files = [
        Candidate(
            f"{number:03d}.png",
            CLASSES[number % 4 == 0],
            partial(picture, number, size=size),
            ("test" if number >= images - 6 else "training") if splits else None,
        )
        for number in range(images)
    ]
    write_raw(folder, Source(CLASSES, lambda: iter(files)), max_pixels=10**6)
    return folder


@pytest.fixture
def text(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(ROOT)
    return (ROOT / "params.yaml").read_text("utf-8")


def test_the_facts_of_the_data(tmp_path: Path, text: str) -> None:
    raw = write(tmp_path / "raw", splits=True)
    facts, sample = read_facts(raw, with_values(text, {"ingest.source": "photos", "preprocess.validation_share": 0.25}))
    assert facts.images[2] == 6
    assert sum(facts.images) == 60
    assert facts.images[0] == facts.rarest + facts.largest == len(sample.encoded)
    assert (facts.source, facts.classes, facts.short_side, facts.mirror.images) == ("photos", 2, 30, facts.images[0])
    assert facts.rarest < facts.largest
    assert facts.are_small
    assert facts.sentence().startswith("photos: ")


def test_no_image_of_the_test_split_is_looked_at(tmp_path: Path, text: str) -> None:
    raw = write(tmp_path / "raw", splits=True)
    _, sample = read_facts(raw, with_values(text, {}))
    assert not {*sample.encoded} & {picture(number, size=(40, 30)) for number in range(54, 60)}


def test_of_many_classes_those_with_the_most_images_are_looked_at(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("commands.advice.data_facts._CLASSES", 1)
    facts, sample = read_facts(write(tmp_path / "raw"), with_values(text, {}))
    assert set(sample.labels.tolist()) == {0}  # cats
    assert facts.mirror.alike is None


def test_the_sample_has_the_labels_of_its_images(tmp_path: Path) -> None:
    raw = write(tmp_path / "raw")
    sample = take_sample(raw, read_manifest(raw, CLASSES), np.arange(10, 20))
    pictures = {picture(number, size=(40, 30)): number for number in range(60)}
    numbers = [pictures[encoded] for encoded in sample.encoded]
    assert numbers == list(range(10, 20))
    assert sample.labels.tolist() == [int(number % 4 == 0) for number in numbers]


def test_a_shard_that_is_cut_short_is_named(tmp_path: Path, text: str) -> None:
    raw = write(tmp_path / "raw")
    shard = raw / "images-00000.parquet"
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"images-00000\.parquet is damaged or cut short"):
        read_facts(raw, with_values(text, {}))


def test_an_image_that_no_longer_decodes_is_named(tmp_path: Path, text: str) -> None:
    raw = write(tmp_path / "raw")
    shard = raw / "images-00000.parquet"
    table = pq.read_table(shard)
    rows = table.to_pylist()
    for row in rows:
        row["image"]["bytes"] = row["image"]["bytes"][:60]
    pq.write_table(type(table).from_pylist(rows, schema=table.schema), shard)
    with pytest.raises(UserError, match="one of its images no longer decodes"):
        read_facts(raw, with_values(text, {}))


def test_shards_of_other_data_are_refused(tmp_path: Path, text: str) -> None:
    raw, other = write(tmp_path / "raw"), write(tmp_path / "other", images=48)
    (raw / "images-00000.parquet").write_bytes((other / "images-00000.parquet").read_bytes())
    with pytest.raises(UserError, match="its manifest lists 60 images, but its shards hold another number"):
        read_facts(raw, with_values(text, {}))


def test_an_original_is_measured_by_its_shorter_side(tmp_path: Path, text: str) -> None:
    raw = write(tmp_path / "raw", size=(300, 90))
    facts, _ = read_facts(raw, with_values(text, {}))
    assert (facts.short_side, facts.are_small) == (90, False)
    assert Image.open(io.BytesIO(picture(0, size=(300, 90)))).size == (300, 90)


def test_the_fold_is_the_test_split(tmp_path: Path, text: str) -> None:
    raw = write(tmp_path / "raw", images=100, splits=True)  # the splits of the source have 6 test images
    sizes = [
        read_facts(raw, with_values(text, {"preprocess.fold": fold, "preprocess.test_share": 0.5}))[0].images[2]
        for fold in ("1/4", "2/4", "3/4", "4/4")
    ]
    assert sum(sizes) == 100


@pytest.mark.parametrize(
    ("values", "splits"),
    [
        ({"preprocess.validation_share": 0.05}, False),
        ({"preprocess.validation_share": 0.05}, True),
        ({"preprocess.fold": "1/5"}, False),
    ],
)
def test_few_validation_images_become_a_fifth_of_what_is_not_for_testing(
    tmp_path: Path, text: str, values: dict[str, object], splits: bool
) -> None:
    facts, _ = read_facts(write(tmp_path / "raw", images=200, splits=splits), with_values(text, values))
    training, validation, _ = facts.images
    assert validation == pytest.approx((training + validation) / 5, abs=8)  # positions are random, by content
    assert facts.validation_share > 0.14
    assert f"; {validation} validation images are few: they choose the epoch" in facts.sentence()


def test_enough_validation_images_keep_their_share(tmp_path: Path, text: str) -> None:
    raw = write(tmp_path / "raw", images=200)
    facts, _ = read_facts(raw, with_values(text, {"preprocess.validation_share": 0.4}))
    assert facts.validation_share == 0.4
    assert facts.images[1] > 50
    assert "few" not in facts.sentence()


def test_of_several_labels_classes_are_counted_and_sets_are_mirrored(tmp_path: Path, text: str) -> None:
    labels = ["cat|dog", "dog", "", "cat"] * 15
    files = [Candidate(f"{n:03d}.png", label, partial(picture, n)) for n, label in enumerate(labels)]
    write_raw(tmp_path / "raw", Source(CLASSES, lambda: iter(files), multi_label=True), max_pixels=10**6)
    facts, sample = read_facts(tmp_path / "raw", with_values(text, {"preprocess.validation_share": 0.25}))
    assert facts.multi_label
    assert facts.classes == 2
    assert len(sample.encoded) == facts.images[0]
    assert facts.rarest <= facts.largest < facts.images[0] < facts.rarest + facts.largest + 15
    assert "images of 2 classes, several for an image; the" in facts.sentence()
    assert {*sample.labels.tolist()} == {0, 1, 2, 3}  # numbers of sets
