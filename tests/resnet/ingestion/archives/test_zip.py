"""Zip archives: hostile ones, and where an honest one can be cut. The files are made in `tests/hostile/zips.py`."""

import bz2
import time
import zlib
from pathlib import Path

import pytest

from resnet.images.outcomes import Reason
from resnet.ingestion.archives.reading import Member
from resnet.ingestion.archives.zip import read_zip
from tests.hostile.archives import check, crowd, read
from tests.hostile.expectation import IMAGE, MIB, Hostile
from tests.hostile.zips import ZIPS, Zipped, zipped


@pytest.mark.parametrize("made", ZIPS, ids=lambda made: made.file)
def test_a_hostile_archive_has_the_expected_outcome(made: Hostile, tmp_path: Path) -> None:
    started = time.process_time()
    check(made, tmp_path)
    assert time.process_time() - started < 5


def test_every_cut_of_an_archive_is_noticed(tmp_path: Path) -> None:
    whole = crowd(tmp_path / "whole.zip", 2).read_bytes()
    path = tmp_path / "cut.zip"
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        assert read(path).refused, f"{length} bytes of {len(whole)}"


def test_a_name_that_is_not_utf_8_costs_one_file(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(zipped(Zipped(b"a.png"), Zipped(b"caf\xe9.png"), Zipped("é.png".encode())))
    got = read(path)
    assert list(got.files) == ["a.png", "é.png"]
    assert [(each.path, each.reason) for each in got.left] == [(r"caf\xe9.png", Reason.NAME_NOT_USABLE)]


def test_a_member_that_needs_a_later_version_is_read_if_its_method_is_known(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    content = bytearray(zipped(Zipped(b"a.png")))
    content[content.index(b"PK\1\2") + 6] = 200
    path.write_bytes(content)
    assert read(path).files == {"a.png": IMAGE}


def test_a_member_can_be_read_after_the_archive_was_removed(tmp_path: Path) -> None:
    path = crowd(tmp_path / "x.zip", 1)
    member = next(read_zip(path))
    path.unlink()
    assert isinstance(member, Member)
    assert member.read() == IMAGE


def test_bzip2_data_that_unpack_to_more_than_declared_are_not_unpacked_to_the_end(tmp_path: Path) -> None:
    packed = bz2.compress(bytes(64 * MIB))  # about 50 bytes for each 900 kB
    path = tmp_path / "x.zip"
    path.write_bytes(zipped(Zipped(b"x", packed, size=700, crc=zlib.crc32(bytes(700)), method=12)))
    got = read(path)
    assert (got.files, [each.reason for each in got.left]) == ({}, [Reason.UNREADABLE])
