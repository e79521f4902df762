"""Builds image files byte by byte: valid ones, and ones that a library would not write."""

import io
import struct
import zlib

import numpy as np
from PIL import Image


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    """The image as the bytes of a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(width: int = 48, height: int = 40, seed: int = 0) -> Image.Image:
    """Random pixels, RGB."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def png_chunk(name: bytes, content: bytes) -> bytes:
    """A chunk with its checksum."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *chunks: bytes) -> bytes:
    """A PNG of the given rows, each with its filter byte. `chunks` precede the data."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    data = png_chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + data + png_chunk(b"IEND", b"")


def gif(screen: tuple[int, int], frames: list[tuple[int, int, int, int]], colours: bytes) -> bytes:
    """A GIF whose frames (left, top, width, height) are filled with colour 1. Frequent clearing keeps its codes at 3 bits."""
    blocks = b""
    for left, top, width, height in frames:
        codes = [4, *[code for _ in range(width * height) for code in (1, 4)], 5]
        bits = sum(code << 3 * place for place, code in enumerate(codes))
        content = bits.to_bytes((3 * len(codes) + 7) // 8, "little")
        parts = [content[at : at + 255] for at in range(0, len(content), 255)]
        data = b"".join(bytes([len(part)]) + part for part in parts) + b"\0"
        blocks += b"," + struct.pack("<HHHHB", left, top, width, height, 0) + b"\2" + data
    return b"GIF89a" + struct.pack("<HHBBB", *screen, 0x80, 0, 0) + colours + blocks + b";"


def clearing_gif(width: int, height: int) -> bytes:
    """A GIF whose data are one pixel, with a frame of this size that is to be cleared after it was shown."""
    whole = gif((1, 1), [(0, 0, 1, 1)], bytes(6))
    frame = struct.pack("<HHHH", 0, 0, width, height)
    return whole.replace(b"," + struct.pack("<HHHH", 0, 0, 1, 1), b"!\xf9\4\x08\0\0\0\0," + frame)


def short_gif() -> bytes:
    """A GIF whose data stream is valid but ends after one pixel of 64."""
    whole = gif((8, 8), [(0, 0, 1, 1)], bytes(6))
    return whole.replace(b"," + struct.pack("<HHHH", 0, 0, 1, 1), b"," + struct.pack("<HHHH", 0, 0, 8, 8))


def bmp(width: int, height: int, bits: int = 24, compression: int = 0, data: bytes = b"") -> bytes:
    """A BMP with a 40-byte header and, if it has at most 8 bits, a palette of greys."""
    palette = b"".join(bytes([level, level, level, 0]) for level in range(1 << bits)) if bits <= 8 else b""
    offset = 54 + len(palette)
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(data), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", offset + len(data), 0, 0, offset) + header + palette + data


def tiff(entries: dict[int, tuple[int, list[int]]], data: bytes = b"", order: str = "<") -> bytes:
    """A TIFF whose directory precedes its data. Entries by tag: type and values; offsets are used as given."""
    codes = {1: "B", 3: "H", 4: "I"}
    outside, start = b"", 10 + 12 * len(entries) + 4
    directory = struct.pack(f"{order}H", len(entries))
    for tag, (kind, values) in sorted(entries.items()):
        packed = struct.pack(f"{order}{len(values)}{codes[kind]}", *values)
        if len(packed) > 4:
            place = struct.pack(f"{order}I", start + len(outside))
            outside += packed
            packed = place
        directory += struct.pack(f"{order}HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    magic = b"II*\0" if order == "<" else b"MM\0*"
    return magic + struct.pack(f"{order}I", 8) + directory + bytes(4) + outside + data


def plain_tiff(
    size: tuple[int, int],
    bits: list[int],
    photometric: int,
    data: bytes,
    order: str = "<",
    *,
    more: dict[int, tuple[int, list[int]]] | None = None,
) -> bytes:
    """An uncompressed TIFF of one strip, with `more` entries."""
    width, height = size
    entries = {256: (3, [width]), 257: (3, [height]), 258: (3, bits), 259: (3, [1]), 262: (3, [photometric])}
    entries |= {273: (4, [0]), 277: (3, [len(bits)]), 278: (3, [height]), 279: (4, [len(data)])} | (more or {})
    place = len(tiff(entries, order=order))
    return tiff(entries | {273: (4, [place])}, data, order)


def exif(orientation: int, order: str = "<") -> bytes:
    """An EXIF block that contains an orientation only."""
    return b"Exif\0\0" + tiff({274: (3, [orientation])}, order=order)


def jpeg_segment(marker: int, content: bytes) -> bytes:
    """A JPEG segment with its length."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def jpeg_header(width: int, height: int, marker: int = 0xC0, depth: int = 8, data: bytes = bytes(64)) -> bytes:
    """A JPEG that consists of a frame header, a scan header, some data and the end marker."""
    frame = struct.pack(">BHHB", depth, height, width, 3) + b"\1\x11\0\2\x11\0\3\x11\0"
    scan = b"\3\1\0\2\0\3\0\0\x3f\0"
    return b"\xff\xd8" + jpeg_segment(marker, frame) + jpeg_segment(0xDA, scan) + data + b"\xff\xd9"


def resized_jpeg(encoded: bytes, width: int, height: int) -> bytes:
    """A baseline JPEG with another size in its header."""
    at = encoded.index(b"\xff\xc0") + 5
    return encoded[:at] + struct.pack(">HH", height, width) + encoded[at + 4 :]


def riff(content: bytes) -> bytes:
    """A WebP of the given chunks."""
    return b"RIFF" + struct.pack("<I", len(content) + 4) + b"WEBP" + content


def webp_canvas(width: int, height: int) -> bytes:
    """The header of an extended WebP, and some data."""
    sizes = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return riff(b"VP8X" + struct.pack("<I", 10) + bytes(4) + sizes + b"VP8 " + struct.pack("<I", 16) + bytes(16))
