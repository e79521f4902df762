"""`data/prepared/`: arrays, index, similar images and thumbnails."""

import csv
import io
import itertools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
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
from resnet.preparation.similar_pairs import find_similar, leaks, limit_pairs, write_similar
from tests.pictures import picture

CLASSES = ["cat", "dog"]


def again(encoded: bytes) -> bytes:
    """The same picture, encoded again and worse."""
    Image.open(io.BytesIO(encoded)).convert("RGB").save(buffer := io.BytesIO(), "JPEG", quality=70)
    return buffer.getvalue()


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
        # Half a pixel of difference in where the middle is; the next image is 80 away.
        assert np.abs(found.astype(float) - np.asarray(small)[:, left : left + 32]).mean() < 8


def test_images_that_look_alike_are_found_and_leaks_told_apart(tmp_path: Path) -> None:
    photographs = [picture(n, size=(96, 96)) for n in range(20)]
    images = [(encoded, None) for encoded in photographs] + [(again(photographs[n]), None) for n in (4, 6)]
    manifest = make_raw(tmp_path / "raw", images)
    pairs = find_similar(manifest, near=True)
    assert pairs.tolist() == [[4, 20], [6, 21]]
    assert find_similar(manifest, near=False).tolist() == []
    splits = np.zeros(22, dtype=np.int8)
    splits[20] = 2
    assert leaks(pairs, splits).tolist() == [True, False]
    write_similar(tmp_path / "similar.csv", manifest, pairs, splits)
    with (tmp_path / "similar.csv").open(encoding="utf-8", newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["path"], first["split"], first["other"], first["other_split"]) == ("004", "training", "020", "test")
    assert second["other_split"] == "training"
    assert int(first["distance"]) > 0


def alike(fingerprints: npt.NDArray[np.uint8]) -> Manifest:
    """A manifest of images of which only the perceptual hashes are given, (images, 8)."""
    images = len(fingerprints)
    pixel_hashes = np.arange(32 * images, dtype=">u4").view(np.uint8).reshape(images, -1)[:, -32:].copy()
    nothing: list[str | None] = [None] * images
    return Manifest(
        [f"{n:03d}" for n in range(images)], np.zeros(images, np.uint16), nothing, nothing, pixel_hashes, fingerprints
    )


def all_pairs(rows: Sequence[int]) -> list[tuple[int, int]]:
    return list(itertools.combinations(rows, 2))


def test_the_nearest_of_many_pairs_are_listed() -> None:
    bits = np.tri(30, 64, -1, dtype=np.uint8)  # image n has n bits, so n and m are |n - m| apart
    pairs = np.array(all_pairs(range(30)))
    listed = limit_pairs(alike(np.packbits(bits, axis=1)), pairs, np.zeros(30, np.int8))
    # An image in the middle has its ten nearest within 5; towards the ends these are no longer mutual.
    assert listed.tolist() == [[one, other] for one, other in pairs.tolist() if other - one <= 5]


def test_few_pairs_are_all_listed() -> None:
    pairs = np.array(all_pairs(range(11)))
    assert limit_pairs(alike(np.zeros((11, 8), np.uint8)), pairs, np.zeros(11, np.int8)).tolist() == pairs.tolist()
    assert limit_pairs(alike(np.zeros((2, 8), np.uint8)), pairs[:0], np.zeros(2, np.int8)).tolist() == []


def test_of_a_crowd_ten_pairs_of_an_image_and_one_of_each_other_are_listed() -> None:
    pairs = np.array(all_pairs(range(60)))
    listed = limit_pairs(alike(np.zeros((60, 8), np.uint8)), pairs, np.zeros(60, np.int8))
    assert len(listed) == 104  # all 55 of images 0 to 10, and 0 with each of the other 49
    star = pairs[pairs[:, 0] == 0]
    assert limit_pairs(alike(np.zeros((60, 8), np.uint8)), star, np.zeros(60, np.int8)).tolist() == star.tolist()


@pytest.mark.parametrize("seed", range(10))
def test_every_image_of_a_leak_keeps_one(seed: int) -> None:
    generator = np.random.default_rng(seed)
    splits = generator.choice(np.arange(3, dtype=np.int8), 200, p=[0.9, 0.05, 0.05])
    pairs = np.array([pair for first in range(0, 200, 50) for pair in all_pairs(range(first, first + 50))])
    pairs = pairs[generator.random(len(pairs)) < 0.8]
    listed = limit_pairs(alike(generator.integers(0, 256, (200, 8), dtype=np.uint8)), pairs, splits)
    assert len(listed) <= 6 * 200
    assert set(map(tuple, listed.tolist())) < set(map(tuple, pairs.tolist()))
    assert set(listed.ravel().tolist()) == set(pairs.ravel().tolist())
    across, listed_across = (some[splits[some[:, 0]] != splits[some[:, 1]]] for some in (pairs, listed))
    assert set(listed_across.ravel().tolist()) == set(across.ravel().tolist())


def test_copies_across_splits_that_the_source_gives_are_leaks(tmp_path: Path) -> None:
    images = [(picture(n), "training") for n in range(8)] + [(picture(2, kind="BMP"), "test")]
    manifest = make_raw(tmp_path / "raw", images)
    assert find_similar(manifest, near=False).tolist() == [[2, 8]]
    splits = np.array([0] * 8 + [2], dtype=np.int8)
    write_similar(tmp_path / "similar.csv", manifest, find_similar(manifest, near=True), splits)
    assert "002,training,008,test,0" in (tmp_path / "similar.csv").read_text("utf-8")


def test_some_of_each_class_and_all_leaks_are_pictured(tmp_path: Path) -> None:
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


def test_an_image_that_does_not_decode_any_more_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = make_raw(tmp_path / "raw", [(picture(n), None) for n in range(4)])
    damaged = [picture(0), picture(1)[:50], picture(2), picture(3)]
    monkeypatch.setattr("resnet.preparation.prepared_data.read_encoded", lambda *_: iter(damaged))
    (tmp_path / "prepared").mkdir()
    with pytest.raises(UserError, match=r"raw is damaged or cut short \(001 does not decode any more"):
        write_prepared(
            tmp_path / "prepared", tmp_path / "raw", manifest, np.zeros(4, np.int8), pictured=np.zeros(4, np.bool_), size=32
        )
