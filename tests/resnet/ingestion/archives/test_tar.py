"""Tar archives: hostile ones, the dialects, and where an honest one can be cut. See `tests/hostile/tars.py`."""

import tarfile
import time
from io import BytesIO
from pathlib import Path

import pytest

from resnet.ingestion.archives.tar import read_tar
from tests.hostile.archives import check, crowd, read
from tests.hostile.expectation import IMAGE, Hostile
from tests.hostile.tars import TARS


@pytest.mark.parametrize("made", TARS, ids=lambda made: made.file)
def test_a_hostile_archive_has_the_expected_outcome(made: Hostile, tmp_path: Path) -> None:
    started = time.process_time()
    check(made, tmp_path)
    assert time.process_time() - started < 5


@pytest.mark.parametrize("dialect", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_all_dialects_are_read(dialect: int, tmp_path: Path) -> None:
    names = ["short.png", "d" * 90 + "/" + "f" * 90 + ".png"] + ["é" * 120 + ".png"] * (dialect != tarfile.USTAR_FORMAT)
    with tarfile.open(tmp_path / "x.tar", "w", format=dialect) as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(IMAGE), 1.5  # a fraction makes pax write an extended header
            archive.addfile(info, BytesIO(IMAGE))
    assert read(tmp_path / "x.tar").files == dict.fromkeys(names, IMAGE)


def test_every_cut_of_an_archive_is_noticed(tmp_path: Path) -> None:
    whole = crowd(tmp_path / "whole.tar", 2).read_bytes()
    path = tmp_path / "cut.tar"
    # The last block of zeros may be missing: two mark the end, and one is enough.
    for length in range(0, len(whole) - 512, 7):
        path.write_bytes(whole[:length])
        assert read(path).refused, f"{length} bytes of {len(whole)}"


def test_the_contents_are_skipped_when_they_are_not_wanted(tmp_path: Path) -> None:
    item = next(read_tar(crowd(tmp_path / "x.tar", 1), "", contents=False))
    with pytest.raises(ValueError, match="for its names only"):
        item.read()  # type: ignore[union-attr]


def test_only_the_contents_that_are_wanted_are_read(tmp_path: Path) -> None:
    names = list(read(crowd(tmp_path / "x.tar", 3)).files)
    first, second, _ = read_tar(tmp_path / "x.tar", "", contents=lambda name: name == names[1])
    assert second.read() == read(tmp_path / "x.tar").files[names[1]]  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="for its names only"):
        first.read()  # type: ignore[union-attr]
