"""The pairs of similar images that are found, selected and written."""

import csv
import io
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from resnet.images.manifest import Manifest
from resnet.images.perceptual_fingerprint import FINGERPRINT_BYTES, perceptual_fingerprint
from resnet.preparation.similar_pairs import find_similar, leaks, limit_pairs, write_similar
from tests.pictures import picture


def manifest_of(fingerprints: npt.NDArray[np.uint8], pixels: Sequence[int] | None = None) -> Manifest:
    """A manifest of images of which only fingerprints are given; images with the same number in `pixels` have equal pixels."""
    images = len(fingerprints)
    numbers = np.arange(images) if pixels is None else np.array(pixels)
    pixel_hashes = np.zeros((images, 32), np.uint8)
    pixel_hashes[:, 8:16] = (numbers + 1).astype(">u8")[:, None].view(np.uint8)
    names = [f"{n:03d}" for n in range(images)]
    return Manifest(names, np.zeros(images, np.uint16), [None] * images, [None] * images, pixel_hashes, fingerprints)


def photographs(encoded: Sequence[bytes]) -> npt.NDArray[np.uint8]:
    """The fingerprints of encoded images."""
    prints = b"".join(perceptual_fingerprint(Image.open(io.BytesIO(one)).convert("RGB")) for one in encoded)
    return np.frombuffer(prints, np.uint8).reshape(-1, FINGERPRINT_BYTES)


def encoded_again(encoded: bytes) -> bytes:
    """The same image as a JPEG of lower quality."""
    Image.open(io.BytesIO(encoded)).convert("RGB").save(buffer := io.BytesIO(), "JPEG", quality=70)
    return buffer.getvalue()


def test_images_that_look_alike_are_found_and_leaks_marked(tmp_path: Path) -> None:
    originals = [picture(n, size=(96, 96)) for n in range(20)]
    manifest = manifest_of(photographs([*originals, *(encoded_again(originals[n]) for n in (4, 6))]))
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


def test_images_with_equal_pixels_are_a_pair_at_distance_zero(tmp_path: Path) -> None:
    originals = [picture(n) for n in range(8)]
    manifest = manifest_of(photographs([*originals, originals[2]]), pixels=[*range(8), 2])
    assert find_similar(manifest, near=False).tolist() == [[2, 8]]
    splits = np.array([0] * 8 + [2], dtype=np.int8)
    write_similar(tmp_path / "similar.csv", manifest, find_similar(manifest, near=True), splits)
    assert (tmp_path / "similar.csv").read_text("utf-8").splitlines() == [
        "path,split,other,other_split,distance",
        "002,training,008,test,0",
    ]


def test_equal_hashes_of_different_pixels_are_at_distance_one(tmp_path: Path) -> None:
    manifest = manifest_of(np.ones((2, FINGERPRINT_BYTES), np.uint8))
    write_similar(tmp_path / "similar.csv", manifest, np.array([[0, 1]]), np.zeros(2, np.int8))
    assert (tmp_path / "similar.csv").read_text("utf-8").endswith("000,training,001,training,1\n")


def all_pairs(rows: Sequence[int]) -> list[tuple[int, int]]:
    return list(itertools.combinations(rows, 2))


def test_the_nearest_of_many_pairs_are_listed() -> None:
    bits = np.tri(30, 64, -1, dtype=np.uint8)  # image n has n bits, so n and m are |n - m| apart
    pairs = np.array(all_pairs(range(30)))
    listed = limit_pairs(manifest_of(np.packbits(bits, axis=1)), pairs, np.zeros(30, np.int8))
    # The ten nearest of an image in the middle are at most 5 away; near the ends this is not mutual.
    assert listed.tolist() == [[one, other] for one, other in pairs.tolist() if other - one <= 5]


def test_few_pairs_are_all_listed() -> None:
    pairs = np.array(all_pairs(range(11)))
    assert limit_pairs(manifest_of(np.zeros((11, 8), np.uint8)), pairs, np.zeros(11, np.int8)).tolist() == pairs.tolist()
    assert limit_pairs(manifest_of(np.zeros((2, 8), np.uint8)), pairs[:0], np.zeros(2, np.int8)).tolist() == []


def test_of_a_cluster_ten_pairs_of_an_image_and_one_of_each_other_are_listed() -> None:
    pairs = np.array(all_pairs(range(60)))
    listed = limit_pairs(manifest_of(np.zeros((60, 8), np.uint8)), pairs, np.zeros(60, np.int8))
    assert len(listed) == 104  # all 55 of images 0 to 10, and 0 with each of the other 49
    star = pairs[pairs[:, 0] == 0]
    assert limit_pairs(manifest_of(np.zeros((60, 8), np.uint8)), star, np.zeros(60, np.int8)).tolist() == star.tolist()


@pytest.mark.parametrize("seed", range(10))
def test_every_image_of_a_leak_keeps_one(seed: int) -> None:
    generator = np.random.default_rng(seed)
    splits = generator.choice(np.arange(3, dtype=np.int8), 200, p=[0.9, 0.05, 0.05])
    pairs = np.array([pair for first in range(0, 200, 50) for pair in all_pairs(range(first, first + 50))])
    pairs = pairs[generator.random(len(pairs)) < 0.8]
    listed = limit_pairs(manifest_of(generator.integers(0, 256, (200, 8), dtype=np.uint8)), pairs, splits)
    assert len(listed) <= 6 * 200
    assert set(map(tuple, listed.tolist())) < set(map(tuple, pairs.tolist()))
    assert set(listed.ravel().tolist()) == set(pairs.ravel().tolist())
    across, listed_across = (some[splits[some[:, 0]] != splits[some[:, 1]]] for some in (pairs, listed))
    assert set(listed_across.ravel().tolist()) == set(across.ravel().tolist())
