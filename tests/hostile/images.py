"""Broken image files, each with the reason for which it must be refused. They are made from seeds."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from resnet.images.outcomes import Reason
from resnet.images.tiff import read_directory
from tests.hostile.encoders import (
    bmp,
    clearing_gif,
    encode,
    gif,
    jpeg_header,
    jpeg_segment,
    noise,
    plain_tiff,
    png,
    png_chunk,
    resized_jpeg,
    riff,
    short_gif,
    tiff,
    webp_canvas,
)

LIMIT = 4_000_000  # pixels; more are `too_large`
TGA_FOOTER = bytes(8) + b"TRUEVISION-XFILE.\0"
HUGE = [(30_000, 30_000), (65_000, 65_000), (4_001, 1_000), (60_000, 67), (16_000, 16_000)]


@dataclass(frozen=True)
class BadImage:
    """A file to refuse.

    Attributes:
        kind: what is wrong with it.
        encoded: its bytes.
        reason: why it must be refused.
    """

    kind: str
    encoded: bytes
    reason: Reason


def bad_images(seed: int = 0) -> list[BadImage]:
    """At least 300 files of at least 25 kinds."""
    makers = [_cut, _too_large, _slow, _without_pixels, _unsupported, _other_content, _corrupt]
    generator = np.random.default_rng(seed)
    return [image for maker in makers for image in maker(generator)]


def whole_images() -> dict[str, bytes]:
    """Valid files of every format and coding."""
    image = noise()
    grey16 = Image.fromarray(np.random.default_rng(1).integers(0, 65536, (40, 48), dtype=np.uint16))
    frames = [noise(seed=number).convert("P") for number in range(3)]
    return {
        "JPEG": encode(image, "JPEG"),
        "progressive JPEG": encode(image, "JPEG", progressive=True),
        "CMYK JPEG": encode(image.convert("CMYK"), "JPEG"),
        "grey JPEG": encode(image.convert("L"), "JPEG", quality=95),
        "PNG": encode(image, "PNG"),
        "palette PNG": encode(image.convert("P"), "PNG"),
        "16-bit PNG": encode(grey16, "PNG"),
        "GIF": encode(image.convert("P"), "GIF"),
        "animated GIF": encode(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "BMP": encode(image, "BMP"),
        "palette BMP": encode(image.convert("P"), "BMP"),
        "WebP": encode(image, "WEBP"),
        "lossless WebP": encode(image, "WEBP", lossless=True),
        "TIFF": encode(image, "TIFF"),
        "LZW TIFF": encode(image, "TIFF", compression="tiff_lzw"),
        "deflate TIFF": encode(image, "TIFF", compression="tiff_adobe_deflate"),
        "JPEG TIFF": encode(image, "TIFF", compression="jpeg"),
        "16-bit TIFF": encode(grey16, "TIFF"),
    }


def _cut(generator: np.random.Generator) -> Iterator[BadImage]:
    """Files that end too early."""
    for kind, encoded in whole_images().items():
        animated = kind == "animated GIF"  # only its first frame matters, which ends before the middle of the file
        for share in (0.05, 0.25) if animated else (0.05, 0.25, 0.5, 0.75, 0.95):
            end = int(len(encoded) * share) + int(generator.integers(0, 5))
            yield BadImage(f"cut {kind}", encoded[:end], Reason.TRUNCATED)
        least = 20 if "GIF" in kind else 1  # a GIF may lack what follows its last pixel
        if not animated:
            yield BadImage(f"cut {kind}, at its end", encoded[:-least], Reason.TRUNCATED)
    # If a decoder appended anything to the file, such as another directory, that would replace the missing pixels.
    yield BadImage("TIFF whose strip is as short as it says", plain_tiff((4, 4), [8] * 3, 2, bytes(38)), Reason.TRUNCATED)
    image = encode(noise(), "JPEG")
    for end in (2, 3, 4, 10, 20, 100, len(image) - 2):
        yield BadImage("cut JPEG, short", image[:end], Reason.TRUNCATED)
    for share in (3, 2):
        end = len(image) * share // 4
        yield BadImage("JPEG whose end is zero bytes", image[:end] + bytes(len(image) - end), Reason.TRUNCATED)
    for kind in ("JPEG", "grey JPEG", "CMYK JPEG"):
        patched = resized_jpeg(whole_images()[kind], 1_500, 1_500)
        yield BadImage("JPEG of more pixels than its data", patched, Reason.TRUNCATED)
    for start in (b"\x89PNG", b"GIF8", b"RIFF", b"RIFF\x10\0\0\0WE", b"II*", b"MM\0", b"BM", b"BM\x10\0\0\0\0\0"):
        yield BadImage("first bytes of a magic number", start, Reason.TRUNCATED)


def _too_large(generator: np.random.Generator) -> Iterator[BadImage]:
    """Headers that declare more than `LIMIT`, and small files that really hold so many pixels."""
    for width, height in HUGE:
        yield BadImage("huge PNG header", png(width, height, 8, 2, b"\0"), Reason.TOO_LARGE)
        yield BadImage("huge JPEG header", jpeg_header(width, height), Reason.TOO_LARGE)
        yield BadImage("huge progressive JPEG header", jpeg_header(width, height, marker=0xC2), Reason.TOO_LARGE)
        yield BadImage("huge GIF screen", gif((width, height), [(0, 0, 1, 1)], bytes(6)), Reason.TOO_LARGE)
        frame = gif((1, 1), [(0, 0, 1, 1)], bytes(6)).replace(
            b"," + struct.pack("<HHHH", 0, 0, 1, 1), b"," + struct.pack("<HHHH", 0, 0, width, height)
        )
        yield BadImage("GIF frame larger than its screen", frame, Reason.TOO_LARGE)
        # Pillow allocates what clears the frame when it opens the file.
        yield BadImage("GIF that clears a huge frame", clearing_gif(width, height), Reason.TOO_LARGE)
        yield BadImage("huge RLE BMP", bmp(width, height, 8, 1, b"\0\1"), Reason.TOO_LARGE)
        yield BadImage("huge WebP canvas", webp_canvas(width, height), Reason.TOO_LARGE)
        entries = {
            256: (4, [width]),
            257: (4, [height]),
            258: (3, [8]),
            259: (3, [5]),
            262: (3, [1]),
            273: (4, [8]),
            279: (4, [8]),
        }
        yield BadImage("huge TIFF", tiff(entries), Reason.TOO_LARGE)
        tiles = {256: (4, [8]), 257: (4, [8]), 322: (4, [width]), 323: (4, [height]), 324: (4, [8]), 325: (4, [8])}
        if width * height > 2 * LIMIT:
            yield BadImage("TIFF of a huge tile", tiff(entries | tiles), Reason.TOO_LARGE)
    for width, height in ((1, 65_536), (70_000, 1), (1, 3_900_000)):
        rows = bytes(width + 1) * height
        yield BadImage("PNG with a long side", png(width, height, 8, 0, rows), Reason.TOO_LARGE)
        yield BadImage("BMP with a long side", bmp(width, height, 8, data=bytes(4 * width * height)), Reason.TOO_LARGE)
    side = 20_000
    rows = (bytes(1 + side // 8)) * side
    yield BadImage("PNG bomb", png(side, side, 1, 0, rows), Reason.TOO_LARGE)
    lossless = encode(Image.new("RGB", (2_500, 2_500)), "WEBP", lossless=True, method=0, quality=0)
    yield BadImage("WebP bomb", lossless, Reason.TOO_LARGE)
    yield BadImage("GIF bomb", encode(Image.new("P", (3_000, 3_000)), "GIF"), Reason.TOO_LARGE)
    yield BadImage("CCITT TIFF bomb", encode(Image.new("1", (8_000, 8_000)), "TIFF", compression="group4"), Reason.TOO_LARGE)


def _slow(generator: np.random.Generator) -> Iterator[BadImage]:
    """Files that would take long to decode: one scan repeated, very many strips."""
    encoded = encode(Image.new("RGB", (1_000, 1_000)), "JPEG", progressive=True)
    scan = encoded[encoded.rindex(b"\xff\xda") : -2]
    for times in (2_500, 5_000):
        yield BadImage("JPEG of many scans", encoded[:-2] + scan * times + b"\xff\xd9", Reason.TOO_LARGE)
    count = 300_000
    entries = {256: (4, [1]), 257: (4, [count]), 258: (3, [8]), 259: (3, [1]), 262: (3, [1]), 278: (3, [1])}
    strips = {273: (4, [8] * count), 279: (4, [1] * count)}
    yield BadImage("TIFF of many strips", tiff(entries | strips), Reason.TOO_LARGE)


def _without_pixels(generator: np.random.Generator) -> Iterator[BadImage]:
    """Sizes of zero."""
    for width, height in ((0, 5), (5, 0), (0, 0)):
        yield BadImage("PNG without pixels", png(width, height, 8, 2, b"\0"), Reason.UNDECODABLE)
        yield BadImage("JPEG without pixels", jpeg_header(width, height), Reason.UNDECODABLE)
        yield BadImage("BMP without pixels", bmp(width, height), Reason.UNDECODABLE)
        yield BadImage("GIF without pixels", gif((width, height), [(0, 0, width, height)], bytes(6)), Reason.UNDECODABLE)
        entries = {256: (4, [width]), 257: (4, [height]), 273: (4, [8]), 279: (4, [8])}
        yield BadImage("TIFF without pixels", tiff(entries), Reason.UNDECODABLE)


def _unsupported(generator: np.random.Generator) -> Iterator[BadImage]:
    """Images of other formats, and of pixel types without an agreed scale."""
    image = noise()
    for kind in ("AVIF", "ICO", "JPEG2000", "PPM", "PCX", "DDS", "SGI", "EPS", "ICNS", "QOI", "TGA", "XBM"):
        encoded = encode(image.convert("1") if kind == "XBM" else image, kind)
        yield BadImage(f"{kind} file", encoded, Reason.UNSUPPORTED_FORMAT)
    for mode in ("1", "L"):
        yield BadImage("PNM file", encode(image.convert(mode), "PPM"), Reason.UNSUPPORTED_FORMAT)
    starts = {
        "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
        "HEIC of another brand": b"\0\0\0\x18ftypmif1\0\0\0\0mif1heix",
        "AVIF sequence": b"\0\0\0\x1cftypavis\0\0\0\0avisavifmif1",
        "Photoshop": b"8BPS\0\1\0\0\0\0\0\0\0\3",
        "JPEG XL": b"\0\0\0\x0cJXL \r\n\x87\n",
        "bare JPEG XL": b"\xff\x0a\xfa\x1f",
        "SVG": b'<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"></svg>',
        "SVG with a declaration": b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- drawn -->\n<svg></svg>',
        "OpenEXR": b"v/1\1\2\0\0\0",
        "Radiance HDR": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n",
        "FITS": b"SIMPLE  =                    T",
        "DICOM": bytes(128) + b"DICM",
        "GIMP": b"gimp xcf file\0",
        "Canon raw": b"II*\0\x10\0\0\0CR\2\0",
        "Fujifilm raw": b"FUJIFILMCCD-RAW 0201",
        "ILBM": b"FORM\0\0\1\0ILBMBMHD\0\0\0\x14",
        "DPX": b"SDPX\0\0\x20\0V1.0",
        "DPX of the other order": b"XPDS\0\x20\0\0V1.0",
        "Cineon": b"\x80\x2a\x5f\xd7\0\0\4\0",
        "CUR": b"\0\0\2\0\1\0\x10\x10\0\0\1\0\1\0\x30\0\0\0\x16\0\0\0",
        "DjVu": b"AT&TFORM\0\0\0\x10DJVU",
    }
    for name, start in starts.items():
        for size in (0, 200):
            yield BadImage(f"{name} file", start + bytes(size), Reason.UNSUPPORTED_FORMAT)
    for values in (np.full((4, 5), 70_000, np.int32), np.full((4, 5), 0.5, np.float32)):
        yield BadImage(f"TIFF of {values.dtype}", encode(Image.fromarray(values), "TIFF"), Reason.UNSUPPORTED_FORMAT)
    yield BadImage("L*a*b* TIFF", encode(Image.new("LAB", (4, 4)), "TIFF"), Reason.UNSUPPORTED_FORMAT)
    yield from _unsupported_tiffs()
    for number in (4, 5, 6, 9, 11):
        yield BadImage("BMP of another compression", bmp(4, 4, 24, number, bytes(99)), Reason.UNSUPPORTED_FORMAT)
    for marker, depth in ((0xC1, 12), (0xC5, 8), (0xC7, 8), (0xCB, 8)):
        yield BadImage("JPEG of a rare kind", jpeg_header(8, 8, marker, depth), Reason.UNSUPPORTED_FORMAT)


def _unsupported_tiffs() -> Iterator[BadImage]:
    """Valid TIFFs of pixel types that Pillow does not support."""
    floats, alpha = {339: (3, [3])}, {338: (3, [2])}
    pixels: dict[str, tuple[list[int], int, dict[int, tuple[int, list[int]]]]] = {
        "RGB of floating-point numbers": ([32] * 3, 2, {339: (3, [3] * 3)}),
        "halves": ([16], 1, floats),
        "doubles": ([64], 1, floats),
        "RGB of 32 bits": ([32] * 3, 2, {}),
        "16-bit grey with alpha": ([16] * 2, 1, alpha),
        "five samples": ([8] * 5, 1, {338: (3, [0] * 4)}),
        "complex numbers": ([64], 1, {339: (3, [6])}),
        "a colour filter": ([8], 32803, {}),
        "unknown compression": ([8], 1, {259: (3, [9999])}),
        "JBIG": ([1], 1, {259: (3, [34661])}),
    }
    for name, (bits, colours, more) in pixels.items():
        for order in "<>":
            encoded = plain_tiff((4, 4), bits, colours, bytes(2 * sum(bits)), order, more=more)
            yield BadImage(f"TIFF of {name}", encoded, Reason.UNSUPPORTED_FORMAT)


def _other_content(generator: np.random.Generator) -> Iterator[BadImage]:
    """Contents that are not images."""
    yield BadImage("empty", b"", Reason.EMPTY)
    contents = {
        "text": b"A README.\n",
        "text that begins like a BMP": b"BMW is a maker of cars. So it goes on for a while.",
        "text with a word like a magic number": b"Like the ILBM format.\nFORM of the PBM kind.\n",
        "C with sizes": b"#include <stdio.h>\n#define page_width 80\n",
        "text in UTF-8": "Grüße, 你好\n".encode(),
        "web page": b"<!DOCTYPE html>\n<html><body>404 Not Found</body></html>",
        "XML": b'<?xml version="1.0"?><annotation></annotation>',
        "JSON": b'{"images": []}',
        "PDF": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
        "ZIP": b"PK\3\4\x14\0\0\0",
        "gzip": b"\x1f\x8b\x08\0\0\0\0\0",
        "program": b"\x7fELF\2\1\1\0",
        "MP4": b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom",
        "AVI": b"RIFF\x24\0\0\0AVI LIST",
        "WAV": b"RIFF\x24\0\0\0WAVEfmt ",
        "MP3": b"ID3\4\0\0\0\0\0\0",
        "Thumbs.db": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(64),
        "AppleDouble": b"\0\5\x16\7\0\2\0\0Mac OS X        ",
        "Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
        "NumPy array": b"\x93NUMPY\1\0v\0{'descr': '|u1'}",
        "zero bytes": bytes(5000),
        "one byte": b"\xff",
    }
    for kind, content in contents.items():
        yield BadImage(kind, content, Reason.NOT_AN_IMAGE)
    yield BadImage("TGA without a footer", encode(noise(), "TGA")[: -len(TGA_FOOTER)], Reason.NOT_AN_IMAGE)
    for size in (10, 100, 1_000, 10_000):
        for _ in range(5):
            content = b"\x07" + generator.integers(0, 256, size, dtype=np.uint8).tobytes()
            yield BadImage("random bytes", content, Reason.NOT_AN_IMAGE)
    yield BadImage("JPEG behind other bytes", b"\r\n" + encode(noise(), "JPEG"), Reason.NOT_AN_IMAGE)


def _corrupt(generator: np.random.Generator) -> Iterator[BadImage]:
    """Files of the right length with wrong content."""
    image = encode(noise(), "PNG")
    data = image.index(b"IDAT") + 4
    for _ in range(10):
        at = int(generator.integers(data, len(image) - 20))
        flipped = image[:at] + bytes([image[at] ^ 16]) + image[at + 1 :]
        yield BadImage("PNG with a wrong checksum", flipped, Reason.UNDECODABLE)
    at = image.index(b"IEND") - 5  # in the checksum of the data, which are valid
    yield BadImage("PNG with a wrong checksum", image[:at] + bytes([image[at] ^ 1]) + image[at + 1 :], Reason.UNDECODABLE)
    start = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">IIBBBBB", 9, 9, 8, 2, 0, 0, 0))
    end = png_chunk(b"IEND", b"")
    yield BadImage("PNG without data", start + end, Reason.UNDECODABLE)
    rows = zlib.compress(bytes(range(28)) * 9)
    for length in (len(rows) // 2, 10):
        cut = png_chunk(b"IDAT", rows[:length])
        yield BadImage("PNG whose data stream is cut", start + cut + png_chunk(b"IEND", b""), Reason.TRUNCATED)
    yield BadImage("PNG of garbage", start + png_chunk(b"IDAT", b"garbage" * 9) + end, Reason.UNDECODABLE)
    yield BadImage("PNG with a broken chunk", start + b"\0\0\0\1\0\1\2\3" + bytes(99), Reason.UNDECODABLE)
    yield BadImage("PNG with too few rows", png(9, 9, 8, 2, bytes(28)), Reason.TRUNCATED)
    yield BadImage("PNG with one row too few", png(9, 9, 8, 2, (b"\0" + bytes(range(1, 28))) * 8), Reason.TRUNCATED)
    yield BadImage("GIF with too few pixels", short_gif(), Reason.TRUNCATED)
    data = image.index(b"IDAT") - 4
    half, rest = (png_chunk(b"IDAT", part) for part in (image[data + 8 : data + 99], image[data + 99 : -16]))
    between = image[:data] + half + png_chunk(b"tEXt", b"Comment\0text") + rest + image[-12:]
    yield BadImage("PNG with a text within its data", between, Reason.UNDECODABLE)
    yield BadImage("PNG without its palette", png(4, 4, 8, 3, bytes(20)), Reason.UNDECODABLE)
    first = png_chunk(b"sRGB", b"\0") + png_chunk(b"tEXt", b"Comment\0text")
    yield BadImage("PNG whose header is not first", image[:8] + first + image[8:], Reason.UNDECODABLE)
    for place in (26, 27, 28):  # compression, filtering, interlacing
        odd = png_chunk(b"IHDR", image[16:place] + b"\x09" + image[place + 1 : 29])
        yield BadImage("PNG of a method that does not exist", image[:8] + odd + image[33:], Reason.UNDECODABLE)
    yield BadImage("PNG with LF made CRLF", image.replace(b"\n", b"\r\n"), Reason.UNDECODABLE)
    yield BadImage("PNG with CRLF made LF", image.replace(b"\r\n", b"\n"), Reason.UNDECODABLE)
    yield BadImage("PNG of 7 bits", bytes(byte & 127 for byte in image), Reason.UNDECODABLE)
    yield BadImage("PNG read as UTF-8", image.decode("utf-8", "replace").encode(), Reason.UNDECODABLE)
    yield BadImage("PNG of an impossible depth", png(9, 9, 7, 2, bytes(252)), Reason.UNDECODABLE)
    yield BadImage("JPEG without tables", jpeg_header(16, 16), Reason.UNDECODABLE)
    many = b"\xff\xd8" + jpeg_segment(0xFE, b"") * 200_000
    yield BadImage("JPEG of very many segments", many + encode(noise(), "JPEG")[2:], Reason.UNDECODABLE)
    yield BadImage("JPEG without an image", b"\xff\xd8\xff\xe0\0\4JF\xff\xd9", Reason.UNDECODABLE)
    yield BadImage("JPEG without a frame", b"\xff\xd8" + jpeg_segment(0xDA, bytes(10)) + b"\xff\xd9", Reason.UNDECODABLE)
    yield BadImage("GIF without an image", b"GIF89a" + struct.pack("<HHBBB", 5, 5, 0, 0, 0) + b";", Reason.UNDECODABLE)
    yield BadImage("BMP of an impossible depth", bmp(4, 4, 13, data=bytes(99)), Reason.UNSUPPORTED_FORMAT)
    yield BadImage("BMP of negative width", bmp(-4, 4, 24, data=bytes(99)), Reason.TOO_LARGE)
    yield BadImage("WebP of garbage", webp_canvas(8, 8), Reason.UNDECODABLE)
    yield BadImage("WebP without an image", riff(b"EXIF" + struct.pack("<I", 4) + b"none"), Reason.UNDECODABLE)
    yield from _corrupt_tiffs()


def _corrupt_tiffs() -> Iterator[BadImage]:
    """TIFFs that Pillow decodes to other pixels, with a warning at most, and TIFFs that it refuses."""
    entries = {256: (4, [8]), 257: (4, [8]), 258: (3, [8]), 262: (3, [1]), 273: (4, [8]), 279: (4, [64])}
    for tag, value in ((258, 0), (258, 99), (277, 2), (262, 9999), (339, 77)):
        wrong = {258: (3, [8, 8, 8])} if tag == 277 else {}
        senseless = tiff(entries | wrong | {259: (3, [1]), tag: (3, [value])}, bytes(64))
        yield BadImage("TIFF whose pixels make no sense", senseless, Reason.UNSUPPORTED_FORMAT)
    yield BadImage("TIFF with two widths", tiff(entries | {256: (4, [8, 9])}, bytes(64)), Reason.UNDECODABLE)
    yield BadImage("TIFF of garbage", tiff(entries | {259: (3, [8])}, bytes(64)), Reason.UNDECODABLE)
    yield BadImage("TIFF without a directory", b"II*\0\x08\0\0\0\0\0\0\0\0\0", Reason.UNDECODABLE)
    grey = plain_tiff((4, 4), [16], 1, bytes(32))
    for tag in (258, 259, 262):  # Pillow would take 1 bit, no compression, or inverted grey
        at = grey.index(struct.pack("<HH", tag, 3)) + 2
        yield BadImage("TIFF with a tag of an unknown type", grey[:at] + b"\x63" + grey[at + 1 :], Reason.UNDECODABLE)
    drawn = Image.fromarray(np.asarray(noise(70, 60))[..., 0] > 127)
    described = encode(drawn, "TIFF", compression="group4", tiffinfo={270: "a description"})
    at = described.index(struct.pack("<HH", 270, 2)) + 8  # where its text is: behind the end
    cut = described[:at] + struct.pack("<I", len(described)) + described[at + 4 :]
    yield BadImage("TIFF with a cut description", cut, Reason.UNDECODABLE)
    for compression, offset in (("tiff_ccitt", 40), ("group4", 12)):
        fax = encode(drawn, "TIFF", compression=compression)
        place = read_directory(fax)[273][1] + offset
        damaged = fax[:place] + bytes(3) + fax[place + 3 :]  # no code begins with so many zeros
        yield BadImage("fax TIFF with an unknown code", damaged, Reason.UNDECODABLE)
