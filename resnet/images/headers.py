"""Reads the header of an image file: size, depth, orientation, animation, and whether the file is complete.

Pillow opens a file lazily, so that only its header is read. This module reads what Pillow does not report and refuses what
Pillow accepts in silence. The tests that fail without such code are named in quotes; their files are made in
`tests/hostile/images.py` and `tests/hostile/odd_images.py`.
"""

import io
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from PIL import BmpImagePlugin, GifImagePlugin, ImageFile, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin

from resnet.images.outcomes import BadFile, Reason
from resnet.images.tiff import ORIENTATION, exif_orientation, read_directory

# Peak bytes per pixel while decoding, measured at 64 million pixels. Pillow keeps RGB in 4 bytes.
RGB_MEMORY = 4
PALETTE_MEMORY = 5  # also 8-bit grey: 1 byte, converted to RGB
CONVERTED_MEMORY = 8  # 4 bytes, converted to RGB or rotated
WEBP_MEMORY = 16  # libwebp's animation decoder keeps several canvases
MODE_MEMORY = {"RGB": RGB_MEMORY, "L": PALETTE_MEMORY, "P": PALETTE_MEMORY, "1": PALETTE_MEMORY}
PNG_CHUNKS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))  # left, top, steps
PNG_MOST_CHUNKS = 100_000  # each takes microseconds of Python
JPEG_MARKER = re.compile(rb"\xff[\x02-\xcf\xd8-\xfe]")  # without those that libjpeg skips
JPEG_START, JPEG_END, JPEG_SCAN = 0xD8, 0xD9, 0xDA
JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
JPEG_SEQUENTIAL_HUFFMAN, JPEG_PROGRESSIVE = {0xC0, 0xC1}, {0xC2, 0xCA}
JPEG_DECODED = JPEG_SEQUENTIAL_HUFFMAN | JPEG_PROGRESSIVE | {0xC3, 0xC9}  # also lossless, and sequential with arithmetic coding
# Metadata: application segments and comments. libjpeg reads two of them, JFIF's and Adobe's, from these lengths on.
JPEG_METADATA = dict.fromkeys((*range(0xE0, 0xF0), 0xFE), 1 << 16) | {0xE0: 14, 0xEE: 12}
JPEG_MOST_SEGMENTS = 100_000  # each takes microseconds of Python
JPEG_LEAST_BITS = 2  # of a block of 8 x 8 samples: the shortest codes for a difference of 0 and for the end of the block
GIF_BLOCK = re.compile(rb"[,!;]")  # an image, an extension, the trailer
GIF_MOST_EXTENSIONS = 100_000  # before a frame; each takes microseconds of Python
BMP_RLE_PASSES = 100  # Pillow expands run lengths in Python: 93 ns for each pixel
TIFF_MOST_PARTS = 200_000  # strips or tiles; Pillow spends microseconds and half a kilobyte on each
TIFF_DNG, TIFF_BITS, TIFF_COLOURS, TIFF_SAMPLES, TIFF_TILE_WIDTH, TIFF_TILE_HEIGHT = 50706, 258, 262, 277, 322, 323
TIFF_PARTS = (273, 324)  # offsets of strips and of tiles
# Tags that determine the pixels (TIFF 6.0 and its supplements); those of the first set have one value. Strips are not among
# them: libtiff finds a place or length that is missing, and Pillow and libtiff refuse what they cannot find.
TIFF_SINGLE = {256, 257, 262, 266, 277, 278, 284, 292, 293, 317, 322, 323, 332, 512, 513, 514, 515, 531}
TIFF_ESSENTIAL = TIFF_SINGLE | {258, 259, 320, 338, 339, 347, 519, 520, 521, 529, 530, 532}

# The class of a format reports why a file cannot be read. `Image.open` hides that, and reads some JPEGs as animations (MPO).
OPENERS: dict[str, Callable[[io.BytesIO], ImageFile.ImageFile]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
}


@dataclass(frozen=True)
class Header:
    """The header of an image.

    Attributes:
        width: as Pillow opens it; pixels.
        height: as Pillow opens it; pixels.
        kind: the format, as Pillow calls it.
        essential: the file without metadata that make Pillow fail.
        depth: bits of a sample.
        orientation: the EXIF value, 1 to 8. Pillow itself rotates a TIFF.
        animated: there is more than one frame or page.
        passes: how often decoding goes over all pixels, or an equivalent of its time.
        memory: peak bytes per pixel while decoding.
        frame: left, top, right and bottom of the first frame, if it does not fill the image.
        scarce: the file is shorter than the shortest coding of its pixels.
    """

    width: int
    height: int
    kind: str
    essential: bytes
    depth: int = 8
    orientation: int = 1
    animated: bool = False
    passes: int = 1
    memory: float = RGB_MEMORY
    frame: tuple[int, int, int, int] | None = None
    scarce: bool = False

    def open(self) -> ImageFile.ImageFile:
        """Opens the image without decoding it."""
        return OPENERS[self.kind](io.BytesIO(self.essential))

    def completed(self, image: ImageFile.ImageFile) -> "Header":
        """The header with what only the opened image tells: orientation and animation of a WebP."""
        if not isinstance(image, WebPImagePlugin.WebPImageFile):
            return self
        exif = image.info.get("exif", b"").removeprefix(b"Exif\0\0")
        return replace(self, orientation=exif_orientation(exif), animated=image.is_animated)


def read_header(encoded: bytes, kind: str) -> Header:
    """Reads the header of an image.

    Args:
        encoded: the bytes of an image file.
        kind: its format, from `resnet.images.formats.identify`.

    Raises:
        BadFile: truncated, unsupported_format or undecodable.
        Exception: of nearly every kind, from Pillow.
    """
    try:
        header = _READERS[kind](encoded)
    except (struct.error, IndexError, OverflowError) as error:
        raise BadFile(Reason.TRUNCATED, f"the {kind} file ends within its structure") from error
    return header if header.orientation == 1 else replace(header, memory=max(header.memory, CONVERTED_MEMORY))


def _header(image: ImageFile.ImageFile, kind: str, essential: bytes) -> Header:
    memory = CONVERTED_MEMORY if image.has_transparency_data else MODE_MEMORY.get(image.mode, CONVERTED_MEMORY)
    return Header(*image.size, kind, essential, memory=memory)


def _read_jpeg(encoded: bytes) -> Header:
    """ITU-T T.81, annex B.

    Pillow reads all metadata and fails on some ("JPEG with a Photoshop segment that is cut"), so it gets only the segments that
    libjpeg reads. libjpeg fills missing data with grey and only warns, and Pillow hides the warning. So the file must have an
    end marker ("JPEG whose end is zero bytes") and, for sequential Huffman coding, enough data for all blocks ("JPEG of more
    pixels than its data").
    """
    kept, exif, coding, scan = [b"\xff\xd8"], bytearray(), 0, 0
    for marker, start, end in _jpeg_segments(encoded):
        content = encoded[start + 4 : end]
        if marker == JPEG_SCAN:
            scan = start
        elif marker == 0xE1 and content.startswith(b"Exif\0\0"):  # a long block is split among segments
            exif += content[6:]
        elif len(content) >= JPEG_METADATA.get(marker, 0):
            kept.append(encoded[start:end])
            coding = marker if marker in JPEG_FRAMES else coding
    end = encoded.find(b"\xff\xd9", scan)
    if end < 0:
        raise BadFile(Reason.TRUNCATED, "the JPEG file ends without its end marker")
    essential = encoded if sum(map(len, kept)) == scan else b"".join([*kept, encoded[scan:]])
    image = JpegImagePlugin.JpegImageFile(io.BytesIO(essential))
    header = replace(_header(image, "JPEG", essential), orientation=exif_orientation(bytes(exif)))
    if coding not in JPEG_DECODED:
        raise BadFile(Reason.UNSUPPORTED_FORMAT, "JPEG of a hierarchical or rare kind; convert it to 8-bit JPEG or PNG")
    samples = _samples_per_pixel([(across, down) for _, across, down, _ in image.layer])
    is_whole = encoded[scan + 4] == image.layers  # one scan has all components
    if coding in JPEG_SEQUENTIAL_HUFFMAN:
        end = end if is_whole else encoded.rindex(b"\xff\xd9")  # tables between scans may hold the marker
        scarce = 8 * (end - scan) < header.width * header.height * samples / 64 * JPEG_LEAST_BITS
        header = replace(header, scarce=scarce)
    if coding not in JPEG_PROGRESSIVE and is_whole:
        return header
    # libjpeg keeps the coefficients of the whole image, 2 bytes each.
    memory = max(header.memory, (1 if image.layers == 1 else 4) + 2 * samples)
    return replace(header, passes=encoded.count(b"\xff\xda", scan), memory=memory)


def _jpeg_segments(encoded: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of each segment, to the first scan. Like libjpeg, this skips bytes between segments."""
    position = 2
    for _ in range(JPEG_MOST_SEGMENTS):
        found = JPEG_MARKER.search(encoded, position)
        if not found:
            raise BadFile(Reason.TRUNCATED, "the JPEG file ends before its image")
        start, marker = found.start(), encoded[found.start() + 1]
        if marker == JPEG_END:
            raise BadFile(Reason.UNDECODABLE, "the JPEG file holds no image")
        length = 0 if marker == JPEG_START else max(2, *struct.unpack_from(">H", encoded, start + 2))
        position = start + 2 + length
        if position > len(encoded):
            raise BadFile(Reason.TRUNCATED, "the JPEG file ends within its header")
        yield marker, start, position
        if marker == JPEG_SCAN:
            return
    raise BadFile(Reason.UNDECODABLE, f"the JPEG file has more than {JPEG_MOST_SEGMENTS:,} segments before its image")


def _samples_per_pixel(factors: list[tuple[int, int]]) -> float:
    """Samples of all components per pixel, from their sampling factors: 1.5 if colour is halved in both directions."""
    widest, highest = max((across for across, _ in factors), default=0), max((down for _, down in factors), default=0)
    if not widest * highest:
        raise BadFile(Reason.UNDECODABLE, "the JPEG file has no components, or a sampling factor of 0")
    return sum(across * down for across, down in factors) / (widest * highest)


def _read_png(encoded: bytes) -> Header:
    """PNG, third edition: sections 5 (chunks), 11.2.1 (the header), 11.3.4.3 (EXIF) and 11.3.6 (animation).

    Pillow ignores the checksum of the pixels ("PNG with a wrong checksum"), fails on metadata that do not affect the pixels
    ("PNG with a text like a bomb"), and warns of some ("PNG that claims 5 frames twice").
    """
    if encoded[12:16] != b"IHDR":
        raise BadFile(Reason.UNDECODABLE, "the PNG file does not begin with its header chunk")
    if encoded[26:29] not in (b"\0\0\0", b"\0\0\1"):
        raise BadFile(
            Reason.UNDECODABLE, "the PNG file asks for a method of compression, filtering or interlacing that is unknown"
        )
    kept, names, animated, turned = [encoded[:8]], set(), False, 1
    previous = b""
    for name, start, end in _png_chunks(encoded):
        if name == b"IDAT" and name in names and name != previous:  # "PNG with a text within its data"
            raise BadFile(Reason.UNDECODABLE, "the PNG file has another chunk within its image data")
        names.add(name)
        previous = name
        if name in PNG_CHUNKS:
            is_intact = zlib.crc32(memoryview(encoded)[start + 4 : end - 4]) == int.from_bytes(encoded[end - 4 : end])
            if not is_intact and name != b"IEND":  # no decoder looks at the last one
                raise BadFile(Reason.UNDECODABLE, f"the checksum of the PNG file's chunk {name.decode()} is wrong")
            kept.append(encoded[start:end])
        elif name == b"acTL":
            animated = int.from_bytes(encoded[start + 8 : start + 12]) > 1
        elif name == b"eXIf":
            turned = exif_orientation(encoded[start + 8 : end - 4])
    if b"IDAT" not in names:
        raise BadFile(Reason.UNDECODABLE, "the PNG file holds no image data")
    essential = encoded if names <= PNG_CHUNKS else b"".join(kept)
    image = PngImagePlugin.PngImageFile(io.BytesIO(essential))
    return replace(_header(image, "PNG", essential), depth=encoded[24], animated=animated, orientation=turned)


def _png_chunks(encoded: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of each chunk, to the last."""
    position = 8
    for _ in range(PNG_MOST_CHUNKS):
        length, name = struct.unpack_from(">I4s", encoded, position)
        end = position + 12 + length
        if not (name.isalpha() and name.isascii()):
            raise BadFile(Reason.UNDECODABLE, "the PNG file has a broken chunk")
        if end > len(encoded):
            raise BadFile(Reason.TRUNCATED, f"the PNG file ends within its chunk {name.decode()}")
        yield name, position, end
        if name == b"IEND":
            return
        position = end
    raise BadFile(Reason.UNDECODABLE, f"the PNG file has more than {PNG_MOST_CHUNKS:,} chunks")


def png_has_all_rows(encoded: bytes) -> bool:
    """Whether the data of a PNG file unpack to the number of bytes that its size needs (sections 7.2, 8.1)."""
    width, height, depth, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", encoded, 16)
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    wanted = 0
    for left, top, across, down in ADAM7 if interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0 and rows > 0:
            wanted += rows * (1 + -(-columns * bits // 8))
    inflate = zlib.decompressobj()
    for name, start, end in _png_chunks(encoded):
        rest = encoded[start + 8 : end - 4] if name == b"IDAT" else b""
        while rest and wanted > 0:
            wanted -= len(inflate.decompress(rest, 1 << 20))
            rest = inflate.unconsumed_tail
    return wanted <= 0


def _read_gif(encoded: bytes) -> Header:
    """GIF89a specification, 1990. A frame that goes beyond the screen enlarges it, as in browsers.

    Pillow fails on some extensions that do not affect the pixels ("GIF with an empty extension"), and allocates a frame that is
    to be cleared when it opens a file ("GIF that clears a huge frame"). So it gets the first frame with its transparency only.
    Whether the frame is complete is for Pillow to say; what follows it does not matter.
    """
    width, height, flags = struct.unpack_from("<HHB", encoded, 6)
    start = 13 + _palette_bytes(flags)
    position, control = _next_frame(encoded, start)
    if position is None:
        raise BadFile(Reason.UNDECODABLE, "the GIF file holds no image")
    left, top, across, down, flags = struct.unpack_from("<HHHHB", encoded, position + 1)
    if not across * down:
        raise BadFile(Reason.UNDECODABLE, "the GIF file's first frame has no pixels")
    try:
        after = _skip_sub_blocks(encoded, position + 11 + _palette_bytes(flags))
        animated = _next_frame(encoded, after)[0] is not None
    except IndexError:  # the file ends without its trailer
        animated = False
    frame = left, top, left + across, top + down
    size = max(width, frame[2]), max(height, frame[3])
    partial = None if frame == (0, 0, *size) else frame
    essential = encoded[:start] + control + encoded[position:]
    return Header(*size, "GIF", essential, animated=animated, frame=partial, memory=PALETTE_MEMORY)


def _palette_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _next_frame(encoded: bytes, position: int) -> tuple[int | None, bytes]:
    """Position of the next frame, or None at the trailer; and the extension that says which of its colours is transparent.

    Like Pillow, this skips bytes that begin no block.
    """
    control = b""
    for _ in range(GIF_MOST_EXTENSIONS):
        if not (found := GIF_BLOCK.search(encoded, position)):
            break
        position = found.start()
        if found[0] != b"!":
            return (position if found[0] == b"," else None), control
        if encoded[position + 1 : position + 3] == b"\xf9\4":
            control = b"!\xf9\4" + bytes([encoded[position + 3] & 1]) + encoded[position + 4 : position + 7] + b"\0"
        position = _skip_sub_blocks(encoded, position + 2)
    raise IndexError("neither a frame nor the trailer")


def _skip_sub_blocks(encoded: bytes, position: int) -> int:
    while length := encoded[position]:
        position += length + 1
    return position + 1


def _read_webp(encoded: bytes) -> Header:
    """RFC 9649. The size is read here, because Pillow allocates the canvas when it opens a file ("huge WebP canvas")."""
    end = 8 + int.from_bytes(encoded[4:8], "little")
    if end > len(encoded):
        raise BadFile(Reason.TRUNCATED, f"the WebP file has {len(encoded):,} of {end:,} bytes")
    return Header(*_webp_size(encoded), "WEBP", encoded, memory=WEBP_MEMORY)


def _webp_size(encoded: bytes) -> tuple[int, int]:
    """The size in the first chunk, which is extended, lossless or lossy."""
    if encoded[12:16] == b"VP8X":
        return int.from_bytes(encoded[24:27], "little") + 1, int.from_bytes(encoded[27:30], "little") + 1
    if encoded[12:16] == b"VP8L":
        (bits,) = struct.unpack_from("<I", encoded, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if encoded[12:16] == b"VP8 ":
        width, height = struct.unpack_from("<HH", encoded, 26)
        return width & 0x3FFF, height & 0x3FFF
    raise BadFile(Reason.UNDECODABLE, "the WebP file does not begin with an image")


def _read_bmp(encoded: bytes) -> Header:
    header = _header(image := BmpImagePlugin.BmpImageFile(io.BytesIO(encoded)), "BMP", encoded)
    return replace(header, passes=BMP_RLE_PASSES) if image.tile[0].codec_name == "bmp_rle" else header


def _read_tiff(encoded: bytes) -> Header:
    """TIFF 6.0, 1992.

    Pillow leaves out a tag of an unknown type, all tags after one whose values are cut off, and all but the first of several
    values. It only warns, and decodes to wrong pixels ("TIFF with a cut description", "TIFF with two widths").
    """
    directory = read_directory(encoded)
    if TIFF_DNG in directory:
        raise BadFile(Reason.UNSUPPORTED_FORMAT, "DNG raw; convert it to JPEG or PNG")
    for tag in sorted(directory.keys() & TIFF_ESSENTIAL):
        count, _, end = directory[tag]
        if end > len(encoded):  # "cut LZW TIFF"
            raise BadFile(Reason.TRUNCATED, f"the TIFF file ends before the values of its tag {tag}")
        if count > 1 and tag in TIFF_SINGLE:
            raise BadFile(Reason.UNDECODABLE, f"tag {tag} of the TIFF file has {count:,} values")
    if max(directory.get(tag, (0, 0, 0))[0] for tag in TIFF_PARTS) > TIFF_MOST_PARTS:  # "TIFF of many strips"
        raise BadFile(Reason.TOO_LARGE, f"the TIFF file has more than {TIFF_MOST_PARTS:,} strips or tiles")
    if directory.get(TIFF_SAMPLES, (1, 1, 0))[1] > 6:  # Pillow would print an error
        raise BadFile(Reason.UNSUPPORTED_FORMAT, "TIFF of more than six samples; convert it to JPEG or PNG")
    image = TiffImagePlugin.TiffImageFile(io.BytesIO(encoded))
    tags = image.tag_v2
    if unread := sorted(tag for tag in directory.keys() & TIFF_ESSENTIAL if tag not in tags):
        raise BadFile(Reason.UNDECODABLE, f"tag {unread[0]} of the TIFF file cannot be read")
    depth = max(tags.get(TIFF_BITS, (1,)))
    if depth == 16 and tags.get(TIFF_COLOURS, 0) == 0:
        raise BadFile(Reason.UNSUPPORTED_FORMAT, "TIFF of inverted 16-bit pixels; convert it to JPEG or PNG")
    tile = tags.get(TIFF_TILE_WIDTH, 0) * tags.get(TIFF_TILE_HEIGHT, 0)
    turned = tags.get(ORIENTATION, 1)
    return Header(
        *image.size,
        "TIFF",
        encoded,
        depth=depth,
        orientation=turned if turned in range(1, 9) else 1,
        animated=image.is_animated,
        memory=CONVERTED_MEMORY + 4 * tile / (image.width * image.height),  # libtiff holds a tile and the image
    )


_READERS: dict[str, Callable[[bytes], Header]] = {
    "JPEG": _read_jpeg,
    "PNG": _read_png,
    "GIF": _read_gif,
    "WEBP": _read_webp,
    "BMP": _read_bmp,
    "TIFF": _read_tiff,
}
