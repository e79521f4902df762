"""`croissant.json`: it is valid, and `mlcroissant` reads from it what `ingest` took."""

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import mlcroissant
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from resnet.core.checksums import RAW, sha256
from resnet.core.classes import write_classes
from resnet.core.errors import UserError
from resnet.core.tables import read_table
from resnet.images.outcomes import Candidate
from resnet.images.shards import read_encoded
from resnet.ingestion.raw_data import write_raw
from resnet.ingestion.sources.source import Source
from tasks.report.croissant import _MOST_SHARDS, write_croissant
from tasks.report.origin import Origin
from tests.pictures import picture

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of mlcroissant, for rdflib and pandas
CLASSES = ["007", 'a: "b"\n{c}', "nan", "\U0001f642"]
COLUMNS = {"path": "str", "label": "str", "split": "str", "group": "str"}


@pytest.fixture
def described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `raw/`, 13 images in four shards with splits and groups, and its `croissant.json`."""
    monkeypatch.setattr("resnet.images.shards._GROUP_IMAGES", 4)
    files = [
        Candidate(f"{n % 4}/{n}.png", CLASSES[n % 4], partial(picture, n), "test" if n % 3 else "training", f"patient {n % 2}")
        for n in range(13)
    ]
    write_raw(tmp_path / "raw", Source(CLASSES, lambda: iter(files)), max_pixels=10**6, shard_bytes=1)
    describe(tmp_path)
    return tmp_path


def describe(folder: Path, origin: Origin = Origin("photos")) -> dict[str, Any]:  # noqa: B008 - immutable
    manifest = read_table(folder / "raw/manifest.csv", COLUMNS)
    write_croissant(folder / "croissant.json", folder / "raw", CLASSES, manifest, origin)
    tree: dict[str, Any] = json.loads((folder / "croissant.json").read_text("utf-8"))
    return tree


def opened(folder: Path) -> mlcroissant.Dataset:
    """The data set; this validates the file as `mlcroissant validate` does, and raises if it has an error."""
    return mlcroissant.Dataset(folder / "croissant.json")


def test_mlcroissant_reads_every_image_with_its_label(described: Path) -> None:
    dataset = opened(described)
    records = list(dataset.records("images"))
    names = {one["classes/label"]: one["classes/name"] for one in dataset.records("classes")}
    assert [names[number] for number in range(4)] == CLASSES
    expected = [(f"{n % 4}/{n}.png", CLASSES[n % 4]) for n in range(13)]
    assert [(one["images/path"].decode(), names[one["images/label"]]) for one in records] == expected
    for number in (0, 12):
        (described / "one.png").write_bytes(picture(number))
        with Image.open(described / "one.png") as image:
            assert np.array_equal(np.asarray(records[number]["images/image"]), np.asarray(image))


def test_mlcroissant_reads_the_splits_and_groups(described: Path) -> None:
    records = list(opened(described).records("manifest"))
    assert len(records) == 13
    first = records[1]
    assert {name.partition("/")[2]: first[name] for name in first} == {
        "path": b"1/1.png",
        "split": b"test",
        "group": b"patient 1",
        "width": 12,
        "height": 10,
        "format": b"PNG",
        "sha256": read_table(described / "raw/manifest.csv", {"sha256": "str"})["sha256"][1].encode(),
    }


def test_splits_and_groups_that_no_image_has_are_no_fields(tmp_path: Path) -> None:
    files = [Candidate(f"{n}.png", CLASSES[n % 4], partial(picture, n)) for n in range(4)]
    write_raw(tmp_path / "raw", Source(CLASSES, lambda: iter(files)), max_pixels=10**6)
    fields = [field["name"] for field in describe(tmp_path)["recordSet"][2]["field"]]
    assert fields == ["path", "width", "height", "format", "sha256"]


def test_every_file_is_named_with_its_hash(described: Path) -> None:
    distribution = json.loads((described / "croissant.json").read_text("utf-8"))["distribution"]
    files = [entry for entry in distribution if entry["@type"] == "cr:FileObject"]
    shards = sorted(path.name for path in (described / "raw").glob("*.parquet"))
    assert len(shards) == 4
    assert [entry["name"] for entry in files] == ["manifest.csv", "classes.json", *shards]
    for entry in files:
        assert entry["sha256"] == sha256(described / entry["contentUrl"])
    assert f"raw/{RAW}" in distribution[-1]["description"]


def test_a_copy_elsewhere_can_be_read(described: Path, tmp_path: Path) -> None:
    shutil.copytree(described, tmp_path / "elsewhere" / "copy")
    shutil.rmtree(described / "raw")
    assert len(list(opened(tmp_path / "elsewhere" / "copy").records("images"))) == 13


def test_the_same_data_give_the_same_bytes_wherever_they_are(described: Path, tmp_path: Path) -> None:
    before = (described / "croissant.json").read_bytes()
    shutil.copytree(described / "raw", tmp_path / "other" / "raw")
    describe(tmp_path / "other")
    assert (tmp_path / "other/croissant.json").read_bytes() == before


@pytest.mark.parametrize(
    "origin",
    [
        Origin("photos"),
        Origin("a: 'b' \"c\"\n\U0001f642", None, "no", "1e3"),
        Origin("someone/clothes", "someone/clothes", "https://creativecommons.org/publicdomain/zero/1.0/", "Me (2026)."),
    ],
    ids=["unknown", "hostile", "known"],
)
def test_only_what_is_known_is_stated(origin: Origin, described: Path) -> None:
    tree = describe(described, origin)
    stated = {"license": origin.license, "citeAs": origin.citation}
    assert {name: tree.get(name) for name in stated} == stated
    assert tree.get("url") == (f"https://huggingface.co/datasets/{origin.hub}" if origin.hub else None)
    assert not {"version", "datePublished", "creator"} & tree.keys()
    metadata = opened(described).metadata
    assert (metadata.name, metadata.cite_as) == (origin.name, origin.citation)


def test_its_size_does_not_grow_with_the_images(tmp_path: Path) -> None:
    """A thousand classes, and more shards than it lists; the sums alone decide which shards there are."""
    classes = [f"class {number}" for number in range(1000)]
    (tmp_path / "raw").mkdir()
    names = [f"images-{number:05d}.parquet" for number in range(_MOST_SHARDS + 500)]
    lines = [f"{'0' * 64}  {name}\n" for name in ("classes.json", *names, "manifest.csv")]
    (tmp_path / "raw" / RAW).write_text("".join(lines), encoding="utf-8")
    write_classes(tmp_path / "raw" / "classes.json", classes)
    manifest = pd.DataFrame({"split": [""] * 3, "group": [""] * 3})
    write_croissant(tmp_path / "croissant.json", tmp_path / "raw", classes, manifest, Origin("photos"))
    assert (tmp_path / "croissant.json").stat().st_size < 600_000
    tree = json.loads((tmp_path / "croissant.json").read_text("utf-8"))
    assert len(tree["distribution"]) == 2 + _MOST_SHARDS + 1
    assert len(tree["recordSet"][1]["data"]) == 1000


def test_a_list_of_sums_without_a_table_is_damaged(described: Path) -> None:
    sums = described / "raw" / RAW
    sums.write_text("".join(line for line in sums.read_text("utf-8").splitlines(keepends=True) if "classes" not in line))
    with pytest.raises(UserError, match=rf"{RAW} is damaged or cut short \(it does not list 'classes.json'\)"):
        describe(described)


def test_the_bytes_of_an_image_are_those_of_the_shards(described: Path) -> None:
    paths = read_table(described / "raw/manifest.csv", COLUMNS)["path"]
    assert list(read_encoded(described / "raw", paths)) == [picture(number) for number in range(13)]


def test_an_image_may_have_several_labels(tmp_path: Path) -> None:
    labels = [f"{CLASSES[0]}|{CLASSES[3]}", "", CLASSES[2], "|".join(CLASSES)]
    files = [Candidate(f"{n}.png", label, partial(picture, n)) for n, label in enumerate(labels)]
    write_raw(tmp_path / "raw", Source(CLASSES, lambda: iter(files), multi_label=True), max_pixels=10**6)
    tree = describe(tmp_path)
    assert "4 classes, of which an image may have several or none, in their" in tree["description"]
    assert tree["recordSet"][0]["field"][2]["repeated"] is True
    records = list(opened(tmp_path).records("images"))
    assert [list(one["images/label"]) for one in records] == [[0, 3], [], [2], [0, 1, 2, 3]]
