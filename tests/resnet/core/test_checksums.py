"""Hashes of files beside them: what `sha256sum` says of them, and every bit that is flipped."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from resnet.core.checksums import verify, write_sums
from resnet.core.errors import UserError
from resnet.dataset.arrays import Split


@pytest.fixture
def sums(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    for number in range(4):
        (tmp_path / f"file-{number}").write_bytes(generator.bytes(1000))
    (tmp_path / "folder").mkdir()
    write_sums(tmp_path / "all.sha256")
    return tmp_path / "all.sha256"


def flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def test_sha256sum_agrees(sums: Path) -> None:
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", sums.name], cwd=sums.parent, check=True, capture_output=True, text=True
    )
    assert checked.stdout.splitlines() == [f"file-{number}: OK" for number in range(4)]
    verify(sums)


@pytest.mark.parametrize("bit", [0, 3_333, 7_999])
def test_a_flipped_bit_is_found_in_what_is_used(sums: Path, bit: int) -> None:
    flip(sums.with_name("file-2"), bit)
    verify(sums, ["file-0", "file-1", "file-3"])
    with pytest.raises(UserError, match=r"file-2 is damaged or cut short \(its SHA-256 is not the one in all.sha256\)"):
        verify(sums)
    with pytest.raises(UserError, match="file-2 is damaged"):
        verify(sums, ["file-2"])


def test_every_bit_of_the_list_counts_for_what_is_used(sums: Path) -> None:
    content = sums.read_bytes()
    for bit in range(8 * content.index(b"\n")):
        flip(sums, bit)
        with pytest.raises(UserError):
            verify(sums, ["file-0"])
        sums.write_bytes(content)


def test_what_is_missing_or_not_listed_is_named(sums: Path) -> None:
    with pytest.raises(UserError, match="all.sha256 is damaged.*does not list file-9"):
        verify(sums, ["file-9"])
    sums.with_name("file-1").unlink()
    with pytest.raises(UserError, match="file-1 is missing"):
        verify(sums)
    sums.unlink()
    with pytest.raises(UserError, match="all.sha256 is missing"):
        verify(sums)


def test_a_flipped_bit_in_a_split_is_found_before_the_image_is_used(tmp_path: Path, write_split: object) -> None:
    folder: Path = write_split("split", [0, 1, 2, 1, 0], size=8, shard_bytes=400)  # type: ignore[operator]  # a fixture
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


def test_images_that_are_whole_can_be_used_beside_one_that_is_not(write_split: object) -> None:
    folder: Path = write_split("split", [0, 1, 2, 1], size=8)  # type: ignore[operator]  # a fixture
    flip(folder / "images-00000.npy", 8 * (128 + 192 + 5))  # in the second image
    split = Split(folder, 3)
    assert len(split.gather(np.array([0, 2, 3]))) == 3
    with pytest.raises(UserError, match="image 1 or its label does not match its checksum"):
        split.gather(np.array([0, 1]))
