"""Reads the first directory of a TIFF file or an EXIF block, which have the same form (TIFF 6.0, 1992; BigTIFF, 2007).

Pillow reads both too. But it expands all values, gigabytes in a hostile file ("TIFF of many strips" in
`tests/hostile/images.py`), and fails on damaged EXIF ("JPEG with EXIF of two bytes" in `tests/hostile/odd_images.py`).
"""

import struct

ORIENTATION = 274
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}  # of types
INTEGERS = {1: "B", 3: "H", 4: "I", 16: "Q"}  # their formats of `struct`
MOST_ENTRIES = 4096

Directory = dict[int, tuple[int, int, int]]  # by tag: number of values; the first, or 0 if it is no integer; where they end


def read_directory(data: bytes) -> Directory:
    """Reads the first directory.

    Raises:
        struct.error, OverflowError, ValueError: there is no complete directory.
    """
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        raise ValueError("no TIFF header")
    is_big = struct.unpack_from(f"{order}H", data, 2)[0] == 43
    code, count_code, at, inline = ("Q", "Q", 8, 8) if is_big else ("I", "H", 4, 4)
    (start,) = struct.unpack_from(order + code, data, at)
    (count,) = struct.unpack_from(order + count_code, data, start)
    if count > MOST_ENTRIES:
        raise ValueError(f"the TIFF directory has {count:,} entries")
    entries: Directory = {}
    for number in range(count):
        place = start + struct.calcsize(count_code) + number * (4 + 2 * inline)
        tag, kind, values = struct.unpack_from(f"{order}HH{code}", data, place)
        place, size = place + 4 + inline, values * SIZES.get(kind, 1)
        if size > inline:
            (place,) = struct.unpack_from(order + code, data, place)
        is_there = values and kind in INTEGERS and place + SIZES[kind] <= len(data)
        first = struct.unpack_from(order + INTEGERS[kind], data, place)[0] if is_there else 0
        entries.setdefault(tag, (values, first, place + size))
    return entries


def exif_orientation(exif: bytes) -> int:
    """The orientation in an EXIF block, 1 to 8 (CIPA DC-008); 1 if there is none or the block is damaged."""
    try:
        _, value, _ = read_directory(exif).get(ORIENTATION, (1, 1, 0))
    except (struct.error, OverflowError, ValueError):
        return 1
    return value if 1 <= value <= 8 else 1
