"""Splits as memory-mapped arrays, and the detection of flipped bits in them."""

import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from resnet.core.errors import UserError
from resnet.dataset.arrays import Split, SplitWriter

Writer = Callable[..., Path]
IMAGE_BYTES = 32 * 32 * 3


def expected(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


@pytest.mark.parametrize("per_shard", [1, 3, 7, 100])
def test_images_come_back_whatever_shard_they_are_in(write_split: Writer, per_shard: int) -> None:
    folder = write_split("split", list(range(7)), shard_bytes=per_shard * IMAGE_BYTES)
    split = Split(folder, classes=7)
    assert len(list(folder.glob("images-*.npy"))) == -(-7 // per_shard)
    assert len(split) == 7
    assert split.image_shape == (32, 32, 3)
    assert split.labels.dtype == np.uint16
    assert split.labels.tolist() == list(range(7))
    rows = np.array([6, 0, 3, 3])
    gathered = split.gather(rows)
    assert gathered.dtype == np.uint8
    np.testing.assert_array_equal(gathered, expected(7)[rows])


def test_files_are_plain_npy_and_memory_mapped(write_split: Writer) -> None:
    folder = write_split("split", [0, 1])
    np.testing.assert_array_equal(np.load(folder / "images-00000.npy"), expected(2))
    assert all(isinstance(shard, np.memmap) for shard in Split(folder, 2)._shards)


def test_aspects_are_kept_beside_the_images_and_checked_with_them(tmp_path: Path) -> None:
    with SplitWriter(tmp_path / "s", 2, 32) as writer:
        for image, aspect in zip(expected(2), (1.5, 0.75), strict=True):
            writer.add(image, 1, aspect)
    split = Split(tmp_path / "s", 2)
    assert split.aspects is not None
    assert split.aspects.tolist() == [1.5, 0.75]
    np.testing.assert_array_equal(split.gather(np.array([1, 0])), expected(2)[[1, 0]])
    content = (tmp_path / "s" / "aspects.npy").read_bytes()
    (tmp_path / "s" / "aspects.npy").write_bytes(content[:-4] + np.float32(0.8).tobytes())
    Split(tmp_path / "s", 2).gather(np.array([0]))
    with pytest.raises(UserError, match="image 1 or its label does not match its checksum"):
        Split(tmp_path / "s", 2).gather(np.array([0, 1]))
    (tmp_path / "s" / "aspects.npy").write_bytes(content[:-4])
    with pytest.raises(UserError, match=r"aspects\.npy is damaged or cut short"):
        Split(tmp_path / "s", 2)


@pytest.fixture
def few_files() -> Iterator[int]:
    """The process may have only ten files more than now, until it raises this limit."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = len(list(Path("/proc/self/fd").iterdir())) + 10
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, before[1]))
    yield few
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_split_may_have_more_shards_than_a_process_may_open_files(write_split: Writer, few_files: int) -> None:
    folder = write_split("split", list(range(40)), shard_bytes=IMAGE_BYTES)
    rows = np.arange(40)
    np.testing.assert_array_equal(Split(folder, 40).gather(rows), expected(40))
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > few_files + 40


def test_a_system_that_allows_fewer_files_is_named(write_split: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_split("split", list(range(40)), shard_bytes=IMAGE_BYTES)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (20, 30))
    with pytest.raises(
        UserError, match=r"split has 40 files, which stay open, and a process may open 30 here: raise that limit"
    ):
        Split(folder, 40)


def test_labels_reach_to_65535(write_split: Writer) -> None:
    assert Split(write_split("split", [0, 65535]), classes=65536).labels.tolist() == [0, 65535]


def test_fewer_images_than_expected_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Expected 2 images. Received: 1"), SplitWriter(tmp_path / "s", 2, 32) as writer:
        writer.add(expected(1)[0], 0)


@pytest.mark.parametrize("name", ["images-00000.npy", "labels.npy"])
def test_a_file_that_is_missing_or_cut_short_is_named(write_split: Writer, name: str) -> None:
    folder = write_split("split", [0, 1])
    content = (folder / name).read_bytes()
    for length in (0, 20, len(content) - 1):
        (folder / name).write_bytes(content[:length])
        with pytest.raises(UserError, match=f"{name} is damaged or cut short"):
            Split(folder, 2)
    (folder / name).unlink()
    with pytest.raises(UserError, match=f"{name} is missing; an earlier stage writes it: run `dvc repro`"):
        Split(folder, 2)


def test_a_missing_split_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere is missing"):
        Split(tmp_path / "nowhere", 2)


def test_labels_out_of_range_are_named(write_split: Writer) -> None:
    with pytest.raises(UserError, match=r"labels\.npy has the label 2, but with 2 classes labels are 0 to 1"):
        Split(write_split("split", [0, 2]), classes=2)


def test_arrays_of_another_kind_are_refused(write_split: Writer) -> None:
    folder = write_split("split", [0, 1])
    np.save(folder / "labels.npy", np.zeros(3, dtype=np.uint16))
    with pytest.raises(UserError, match=r"labels\.npy.*uint16 of shape \(3,\) for 2 images"):
        Split(folder, 2)
    np.save(folder / "images-00000.npy", np.zeros((2, 32, 32, 3), dtype=np.float32))
    with pytest.raises(UserError, match=r"images-00000\.npy.*float32"):
        Split(folder, 2)


def flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def test_a_flipped_bit_in_a_split_is_found_before_the_image_is_used(tmp_path: Path, write_split: Writer) -> None:
    folder = write_split("split", [0, 1, 2, 1, 0], size=8, shard_bytes=400)
    contents = {path: path.read_bytes() for path in folder.iterdir()}
    assert sorted(path.name for path in contents) == ["checksums.npy", *(f"images-0000{n}.npy" for n in range(3)), "labels.npy"]
    generator = np.random.default_rng(0)
    for path, content in contents.items():
        for bit in [*range(0, 128 * 8, 41), *generator.integers(0, 8 * len(content), 60).tolist()]:
            flip(path, bit)
            with pytest.raises(UserError, match="run `dvc repro`"):
                Split(folder, 3).gather(np.arange(5))
            path.write_bytes(content)
    Split(folder, 3).gather(np.arange(5))


def test_intact_images_can_be_used_beside_a_damaged_one(write_split: Writer) -> None:
    folder = write_split("split", [0, 1, 2, 1], size=8)
    flip(folder / "images-00000.npy", 8 * (128 + 192 + 5))  # in the second image
    split = Split(folder, 3)
    assert len(split.gather(np.array([0, 2, 3]))) == 3
    with pytest.raises(UserError, match="image 1 or its label does not match its checksum"):
        split.gather(np.array([0, 1]))
