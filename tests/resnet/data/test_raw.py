"""`data/raw/`: a source's images as Parquet shards that other programs read too."""

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from resnet.data.classes import read_classes, write_classes
from resnet.data.manifest import read_manifest
from resnet.data.raw import read_encoded, write_raw
from resnet.data.sources import SOURCES, Sample, Source, digits
from resnet.errors import UserError

CLASSES = ["cat", "dög, 'big'"]


def samples(count: int = 6) -> Iterator[Sample]:
    for number in range(count):
        buffer = io.BytesIO()
        Image.new("L", (3 + number, 2), number).save(buffer, "PNG")
        label = CLASSES[number % 2]
        yield Sample(f"{label}/{number}.png", label, buffer.getvalue())


SOURCE = Source(CLASSES, samples)


def content(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert write_raw(tmp_path / "raw", SOURCE) == 6
    classes = read_classes(tmp_path / "raw" / "classes.json")
    entries = read_manifest(tmp_path / "raw", classes)
    assert classes == CLASSES
    read = [(entry.path, classes[entry.label], encoded) for entry, encoded in read_encoded(tmp_path / "raw", entries)]
    assert read == [(sample.path, sample.label, sample.encoded) for sample in samples()]


def test_the_manifest_has_a_line_for_each_image(tmp_path: Path) -> None:
    write_raw(tmp_path / "raw", SOURCE)
    manifest = pd.read_csv(tmp_path / "raw" / "manifest.csv")
    assert manifest["path"].tolist() == [sample.path for sample in samples()]
    assert manifest["width"].tolist() == [3, 4, 5, 6, 7, 8]
    assert set(manifest["height"]) == {2}
    assert set(manifest["format"]) == {"PNG"}
    assert manifest["sha256"][0] == hashlib.sha256(next(samples()).encoded).hexdigest()


def test_shards_are_in_the_image_layout_of_hugging_face(tmp_path: Path) -> None:
    write_raw(tmp_path / "raw", SOURCE)
    table = pq.read_table(tmp_path / "raw" / "images-00000.parquet")
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert features == {"image": {"_type": "Image"}, "label": {"names": CLASSES, "_type": "ClassLabel"}}
    frame = pd.read_parquet(tmp_path / "raw" / "images-00000.parquet")
    assert frame["label"].tolist() == [0, 1, 0, 1, 0, 1]
    assert frame["image"][1]["path"] == "dög, 'big'/1.png"
    assert Image.open(io.BytesIO(frame["image"][5]["bytes"])).size == (8, 2)


def test_the_same_source_makes_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_raw(tmp_path / name, SOURCE)
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_a_full_shard_is_followed_by_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnet.data.raw._GROUP_BYTES", 1)  # one image in a group
    write_raw(tmp_path / "raw", SOURCE, shard_bytes=150)
    shards = sorted((tmp_path / "raw").glob("*.parquet"))
    assert len(shards) == 3
    entries = read_manifest(tmp_path / "raw", CLASSES)
    assert [entry.path for entry, _ in read_encoded(tmp_path / "raw", entries)] == [sample.path for sample in samples()]


@pytest.mark.parametrize(("classes", "found"), [(["cat"], "1 class \\(cat\\)"), ([], "0 classes \\(none\\)")])
def test_fewer_than_two_classes_are_refused(tmp_path: Path, classes: list[str], found: str) -> None:
    with pytest.raises(UserError, match=f"the source has {found}, but a classifier needs 2 to 65536"):
        write_raw(tmp_path / "raw", Source(classes, lambda: iter(())))
    assert not (tmp_path / "raw").exists()


def test_an_image_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cat/x\.png cannot be read as an image"):
        write_raw(tmp_path / "raw", Source(CLASSES, lambda: iter([Sample("cat/x.png", "cat", b"text")])))


def read_all(folder: Path) -> None:
    list(read_encoded(folder, read_manifest(folder, read_classes(folder / "classes.json"))))


def test_a_manifest_without_its_last_lines_is_noticed(tmp_path: Path) -> None:
    write_raw(tmp_path / "raw", SOURCE)
    path = tmp_path / "raw" / "manifest.csv"
    path.write_text("".join(path.read_text("utf-8").splitlines(keepends=True)[:-2]), encoding="utf-8")
    with pytest.raises(UserError, match="shards hold more than the 4 images that its manifest lists"):
        read_all(tmp_path / "raw")


@pytest.mark.parametrize("name", ["classes.json", "manifest.csv", "images-00000.parquet"])
def test_a_file_that_is_cut_short_or_missing_is_named(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "raw"
    write_raw(folder, SOURCE)
    path = folder / name
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match=r"is damaged or cut short \(.+\); remove it and run `dvc repro`"):
        read_all(folder)
    path.unlink()
    with pytest.raises(UserError, match=r"missing|manifest lists"):
        read_all(folder)


def test_classes_must_be_two_names(tmp_path: Path) -> None:
    path = tmp_path / "classes.json"
    for text in ('{"a": 1}', '["a"]', "[1, 2]"):
        path.write_text(text)
        with pytest.raises(UserError, match="not a list of two or more names"):
            read_classes(path)
    write_classes(path, ["a", "b"])
    assert read_classes(path) == ["a", "b"]


def test_digits_are_scikit_learns() -> None:
    found = list(digits().samples())
    expected = load_digits()
    assert SOURCES["digits"] is digits
    assert len(found) == 1797
    assert [int(sample.label) for sample in found] == expected.target.tolist()
    assert len({sample.path for sample in found}) == 1797
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(sample.encoded))) for sample in found])
    assert pixels.max() == 255
    np.testing.assert_allclose(pixels / 255 * 16, expected.images, atol=0.05)
