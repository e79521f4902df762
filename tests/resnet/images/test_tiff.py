"""TIFF directories, against files that are packed by hand."""

import struct

import pytest

from resnet.images.tiff import exif_orientation, read_directory
from tests.hostile.encoders import exif, tiff


@pytest.mark.parametrize("order", ["<", ">"])
def test_an_entry_has_its_count_its_first_value_and_its_end(order: str) -> None:
    data = tiff({256: (3, [7]), 258: (3, [8, 9, 10]), 273: (4, [1000])}, order=order)
    # The directory begins at 8, with 2 bytes of its length; each of its entries has 12 bytes, and 4 more end it.
    assert read_directory(data) == {256: (1, 7, 20), 258: (3, 8, 50 + 6), 273: (1, 1000, 46)}


def test_a_big_tiff_is_read_too() -> None:
    entry = struct.pack("<HHQQ", 256, 16, 1, 2**40)
    data = b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 1) + entry + bytes(8)
    assert read_directory(data) == {256: (1, 2**40, 44)}


def test_a_value_that_is_no_integer_or_is_not_there_counts_as_0() -> None:
    assert read_directory(tiff({256: (3, [7])}).replace(b"\0\1\3\0", b"\0\1\2\0"))[256][:2] == (1, 0)
    far = struct.pack("<HHII", 258, 3, 3, 5000)
    data = b"II*\0\x08\0\0\0\1\0" + far + bytes(4)
    assert read_directory(data) == {258: (3, 0, 5006)}


@pytest.mark.parametrize("data", [b"", b"II*", b"XX*\0\x08\0\0\0", tiff({256: (3, [7])})[:15], b"II*\0\x08\0\0\0\xff\xff"])
def test_a_directory_that_is_not_whole_is_an_error(data: bytes) -> None:
    with pytest.raises((struct.error, ValueError)):
        read_directory(data)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("value", range(1, 9))
def test_the_orientation_is_the_one_of_the_block(value: int, order: str) -> None:
    assert exif_orientation(exif(value, order)[6:]) == value


@pytest.mark.parametrize("block", [b"", b"garbage", exif(6)[6:20], exif(9)[6:], exif(0)[6:], tiff({256: (3, [6])})])
def test_a_damaged_or_missing_orientation_is_upright(block: bytes) -> None:
    assert exif_orientation(block) == 1
