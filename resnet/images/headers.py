"""What an image file says of itself before it is decoded: size, depth, orientation, animation, and whether it is whole.

Each format has a reader that walks the file's structure once. It refuses what ends too early, and hands on the parts that
decide the pixels of the first frame. Without the rest Pillow has no metadata to stumble over or to warn of: its warnings
could not be caught, as `warnings.catch_warnings` is not safe with threads.
"""

import operator
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from resnet.images.outcomes import BadFile, Reason
from resnet.images.tiff import exif_orientation, orientation, read_directory

# Bytes per pixel that decoding holds at its peak, all of them measured at 64 million pixels. Pillow keeps RGB in 4 bytes.
RGB_MEMORY = 4
PALETTE_MEMORY = 5  # also 8-bit grey: 1 byte, converted to RGB
CONVERTED_MEMORY = 8  # 4 bytes, converted to RGB or turned
WEBP_MEMORY = 16  # libwebp's animation decoder keeps several canvases
PNG_CHUNKS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))  # left, top, steps
PNG_MOST_CHUNKS = 100_000  # reading one takes microseconds of Python
JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # kinds of coding
JPEG_DECODED = (0xC0, 0xC1, 0xC2, 0xC9, 0xCA)  # baseline, extended and progressive, by Huffman or arithmetic coding
JPEG_PROGRESSIVE = (0xC2, 0xCA)
JPEG_SEQUENTIAL_HUFFMAN = (0xC0, 0xC1)
JPEG_LEAST_BITS = 2  # of a block of 8 x 8 samples: the shortest codes of a difference of 0 and of the end of the block
JPEG_DROPPED = {*range(0xE1, 0xEE), 0xEF, 0xFE}  # applications' data and comments; those of JFIF and Adobe decide on colours
JPEG_FILL = {0x00, 0x01, *range(0xD0, 0xD9), 0xFF}  # no segment follows
BMP_COMPRESSIONS = (0, 1, 2, 3)  # none, run lengths of 8 and of 4 bits, masks
BMP_RLE_PASSES = 100  # Pillow expands run lengths in Python, 93 ns for each pixel
TIFF_MOST_PARTS = 200_000  # strips or tiles; Pillow spends microseconds and half a kilobyte on each


@dataclass(frozen=True)
class Header:
    """The outside of an image.

    Attributes:
        width: as stored, before orientation; pixels.
        height: as stored, before orientation; pixels.
        essential: the file without what does not change the pixels.
        depth: bits of a sample.
        orientation: as EXIF has it, 1 to 8.
        animated: there is more than one frame or page.
        passes: over all pixels, that decoding takes; or as long as so many of them.
        memory: that decoding holds at its peak; bytes per pixel.
        frame: left, top, right and bottom of the first frame, where it does not fill the image.
        scarce: it has fewer data than the shortest coding of so many pixels.
    """

    width: int
    height: int
    essential: bytes
    depth: int = 8
    orientation: int = 1
    animated: bool = False
    passes: int = 1
    memory: float = RGB_MEMORY
    frame: tuple[int, int, int, int] | None = None
    scarce: bool = False


def read_header(encoded: bytes, kind: str) -> Header:
    """Reads the outside of an image.

    Args:
        encoded: the bytes of an image file.
        kind: its format, from `resnet.images.formats.identify`.

    Raises:
        BadFile: truncated, unsupported_format or undecodable.
    """
    try:
        header = _READERS[kind](encoded)
    except (struct.error, IndexError, OverflowError) as error:
        raise BadFile(Reason.TRUNCATED, f"the {kind} file ends within its structure") from error
    if header.width <= 0 or header.height <= 0:
        raise BadFile(Reason.UNDECODABLE, f"it has {header.width} x {header.height} pixels")
    return header if header.orientation == 1 else replace(header, memory=max(header.memory, CONVERTED_MEMORY))


def _read_jpeg(encoded: bytes) -> Header:
    """ITU-T T.81, annex B.

    Of a file that was cut and has an end marker, this tells only that its data cannot be enough (`scarce`), for Huffman coding
    that is not progressive. What else is missing nobody sees: libjpeg fills the rest with grey and warns, and Pillow hides it.
    """
    kept, kept_to, turned, frame = [], 0, 1, 0
    for marker, start, end in _jpeg_segments(encoded):
        if marker in JPEG_DROPPED:
            if marker == 0xE1 and turned == 1 and encoded.startswith(b"Exif\0\0", start + 4):
                turned = exif_orientation(encoded[start + 10 : end])
            kept.append(encoded[kept_to:start])
            kept_to = end
        elif marker in JPEG_FRAMES:
            frame = start
    scan = start
    if not frame:
        raise BadFile(Reason.UNDECODABLE, "the JPEG file has no frame header")
    end = encoded.find(b"\xff\xd9", scan)
    if end < 0:
        raise BadFile(Reason.TRUNCATED, "the JPEG file ends without its end marker")
    coding, (depth, height, width, components) = encoded[frame + 1], struct.unpack_from(">BHHB", encoded, frame + 4)
    if coding not in JPEG_DECODED or depth != 8:
        raise BadFile(
            Reason.UNSUPPORTED_FORMAT, "JPEG that is lossless, hierarchical or of 12 bits; convert it to 8-bit JPEG or PNG"
        )
    essential = b"".join([*kept, encoded[kept_to:]]) if kept else encoded
    memory: float = {1: PALETTE_MEMORY, 3: RGB_MEMORY}.get(components, CONVERTED_MEMORY)
    samples = _samples_per_pixel([encoded[frame + 11 + 3 * number] for number in range(components)])
    one_scan = coding not in JPEG_PROGRESSIVE and encoded[scan + 4] == components
    end = end if one_scan else encoded.rindex(b"\xff\xd9")  # tables between scans may hold the bytes of the marker
    scarce = coding in JPEG_SEQUENTIAL_HUFFMAN and 8 * (end - scan) < width * height * samples / 64 * JPEG_LEAST_BITS
    header = Header(width, height, essential, orientation=turned, memory=memory, scarce=scarce)
    if one_scan:
        return header
    # libjpeg keeps the coefficients of the whole image, 2 bytes each.
    memory = max(memory, (1 if components == 1 else 4) + 2 * samples)
    return replace(header, passes=encoded.count(b"\xff\xda", scan), memory=memory)


def _jpeg_segments(encoded: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of each segment, to the header of the first scan."""
    position, marker = 2, 0
    while marker != 0xDA:
        if encoded[position] != 0xFF or encoded[position + 1] in JPEG_FILL:  # what stands between segments is skipped
            position = encoded.find(b"\xff", position + 1)
            if position < 0:
                raise BadFile(Reason.TRUNCATED, "the JPEG file ends before its image")
            continue
        marker = encoded[position + 1]
        if marker == 0xD9:
            raise BadFile(Reason.UNDECODABLE, "the JPEG file holds no image")
        end = position + 2 + struct.unpack_from(">H", encoded, position + 2)[0]
        yield marker, position, end
        position = end


def _samples_per_pixel(sampling: list[int]) -> float:
    """Samples of all components for each pixel, by the components' sampling factors: 1.5 where colour is halved both ways."""
    factors = [(value >> 4, value & 15) for value in sampling]
    widest, highest = max((across for across, _ in factors), default=0), max((down for _, down in factors), default=0)
    if not widest * highest:
        raise BadFile(Reason.UNDECODABLE, "the JPEG file has no components, or a sampling factor of 0")
    return sum(across * down for across, down in factors) / (widest * highest)


def _read_png(encoded: bytes) -> Header:
    """PNG, third edition: sections 5 (chunks), 11.2.1 (the header), 11.3.4.3 (EXIF) and 11.3.6 (animation)."""
    width, height, depth, colour, *methods = struct.unpack_from(">IIBBBBB", encoded, 16)
    if encoded[12:16] != b"IHDR":
        raise BadFile(Reason.UNDECODABLE, "the PNG file does not begin with its header chunk")
    if methods not in ([0, 0, 0], [0, 0, 1]):
        raise BadFile(
            Reason.UNDECODABLE, "the PNG file asks for a method of compression, filtering or interlacing that is unknown"
        )
    kept, names, animated, turned = [encoded[:8]], set(), False, 1
    for name, start, end in _png_chunks(encoded):
        names.add(name)
        if name in PNG_CHUNKS:
            if zlib.crc32(memoryview(encoded)[start + 4 : end - 4]) != int.from_bytes(encoded[end - 4 : end]):
                raise BadFile(Reason.UNDECODABLE, f"the checksum of the PNG file's chunk {name.decode()} is wrong")
            kept.append(encoded[start:end])
        elif name == b"acTL":
            animated = int.from_bytes(encoded[start + 8 : start + 12]) > 1
        elif name == b"eXIf":
            turned = exif_orientation(encoded[start + 8 : end - 4])
    if b"IDAT" not in names:
        raise BadFile(Reason.UNDECODABLE, "the PNG file holds no image data")
    essential = encoded if names <= PNG_CHUNKS else b"".join(kept)
    memory: float = CONVERTED_MEMORY
    if b"tRNS" not in names and colour in (0, 2, 3):
        memory = RGB_MEMORY if colour == 2 else PALETTE_MEMORY if depth <= 8 else CONVERTED_MEMORY
    return Header(width, height, essential, depth=depth, animated=animated, orientation=turned, memory=memory)


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
    """Whether the data of a PNG file come to as many bytes as its size asks for (sections 7.2, 8.1); inflates all of them."""
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
    """GIF89a specification, 1990. A frame that goes beyond the screen widens it, as browsers do."""
    width, height, flags = struct.unpack_from("<HHB", encoded, 6)
    position = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    first, frames = (0, 0, 0, 0), 0
    while not frames or position < len(encoded):  # some programs leave the trailer out
        block = encoded[position]
        if block == 0x21:
            position = _skip_sub_blocks(encoded, position + 2)
        elif block == 0x2C:
            left, top, across, down, flags = struct.unpack_from("<HHHHB", encoded, position + 1)
            first = first if frames else (left, top, left + across, top + down)
            frames += 1
            position += 10 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
            position = _skip_sub_blocks(encoded, position + 1)
        else:  # the trailer, or what a decoder takes for it
            break
    if not frames:
        raise BadFile(Reason.UNDECODABLE, "the GIF file holds no image")
    left, top, right, bottom = first
    if left == right or top == bottom:
        raise BadFile(Reason.UNDECODABLE, "the GIF file's first frame has no pixels")
    size = max(width, right), max(height, bottom)
    partial = None if first == (0, 0, *size) else first
    return Header(*size, encoded, animated=frames > 1, frame=partial, memory=PALETTE_MEMORY)


def _skip_sub_blocks(encoded: bytes, position: int) -> int:
    while length := encoded[position]:
        position += length + 1
    return position + 1


def _read_webp(encoded: bytes) -> Header:
    """RFC 9649."""
    end = 8 + int.from_bytes(encoded[4:8], "little")
    if end > len(encoded):
        raise BadFile(Reason.TRUNCATED, f"the WebP file has {len(encoded):,} of {end:,} bytes")
    position, size, frames, turned = 12, (0, 0), 0, 1
    while position + 8 <= end:
        name, length = struct.unpack_from("<4sI", encoded, position)
        content = encoded[position + 8 : position + 8 + length]
        if name in WEBP_SIZES and size == (0, 0):
            size = WEBP_SIZES[name](content)
        elif name == b"ANMF":
            frames += 1
        elif name == b"EXIF":
            turned = exif_orientation(content.removeprefix(b"Exif\0\0"))
        position += 8 + length + length % 2
    return Header(*size, encoded, animated=frames > 1, orientation=turned, memory=WEBP_MEMORY)


def _vp8_size(content: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", content, 6)
    return width & 0x3FFF, height & 0x3FFF


def _vp8l_size(content: bytes) -> tuple[int, int]:
    (bits,) = struct.unpack_from("<I", content, 1)
    return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1


def _vp8x_size(content: bytes) -> tuple[int, int]:
    return int.from_bytes(content[4:7], "little") + 1, int.from_bytes(content[7:10], "little") + 1


WEBP_SIZES = {b"VP8 ": _vp8_size, b"VP8L": _vp8l_size, b"VP8X": _vp8x_size}


def _read_bmp(encoded: bytes) -> Header:
    """BITMAPCOREHEADER and BITMAPINFOHEADER with its successors."""
    offset, header = struct.unpack_from("<II", encoded, 10)
    compression = 0
    if header == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", encoded, 18)
    else:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", encoded, 18)
    if compression not in BMP_COMPRESSIONS:
        known = {4: "JPEG inside", 5: "PNG inside"}.get(compression, f"compression {compression}")
        raise BadFile(Reason.UNSUPPORTED_FORMAT, f"BMP with {known}; convert it to JPEG or PNG")
    rows = (width * bits + 31) // 32 * 4 * abs(height)
    if compression in (0, 3) and offset + rows > len(encoded):
        raise BadFile(Reason.TRUNCATED, f"the BMP file has {len(encoded):,} of {offset + rows:,} bytes")
    memory = RGB_MEMORY if bits > 8 and compression == 0 else CONVERTED_MEMORY
    return Header(width, abs(height), encoded, passes=BMP_RLE_PASSES if compression in (1, 2) else 1, memory=memory)


def _read_tiff(encoded: bytes) -> Header:
    """The strips or tiles are neither outside of the file nor too many."""
    directory = read_directory(encoded)
    if 50706 in directory.entries:
        raise BadFile(Reason.UNSUPPORTED_FORMAT, "DNG raw; convert it to JPEG or PNG")
    directory.check_essential()
    for offsets, counts in ((273, 279), (324, 325)):
        if directory.entries.get(offsets, (0, 0, 0))[1] > TIFF_MOST_PARTS:
            raise BadFile(Reason.TOO_LARGE, f"the TIFF file has more than {TIFF_MOST_PARTS:,} strips or tiles")
        starts, lengths = directory.integers(offsets), directory.integers(counts)
        ends = map(operator.add, starts, lengths or (1,) * len(starts))
        if max(ends, default=0) > len(encoded):
            raise BadFile(Reason.TRUNCATED, "the TIFF file ends before its last strip or tile")
    depth, inverted = max(directory.integers(258, (1,))), directory.integer(262) == 0
    if directory.integer(277, 1) > 6 or (depth == 16 and inverted):
        raise BadFile(Reason.UNSUPPORTED_FORMAT, "TIFF of more than six samples, or inverted 16-bit; convert it to JPEG or PNG")
    width, height = directory.integer(256), directory.integer(257)
    tile = directory.integer(322) * directory.integer(323)
    return Header(
        width,
        height,
        directory.rewritten(),
        depth=depth,
        orientation=orientation(directory),
        animated=directory.next != 0,
        memory=CONVERTED_MEMORY + 4 * tile / max(1, width * height),  # libtiff decodes a tile, of any size, beside the image
    )


_READERS: dict[str, Callable[[bytes], Header]] = {
    "JPEG": _read_jpeg,
    "PNG": _read_png,
    "GIF": _read_gif,
    "WEBP": _read_webp,
    "BMP": _read_bmp,
    "TIFF": _read_tiff,
}
