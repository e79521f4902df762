"""Lists of SHA-256 sums against `sha256sum`, and flipped bits."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from resnet.core.checksums import verify, write_sums
from resnet.core.errors import UserError


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


@pytest.mark.slow
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


def test_a_list_that_is_cut_short_is_damaged(sums: Path) -> None:
    sums.write_bytes(sums.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"all\.sha256 is damaged"):
        verify(sums)
