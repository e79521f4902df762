"""Valid image files of unusual kinds, with the expected pixels, computed by hand or with NumPy."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from tests.hostile.encoders import bmp, encode, exif, gif, jpeg_segment, noise, plain_tiff, png, png_chunk, riff

Pixels = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]


@dataclass(frozen=True)
class OddImage:
    """A valid file of an unusual kind.

    Attributes:
        kind: what is unusual about it.
        encoded: its bytes.
        pixels: expected result, (height, width, 3) uint8.
        tolerance: allowed difference of a decoded value, for rounding.
    """

    kind: str
    encoded: bytes
    pixels: Pixels
    tolerance: int = 0


def odd_images() -> list[OddImage]:
    """Valid files of unusual kinds."""
    makers = [
        _odd_depths,
        _odd_transparency,
        _odd_orientations,
        _odd_colours,
        _odd_animations,
        _odd_tiffs,
        _odd_structure,
        _odd_segments,
    ]
    return [image for maker in makers for image in maker()]


def grey(levels: object) -> Pixels:
    """Levels, (height, width), as RGB."""
    return np.repeat(np.round(np.asarray(levels, dtype=float)).astype(np.uint8)[..., None], 3, axis=-1)


def _odd_depths() -> Iterator[OddImage]:
    deep = np.array([[0, 128, 129, 257], [385, 386, 32768, 65535]], dtype=np.uint16)
    expected = grey(deep / 257)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep)
    yield OddImage("16-bit grey PNG", png(4, 2, 16, 0, rows), expected)
    for order in "<", ">":
        data = deep.astype(f"{order}u2").tobytes()
        yield OddImage(f"16-bit grey TIFF, {order}", plain_tiff((4, 2), [16], 1, data, order), expected)
    colours = np.random.default_rng(0).integers(0, 65536, (3, 5, 3), dtype=np.uint16)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in colours)
    yield OddImage("16-bit RGB PNG", png(5, 3, 16, 2, rows), np.round(colours / 257).astype(np.uint8), tolerance=1)
    yield OddImage("1-bit PNG", png(8, 1, 1, 0, b"\0\xa5"), grey([[255, 0, 255, 0, 0, 255, 0, 255]]))
    yield OddImage("2-bit PNG", png(4, 1, 2, 0, b"\0\x1b"), grey([[0, 85, 170, 255]]))
    yield OddImage("4-bit PNG", png(2, 1, 4, 0, b"\0\x1f"), grey([[17, 255]]))
    yield OddImage("1-bit BMP", bmp(8, 1, 1, data=b"\xa5\0\0\0"), grey([[1, 0, 1, 0, 0, 1, 0, 1]]))
    yield OddImage("RLE BMP", bmp(4, 2, 8, 1, b"\4\7\0\0\3\x09\1\5\0\0\0\1"), grey([[9, 9, 9, 5], [7, 7, 7, 7]]))
    yield OddImage(
        "BMP from the top down", bmp(1, -2, 24, data=b"\3\2\1\0\6\5\4\0"), np.array([[[1, 2, 3]], [[4, 5, 6]]], np.uint8)
    )
    yield OddImage(
        "16-bit BMP", bmp(2, 1, 16, data=struct.pack("<HH", 0x7C00, 0x001F)), np.array([[[255, 0, 0], [0, 0, 255]]], np.uint8)
    )


def _odd_transparency() -> Iterator[OddImage]:
    generator = np.random.default_rng(2)
    rgba = generator.integers(0, 256, (6, 7, 4), dtype=np.uint8)
    opacity = rgba[..., 3:].astype(float) / 255
    expected = np.round(opacity * rgba[..., :3] + (1 - opacity) * 255).astype(np.uint8)
    image = Image.fromarray(rgba)
    alphas: dict[str, dict[str, object]] = {"PNG": {}, "TIFF": {}, "WEBP": {"lossless": True, "exact": True}}
    for kind, options in alphas.items():
        yield OddImage(f"{kind} with alpha", encode(image, kind, **options), expected, tolerance=1)
    yield OddImage("grey PNG with alpha", png(2, 1, 8, 4, b"\0\0\xff\0\0"), grey([[0, 255]]))
    palette = png_chunk(b"PLTE", bytes([10, 20, 30, 40, 50, 60, 70, 80, 90]))
    shades = png_chunk(b"tRNS", b"\0\xff")
    indices = b"\0\0\1\2"
    colours = np.array([[[255, 255, 255], [40, 50, 60], [70, 80, 90]]], np.uint8)
    yield OddImage("palette PNG with a transparent colour", png(3, 1, 8, 3, indices, palette, shades), colours)
    half = np.array([[[255, 255, 255], [147, 152, 157], [70, 80, 90]]], np.uint8)  # 128 of 255 of (40, 50, 60), on white
    yield OddImage(
        "palette PNG with shades", png(3, 1, 8, 3, indices, palette, png_chunk(b"tRNS", b"\0\x80")), half, tolerance=1
    )
    colour = png_chunk(b"tRNS", struct.pack(">HHH", 1, 2, 3))
    colours = np.array([[[255, 255, 255], [1, 2, 4]]], np.uint8)
    yield OddImage("RGB PNG with a transparent colour", png(2, 1, 8, 2, b"\0\1\2\3\1\2\4", colour), colours)
    for depth, row, levels in (
        (1, b"\0\x40", [0, 255]),
        (2, b"\0\x40", [255, 0]),
        (4, b"\0\x10", [255, 0]),
        (8, b"\0\1\0", [255, 0]),
    ):
        one = png_chunk(b"tRNS", struct.pack(">H", 1))
        yield OddImage(f"{depth}-bit grey PNG with a transparent level", png(2, 1, depth, 0, row, one), grey([levels]))
    deep = png(2, 1, 16, 0, b"\0\1\0\1\1", png_chunk(b"tRNS", b"\1\0"))  # 256 and 257; 256 is transparent
    yield OddImage("16-bit grey PNG with a transparent level", deep, grey([[255, 1]]))


def _odd_orientations() -> Iterator[OddImage]:
    pixels = np.asarray(noise(5, 3))
    across = pixels.transpose(1, 0, 2)
    upright = [
        pixels,
        pixels[:, ::-1],
        pixels[::-1, ::-1],
        pixels[::-1],
        across,
        np.rot90(pixels, -1),
        across[::-1, ::-1],
        np.rot90(pixels),
    ]
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    for value, expected in enumerate(upright, 1):
        for order in "<>":
            turned = png(5, 3, 8, 2, rows, png_chunk(b"eXIf", exif(value, order)[6:]))
            yield OddImage(f"PNG of orientation {value}, {order}", turned, expected)
        yield OddImage(
            f"TIFF of orientation {value}",
            plain_tiff((5, 3), [8, 8, 8], 2, pixels.tobytes(), more={274: (3, [value])}),
            expected,
        )
    plain = Image.new("RGB", (16, 8), (200, 200, 200))
    plain.paste((40, 40, 40), (0, 0, 8, 8))
    beside = np.asarray(plain)
    for value, expected in ((6, np.rot90(beside, -1)), (8, np.rot90(beside))):
        yield OddImage(f"JPEG of orientation {value}", encode(plain, "JPEG", exif=exif(value)), expected, tolerance=3)
        lossless = encode(plain, "WEBP", lossless=True, exif=exif(value))
        yield OddImage(f"WebP of orientation {value}", lossless, expected)
        second = b"EXIF" + struct.pack("<I", 4) + b"none"
        yield OddImage(f"WebP of orientation {value}, with EXIF twice", riff(lossless[12:] + second), expected)
    for name, block in {
        "cut": exif(6)[:20],
        "of two bytes": exif(6)[:8],
        "garbage": b"Exif\0\0garbage",
        "of orientation 9": exif(9),
        "far away": exif(6)[:10] + b"\xff" * 4,
    }.items():
        yield OddImage(f"JPEG with EXIF {name}", encode(plain, "JPEG", exif=block), beside, tolerance=3)


def _odd_colours() -> Iterator[OddImage]:
    cyan, magenta, yellow, black = 10, 100, 200, 50
    expected = np.array([(255 - ink) * (255 - black) / 255 for ink in (cyan, magenta, yellow)])
    image = Image.new("CMYK", (16, 16), (cyan, magenta, yellow, black))
    inks = np.broadcast_to(np.round(expected).astype(np.uint8), (16, 16, 3))
    yield OddImage("CMYK JPEG", encode(image, "JPEG", quality=100), inks, tolerance=2)
    yield OddImage("CMYK TIFF", encode(image, "TIFF"), inks, tolerance=1)
    # The file stores Y = 100, Cb = Cr = 128, K = 255 (inverted: no black). That is grey of 100, inverted to inks of 155, which
    # Adobe's inversion turns into 100. The result is 255 - 100.
    ycck = encode(Image.new("CMYK", (16, 16), (155, 127, 127, 0)), "JPEG", quality=100)
    at = ycck.index(b"Adobe")
    ycck = ycck[: at + 11] + b"\2" + ycck[at + 12 :]
    yield OddImage("YCCK JPEG", ycck, grey(np.full((16, 16), 155)), tolerance=2)
    flat = Image.new("RGB", (24, 24), (30, 120, 210))
    codings: dict[str, dict[str, object]] = {"progressive": {"progressive": True}, "4:4:4": {"subsampling": 0}}
    for name, options in codings.items():
        yield OddImage(f"{name} JPEG", encode(flat, "JPEG", quality=95, **options), np.asarray(flat), tolerance=3)
    yield OddImage("grey JPEG", encode(Image.new("L", (9, 9), 77), "JPEG"), grey(np.full((9, 9), 77)), tolerance=1)


def _odd_animations() -> Iterator[OddImage]:
    frames = [Image.new("RGB", (8, 6), colour) for colour in ((250, 10, 10), (10, 250, 10), (10, 10, 250))]
    kinds: dict[str, dict[str, object]] = {"GIF": {}, "PNG": {}, "WEBP": {"lossless": True}, "TIFF": {}}
    for kind, options in kinds.items():
        encoded = encode(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        yield OddImage(f"animated {kind}", encoded, np.asarray(frames[0]))
    colours = bytes([200, 0, 0, 0, 0, 200])
    expected = np.full((4, 6, 3), 255, np.uint8)
    expected[1:3, 2:5] = 0, 0, 200
    yield OddImage("GIF with a frame smaller than its screen", gif((6, 4), [(2, 1, 3, 2)], colours), expected)
    transparent = encode(Image.fromarray(np.array([[0, 1]], np.uint8), "P"), "GIF", transparency=1, optimize=False)
    yield OddImage("GIF with a transparent colour", transparent, grey([[0, 255]]))
    many = np.broadcast_to(np.array([0, 0, 200], np.uint8), (2, 2, 3))
    yield OddImage("GIF without its trailer", gif((2, 2), [(0, 0, 2, 2)], colours)[:-1], many)
    second = gif((2, 2), [(0, 0, 2, 2)] * 2, colours)
    for length in (1, 4, 12, 17, 18):
        yield OddImage(f"GIF without its last {length} bytes, of the second frame", second[:-length], many)
    one = gif((2, 2), [(0, 0, 2, 2)], colours)
    yield OddImage("GIF without its last 2 bytes, which follow its pixels", one[:-2], many)
    for end in (b"garbage", b",", b"!\xff\x0bNETS", b"," + struct.pack("<HHHHB", 9, 9, 0, 65_535, 0) + b"\x0f\1"):
        yield OddImage(f"GIF whose first frame is followed by {end!r}", one[:-1] + end, many)
    for extension in (b"!\xff\0", b"!\xff\x0bNETSCAPE2.0\0", b"!\x01\0", b"!\xf9\0", b"!\xf9\1\0\0", b"!,\0", b"!\0\0"):
        odd = one.replace(b",", extension + b",", 1)
        yield OddImage(f"GIF with an empty extension, {extension!r}", odd, many)
    at = one.index(b",")
    yield OddImage("GIF with stray bytes before its frame", one[:at] + b"\0\7" + one[at:], many)
    yield OddImage("GIF of many frames", gif((2, 2), [(0, 0, 2, 2)] * 50, colours), many)


def _odd_tiffs() -> Iterator[OddImage]:
    image = noise(37, 29)
    pixels = np.asarray(image)
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd", "lzma"):
        yield OddImage(f"{compression} TIFF", encode(image, "TIFF", compression=compression), pixels)
    yield OddImage("BigTIFF", encode(image, "TIFF", big_tiff=True), pixels)
    yield OddImage("TIFF of strips", encode(image, "TIFF", compression="tiff_lzw", strip_size=500), pixels)
    tags = {317: 2, 305: "a program", 33432: "nobody"}
    yield OddImage("TIFF with a predictor and texts", encode(image, "TIFF", compression="tiff_lzw", tiffinfo=tags), pixels)
    yield OddImage("inverted TIFF", plain_tiff((3, 1), [8], 0, b"\0\1\xff"), grey([[255, 254, 0]]))
    bits = Image.fromarray(np.random.default_rng(0).integers(0, 2, (9, 11), dtype=np.uint8) * 255).convert("1")
    xmp = list(b'<x:xmpmeta tiff:Orientation="6"/>')
    only_exif = plain_tiff((3, 1), [8], 1, b"\0\1\xff", more={700: (1, xmp)})
    yield OddImage("TIFF that XMP alone would rotate", only_exif, grey([[0, 1, 255]]))
    fax = encode(bits, "TIFF", compression="group4")
    yield OddImage("fax TIFF", fax, grey(np.asarray(bits) * 255))


def _odd_structure() -> Iterator[OddImage]:
    image = noise(9, 7)
    pixels = np.asarray(image)
    whole = encode(image, "PNG")
    yield OddImage("PNG with bytes after its end", whole + b"more", pixels)
    yield OddImage("PNG with a wrong checksum of its end", whole[:-1] + b"x", pixels)
    broken = png_chunk(b"tEXt", b"Comment\0text")[:-1] + b"\0"
    yield OddImage("PNG with a text of a wrong checksum", whole[:33] + broken + whole[33:], pixels)
    profile = png_chunk(b"iCCP", b"name\0\0" + zlib.compress(bytes(3_000_000)))
    yield OddImage("PNG with a colour profile like a bomb", whole[:33] + profile + whole[33:], pixels)
    text = png_chunk(b"zTXt", b"name\0\0" + zlib.compress(bytes(9_000_000)))
    yield OddImage("PNG with a text like a bomb", whole[:33] + text + whole[33:], pixels)
    for frames in (0, 5):
        lie = png_chunk(b"acTL", struct.pack(">II", frames, 0))
        yield OddImage(f"PNG that claims {frames} frames twice", whole[:33] + lie * 2 + whole[33:], pixels)
    for width, height in ((65_535, 1), (1, 65_535)):
        row = bytes(range(256)) * 256
        yield OddImage(
            f"PNG of {width} x {height} pixels",
            png(width, height, 8, 0, b"".join(b"\0" + row[at : at + width] for at in range(0, 65_535, width))),
            grey(np.frombuffer(row[:65_535], np.uint8).reshape(height, width)),
        )
    yield OddImage("interlaced PNG", _interlaced(pixels), pixels)
    black = np.zeros((7, 9, 3), np.uint8)
    yield OddImage("black PNG", encode(Image.fromarray(black), "PNG"), black)
    yield OddImage("black interlaced PNG", _interlaced(black), black)
    for side in (1, 2, 3):
        yield OddImage(f"interlaced PNG of {side} pixels", _interlaced(pixels[:side, :side]), pixels[:side, :side])
    flat = Image.new("RGB", (16, 16), (90, 90, 90))
    encoded = encode(flat, "JPEG")
    yield OddImage("JPEG with bytes after its end", encoded + bytes(1000), np.asarray(flat), tolerance=1)
    more = (
        encoded[:2]
        + jpeg_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x>")
        + jpeg_segment(0xFE, b"\xff\xd9 \xff\xda")
        + b"\xff" * 5
    )
    yield OddImage("JPEG with markers in its comment", more + encoded[2:], np.asarray(flat), tolerance=1)
    for size in ((1_000, 999), (17, 1)):
        for options in ({"subsampling": 0}, {"subsampling": 2}):
            least = encode(Image.new("RGB", size, (128, 128, 128)), "JPEG", optimize=True, **options)  # 2 bits for each block
            shown = grey(np.full((size[1], size[0]), 128))
            yield OddImage(f"JPEG of {size}, as short as it can be, {options}", least, shown, tolerance=1)
    stray = encoded[:2] + jpeg_segment(0xE1, exif(1)) + b"\0\0" + encoded[2:]
    yield OddImage("JPEG with stray bytes after its EXIF", stray, np.asarray(flat), tolerance=1)
    thumbnail = jpeg_segment(0xE1, exif(1) + encode(noise(8, 8), "JPEG"))
    yield OddImage("JPEG with a thumbnail", encoded[:2] + thumbnail + encoded[2:], np.asarray(flat), tolerance=1)


def _odd_segments() -> Iterator[OddImage]:
    """JPEGs with segments that do not affect the pixels."""
    flat = Image.new("RGB", (16, 16), (90, 90, 90))
    encoded = encode(flat, "JPEG")
    start, photoshop = encoded[:2], b"Photoshop 3.0\0" + b"8BIM"
    segments = {
        "a Photoshop segment that is cut": jpeg_segment(0xED, photoshop + b"\3\xed"),
        "a Photoshop segment of an odd length": jpeg_segment(0xED, photoshop + b"\4\4\0\0\0\0\0\3abc"),
        "an Adobe segment that is cut": jpeg_segment(0xEE, b"Adobe"),
        "a JFIF segment that is cut": jpeg_segment(0xE0, b"JFIF\0"),
        "a profile that is cut": jpeg_segment(0xE2, b"ICC_PROFILE\0\1"),
        "a segment of length 0": b"\xff\xec\0\0",
        "an empty comment": jpeg_segment(0xFE, b""),
        "the frame of a lossless JPEG in its comment": jpeg_segment(0xFE, b"\xff\xc3\0\x11\x08\0\x10\0\x10\3"),
        "bytes and fill bytes between its segments": b"\xff\xfe\0\2\0\1\xff\0abc\xff\xff",
    }
    for name, segment in segments.items():
        yield OddImage(f"JPEG with {name}", start + segment + encoded[2:], np.asarray(flat), tolerance=1)
    plain = Image.new("L", (16, 8), 200)
    plain.paste(40, (0, 0, 8, 8))
    beside, inner = encode(plain, "JPEG"), encode(plain, "JPEG", exif=exif(6))
    for name, segment in {
        "thumbnail in a Photoshop segment": jpeg_segment(0xED, photoshop + b"\4\x0c\0\0" + bytes(32) + inner),
        "comment": jpeg_segment(0xFE, b"  " + jpeg_segment(0xE1, exif(6))),
    }.items():
        yield OddImage(f"JPEG with EXIF in its {name} only", start + segment + beside[2:], grey(np.asarray(plain)), tolerance=3)
    split = jpeg_segment(0xE1, exif(6)[:16]) + jpeg_segment(0xE1, b"Exif\0\0" + exif(6)[16:])
    yield OddImage(
        "JPEG with EXIF in two segments", start + split + beside[2:], grey(np.rot90(np.asarray(plain), -1)), tolerance=3
    )
    # T.81, annex H: with predictor 1 and no difference anywhere, all samples are half of the range. Code 0 is no difference.
    table = jpeg_segment(0xC4, b"\0\1" + bytes(15) + b"\0")
    frame, scan = jpeg_segment(0xC3, b"\x08\0\x08\0\x08\1\1\x11\0"), jpeg_segment(0xDA, b"\1\1\0\1\0\0")
    yield OddImage("lossless JPEG", start + frame + table + scan + bytes(8) + b"\xff\xd9", grey(np.full((8, 8), 128)))


def _interlaced(pixels: Pixels) -> bytes:
    """A PNG in seven passes (Adam7)."""
    height, width = pixels.shape[:2]
    rows = b""
    for left, top, across, down in (
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ):
        part = pixels[top::down, left::across]
        if part.size:
            rows += b"".join(b"\0" + row.tobytes() for row in part)
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 1))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
