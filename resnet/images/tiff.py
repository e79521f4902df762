"""TIFF directories: what a TIFF file and an EXIF block are made of.

Only the first directory is read, which is the first page. TIFF 6.0 (1992) and BigTIFF (2007).
"""

import struct
from dataclasses import dataclass

from resnet.images.outcomes import BadFile, Reason

ORIENTATION = 274
# What decides on the pixels (TIFF 6.0 and its supplements). The orientation is not among them: `images` applies it.
SINGLE = {256, 257, 259, 262, 266, 277, 278, 284, 292, 293, 317, 322, 323, 332, 512, 513, 514, 515, 531}
ESSENTIAL = SINGLE | {258, 273, 279, 320, 324, 325, 338, 339, 347, 519, 520, 521, 529, 530, 532}
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
INTEGERS = {1: "B", 3: "H", 4: "I", 16: "Q"}
NUMBERS = {
    1: "unsigned integers",
    2: "signed integers",
    3: "floating-point numbers",
    4: "no known meaning",
    5: "complex integers",
    6: "complex floating-point numbers",
}
COLOUR_SPACES = {*range(7), 8, 9, 10, 32803, 32844, 32845, 34892}
MOST_ENTRIES = 4096


@dataclass(frozen=True)
class Directory:
    """The first directory of a TIFF file or an EXIF block.

    Attributes:
        data: the whole file or block.
        order: `<` or `>`.
        offset_code: of `struct`, for offsets: I, or Q in BigTIFF.
        entries: by tag: type, number of values and where they are.
        raw: by tag: the entry as it is in the file.
        next: where the next directory is; 0 at the last.
    """

    data: bytes
    order: str
    offset_code: str
    entries: dict[int, tuple[int, int, int]]
    raw: dict[int, bytes]
    next: int

    def integers(self, tag: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """The values of a tag.

        Raises:
            struct.error, OverflowError: they are not in the file.
            BadFile: they are no integers.
        """
        if tag not in self.entries:
            return default
        kind, count, start = self.entries[tag]
        if kind not in INTEGERS:
            raise BadFile(Reason.UNDECODABLE, f"tag {tag} of the TIFF file has no integers")
        return struct.unpack_from(f"{self.order}{count}{INTEGERS[kind]}", self.data, start)

    def integer(self, tag: int, default: int = 0) -> int:
        """The first value of a tag."""
        return self.integers(tag, (default,))[0]

    def check_essential(self) -> None:
        """Raises `BadFile` if what decides on the pixels is not in the file or not in its form."""
        for tag in ESSENTIAL & self.entries.keys():
            kind, count, start = self.entries[tag]
            if start + count * SIZES.get(kind, 1) > len(self.data):
                raise BadFile(Reason.TRUNCATED, f"the TIFF file ends before the values of its tag {tag}")
            if count == 0 or (tag in SINGLE and count != 1):
                raise BadFile(Reason.UNDECODABLE, f"tag {tag} of the TIFF file has {count:,} values")

    def rewritten(self) -> bytes:
        """The same file with one directory, at its end, of the essential entries."""
        data, first, size = self.data, 8 if self.offset_code == "Q" else 4, struct.calcsize(self.offset_code)
        entries = [self.raw[tag] for tag in sorted(ESSENTIAL & self.raw.keys())]
        start = len(data) + len(data) % 2
        return b"".join(
            [
                data[:first],
                struct.pack(self.order + self.offset_code, start),
                data[first + size :],
                bytes(start - len(data)),
                struct.pack(self.order + ("Q" if self.offset_code == "Q" else "H"), len(entries)),
                *entries,
                bytes(size),
            ]
        )


def read_directory(data: bytes) -> Directory:
    """Reads the first directory.

    Raises:
        struct.error, OverflowError: the data end before it does.
        BadFile: undecodable.
    """
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        raise BadFile(Reason.UNDECODABLE, "no TIFF header")
    big = struct.unpack_from(f"{order}H", data, 2)[0] == 43
    code, count_code, at, inline_size = ("Q", "Q", 8, 8) if big else ("I", "H", 4, 4)
    (start,) = struct.unpack_from(order + code, data, at)
    (count,) = struct.unpack_from(order + count_code, data, start)
    if count > MOST_ENTRIES:
        raise BadFile(Reason.UNDECODABLE, f"the TIFF directory has {count:,} entries")
    position, entry_size = start + struct.calcsize(count_code), 4 + 2 * inline_size
    entries: dict[int, tuple[int, int, int]] = {}
    raw: dict[int, bytes] = {}
    for _ in range(count):
        tag, kind, values = struct.unpack_from(f"{order}HH{code}", data, position)
        inline = position + entry_size - inline_size
        fits = SIZES.get(kind, 1) * values <= inline_size
        entries.setdefault(tag, (kind, values, inline if fits else struct.unpack_from(order + code, data, inline)[0]))
        raw.setdefault(tag, data[position : position + entry_size])
        position += entry_size
    following = data[position : position + inline_size]
    return Directory(data, order, code, entries, raw, int.from_bytes(following, "little" if order == "<" else "big"))


def describe(data: bytes) -> str | None:
    """What the pixels of a TIFF file are; None where that makes no sense. For a kind that cannot be decoded."""
    try:
        directory = read_directory(data)
        samples, compression = directory.integer(277, 1), directory.integer(259, 1)
        bits, numbers = directory.integers(258, (1,)), directory.integers(339, (1,))
        colours = directory.integer(262)
    except (struct.error, OverflowError, BadFile):
        return None
    stored = not directory.entries.keys().isdisjoint({273, 324})
    if not stored or len(bits) not in (1, samples) or not 1 <= min(bits) <= max(bits) <= 64 or colours not in COLOUR_SPACES:
        return None
    if not NUMBERS.keys() >= set(numbers):
        return None
    return f"{samples} x {bits[0]} bits, {NUMBERS[numbers[0]]}, colour space {colours}, compression {compression}"


def orientation(directory: Directory) -> int:
    """The orientation, 1 to 8; 1 if there is none or it is corrupt."""
    try:
        value = directory.integer(ORIENTATION, 1)
    except (struct.error, OverflowError, BadFile):
        return 1
    return value if 1 <= value <= 8 else 1


def exif_orientation(exif: bytes) -> int:
    """The orientation that an EXIF block asks for, 1 to 8 (CIPA DC-008); 1 if there is none or the block is corrupt."""
    try:
        return orientation(read_directory(exif))
    except (struct.error, OverflowError, BadFile):
        return 1
