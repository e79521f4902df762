"""The arrays, the index and the thumbnails of `data/prepared/`."""

import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from resnet.core.errors import UserError
from resnet.dataset.arrays import Split
from resnet.images.manifest import Manifest, read_manifest
from resnet.images.outcomes import Candidate
from resnet.ingestion.raw_data import write_raw
from resnet.ingestion.sources.source import Source
from resnet.preparation.prepared_data import choose_pictured, write_index, write_prepared
from tests.pictures import picture

CLASSES = ["cat", "dog"]


def make_raw(folder: Path, images: Sequence[tuple[bytes, str | None]]) -> Manifest:
    files = [Candidate(f"{n:03d}", CLASSES[n % 2], lambda e=e: e, split) for n, (e, split) in enumerate(images)]  # type: ignore[misc]
    write_raw(folder, Source(CLASSES, lambda: iter(files)), max_pixels=10**6)
    return read_manifest(folder, CLASSES)


def test_each_image_is_where_the_index_says(tmp_path: Path) -> None:
    images = [(picture(n, size=(50 + n, 40)), None) for n in range(30)]
    manifest = make_raw(tmp_path / "raw", images)
    splits = np.array([n % 3 for n in range(30)], dtype=np.int8)
    folder = tmp_path / "prepared"
    folder.mkdir()
    write_index(folder / "index.csv", manifest, splits, CLASSES)
    write_prepared(folder, tmp_path / "raw", manifest, splits, pictured=np.zeros(30, np.bool_), size=32)
    index = pd.read_csv(folder / "index.csv", dtype={"path": str})
    assert index["split"].tolist() == ["training", "validation", "test"] * 10
    for row in index.to_dict("records"):
        split = Split(folder / row["split"], 2)
        assert CLASSES[split.labels[row["row"]]] == row["label"]
        original = Image.open(io.BytesIO(images[int(row["path"])][0])).convert("RGB")
        scale = 32 / 40
        small = original.resize((round(original.width * scale), 32), Image.Resampling.BICUBIC)
        left = (small.width - 32) // 2
        found = split.gather(np.array([row["row"]]))[0]
        # The crops may differ by half a pixel; another image differs by about 80.
        assert np.abs(found.astype(float) - np.asarray(small)[:, left : left + 32]).mean() < 8


def test_training_images_can_be_stored_whole_and_the_others_stay_as_they_are(tmp_path: Path) -> None:
    images = [(picture(n, size=(90, 60)), None) for n in range(6)]
    manifest, splits = make_raw(tmp_path / "raw", images), np.array([0, 1, 2] * 2, np.int8)
    for name, training_size in (("plain", None), ("whole", 48)):
        (tmp_path / name).mkdir()
        pictured = np.array([True, False] * 3)
        write_prepared(
            tmp_path / name, tmp_path / "raw", manifest, splits, pictured=pictured, size=32, training_size=training_size
        )
    plain, whole = (Split(tmp_path / name / "training", 2) for name in ("plain", "whole"))
    assert (plain.image_shape, plain.aspects) == ((32, 32, 3), None)
    assert whole.image_shape == (48, 48, 3)
    assert whole.aspects is not None
    assert whole.aspects.tolist() == [1.5, 1.5]
    for row, (encoded, _) in enumerate(images[::3]):
        wanted = Image.open(io.BytesIO(encoded)).convert("RGB").resize((48, 48), Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(whole.gather(np.array([row]))[0], np.asarray(wanted))
    for file in ("validation/images-00000.npy", "test/images-00000.npy", "test/checksums.npy", "thumbnails.parquet"):
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "plain" / file).read_bytes()
    assert not (tmp_path / "whole" / "test" / "aspects.npy").exists()


def test_some_images_of_each_class_and_all_leaks_have_thumbnails(tmp_path: Path) -> None:
    manifest = make_raw(tmp_path / "raw", [(picture(n, size=(160, 80)), None) for n in range(120)])
    splits = np.array([n % 3 for n in range(120)], dtype=np.int8)
    pairs = np.array([[0, 1], [0, 3], [100, 110]])
    pictured = choose_pictured(manifest, 2, pairs, splits)
    assert pictured[[0, 1, 3, 100, 110]].all()
    of_class = Counter(manifest.labels[pictured].tolist())
    assert of_class[0] in range(24, 30)
    assert of_class[1] in range(24, 30)
    folder = tmp_path / "prepared"
    folder.mkdir()
    write_prepared(folder, tmp_path / "raw", manifest, splits, pictured=pictured, size=32)
    thumbnails = pd.read_parquet(folder / "thumbnails.parquet")
    assert thumbnails["path"].tolist() == [f"{n:03d}" for n in np.flatnonzero(pictured)]
    assert Image.open(io.BytesIO(thumbnails["jpeg"][0])).size == (96, 48)


def test_an_image_that_no_longer_decodes_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = make_raw(tmp_path / "raw", [(picture(n), None) for n in range(4)])
    damaged = [picture(0), picture(1)[:50], picture(2), picture(3)]
    monkeypatch.setattr("resnet.preparation.prepared_data.read_encoded", lambda *_: iter(damaged))
    (tmp_path / "prepared").mkdir()
    with pytest.raises(UserError, match=r"raw is damaged or cut short \(001 no longer decodes"):
        write_prepared(
            tmp_path / "prepared", tmp_path / "raw", manifest, np.zeros(4, np.int8), pictured=np.zeros(4, np.bool_), size=32
        )
