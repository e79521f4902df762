"""Decodes the bytes of an image file. `ingest`, `preprocess` and prediction share this code.

The whole image is always decoded, because most broken files have a valid header. The result is RGB, 8 bits, upright; colour
profiles are not applied. All functions are thread-safe.
"""

import ctypes
import functools
import hashlib
import struct
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, TiffImagePlugin, _imaging

from resnet.images.formats import identify
from resnet.images.headers import Header, png_has_all_rows, read_header
from resnet.images.outcomes import BadFile, Reason

BACKGROUND = (255, 255, 255)  # under transparent pixels: white, as in browsers
MAX_PIXELS = 65_000_000  # the default; images of a 61-megapixel camera pass
MAX_SIDE = 65_535  # as in JPEG and GIF; Pillow spends tens of bytes on each row, and its resizing on each column too
# Memory that decoding may take: enough for most kinds of images at the limit of pixels. A large file is not a bomb and may
# take more: a portrait of 61 megapixels, which has to be rotated, passes.
MEMORY_PER_PIXEL = 6
MEMORY_PER_BYTE = 16
LARGE_BYTES = 64 << 20  # larger images are decoded one at a time
MOST_PIXEL_PASSES = 2_000_000_000  # a scan of a progressive JPEG takes up to 1 ns for each pixel
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of mallopt(3)
KEPT_BYTES = 16 << 20  # free memory that each thread's arena may keep
RETURNED_BYTES = 8 << 20  # blocks of this size are returned at once; Pillow allocates 16 MiB
STRIP_PIXELS = 1 << 20  # converted or hashed at a time, to keep memory low
TOLD = (OSError, SyntaxError, ValueError, EOFError)  # their texts describe the file; those of other errors describe Pillow
CUT = ("truncat", "not large enough", "unexpected end", "end of file")
UNSUPPORTED = ("unsupported", "unknown pixel mode", "unknown data organization", "cannot handle")
UNSUPPORTED_PIXELS = {"I": "32-bit or signed integers", "F": "floating-point numbers", "LAB": "L*a*b* colours"}

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

T = TypeVar("T")
_ONE_AT_A_TIME = threading.Lock()

# The caller sets the limit on pixels; Pillow's own limit is fixed and warns.
Image.MAX_IMAGE_PIXELS = None


@dataclass(frozen=True)
class ImageFacts:
    """Facts about an image that decodes.

    Attributes:
        width: upright, in pixels.
        height: upright, in pixels.
        format: JPEG, PNG, GIF, WEBP, BMP or TIFF.
        sha256: of the encoded bytes, hexadecimal.
        pixel_hash: SHA-256 of the size and the RGB pixels, hexadecimal; independent of the file format.
        flags: what decoding changed, sorted: 16-bit, alpha, animated (only the first frame is used), cmyk, oriented.
    """

    width: int
    height: int
    format: str
    sha256: str
    pixel_hash: str
    flags: tuple[str, ...]


def decode(encoded: bytes, max_pixels: int | None = None) -> Image.Image:
    """Decodes a whole image: RGB, upright, transparency on `BACKGROUND`, 16 bits scaled to 8, the first frame.

    Args:
        encoded: the bytes of an image file.
        max_pixels: a larger image is refused before decoding; None disables the limit.

    Raises:
        BadFile: empty, truncated, not_an_image, unsupported_format, too_large or undecodable.
    """
    header = _read(encoded, max_pixels)
    with _turn(header):
        return _pixels(header)[0]


def load(encoded: bytes, size: int, max_pixels: int | None = None) -> npt.NDArray[np.uint8]:
    """Decodes an image for the network: (size, size, 3) uint8, the middle of the upright image, aspect kept.

    A JPEG that is at least twice as large is decoded at a half, a quarter or an eighth of its size, never below `size`. All
    data are still read by the same code, so broken files still fail. libjpeg-turbo (`scale_denom`) leaves out the highest
    frequencies, so the result is antialiased; it takes two thirds of the time.

    Args:
        encoded: the bytes of an image file.
        size: height and width, in pixels.
        max_pixels: as for `decode`.

    Raises:
        BadFile: as `decode`.
    """
    header = _read(encoded, max_pixels)
    with _turn(header):
        return resize_and_crop(_pixels(header, least=size)[0], size)


def load_whole(encoded: bytes, size: int) -> tuple[npt.NDArray[np.uint8], float]:
    """Decodes a whole image and squeezes it to a square: (size, size, 3) uint8, and width / height of the upright image.

    A JPEG may be decoded at a smaller scale, as in `load`; the quotient is then of the scaled image, whose sides are rounded.

    Raises:
        BadFile: as `decode`.
    """
    header = _read(encoded, None)
    with _turn(header):
        return _squeezed(_pixels(header, least=size)[0], size)


def load_and_shrink(encoded: bytes, size: int, side: int) -> tuple[npt.NDArray[np.uint8], Image.Image]:
    """Returns what `load` returns, and the whole image within `side` x `side` pixels, aspect kept.

    The file is decoded once, except for JPEGs whose scaled image is too small for `side`.

    Raises:
        BadFile: as `decode`.
    """
    return _with_small(encoded, size, side, lambda image: resize_and_crop(image, size))


def load_whole_and_shrink(encoded: bytes, size: int, side: int) -> tuple[tuple[npt.NDArray[np.uint8], float], Image.Image]:
    """Returns what `load_whole` returns, and the whole image as `load_and_shrink` does.

    Raises:
        BadFile: as `decode`.
    """
    return _with_small(encoded, size, side, lambda image: _squeezed(image, size))


def _with_small(encoded: bytes, size: int, side: int, view: Callable[[Image.Image], T]) -> tuple[T, Image.Image]:
    header = _read(encoded, None)
    with _turn(header):
        image = _pixels(header, least=size)[0]
        seen = view(image)
        if max(image.size) < min(side, max(header.width, header.height)):  # a JPEG that was decoded at too small a scale
            image = _pixels(header, least=side)[0]
        image.thumbnail((side, side))
        return seen, image


def _squeezed(image: Image.Image, size: int) -> tuple[npt.NDArray[np.uint8], float]:
    small = image.resize((size, size), Image.Resampling.BICUBIC, reducing_gap=3.0)  # as in `resize_and_crop`
    return np.asarray(small, dtype=np.uint8), image.width / image.height


def inspect(encoded: bytes, max_pixels: int, view: Callable[[Image.Image], T]) -> tuple[ImageFacts, T]:
    """Decodes as `decode` does; returns facts about the image and the result of `view`.

    Only one thread at a time holds a large image, until `view` returns.

    Raises:
        BadFile: as `decode`.
    """
    header = _read(encoded, max_pixels)
    with _turn(header):
        image, flags = _pixels(header)
        sha256 = hashlib.sha256(encoded).hexdigest()
        return ImageFacts(*image.size, header.kind, sha256, _pixel_hash(image), tuple(sorted(flags))), view(image)


def resize_and_crop(image: Image.Image, size: int) -> npt.NDArray[np.uint8]:
    """Resizes the short side to `size` with antialiasing, and keeps the middle: (size, size, 3) uint8, aspect kept.

    Only the middle is computed. An image more than six times as large is first averaged over blocks, to at least three times
    the size; that takes a fraction of the time.
    """
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    box = (left, top, left + side, top + side)
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC, box=box, reducing_gap=3.0), dtype=np.uint8)


def _turn(header: Header) -> AbstractContextManager[object]:
    if header.width * header.height * header.memory <= LARGE_BYTES:
        return nullcontext()
    _return_freed_memory()
    return _ONE_AT_A_TIME


@functools.cache
def _return_freed_memory() -> None:
    """Makes glibc return the memory of large images as soon as it is free; once in a process.

    By default glibc raises its thresholds after a large block and keeps such blocks in the arena of each thread. Decoding one
    at a time then does not help: ten PNGs of 8000 x 8000 pixels took 707 MB in two threads, and take 420 MB now. Lower
    thresholds save little more (397 MB at 1 MiB) and allocate the memory of small images again and again.
    """
    with suppress(OSError, AttributeError):  # not glibc
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_THRESHOLD, RETURNED_BYTES)
        library.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)


def _read(encoded: bytes, max_pixels: int | None) -> Header:
    kind = identify(encoded)
    with _failures_named(kind):
        header = read_header(encoded, kind)
        if max_pixels is not None:
            _check_size(header, max_pixels, len(encoded))
        if header.scarce:
            found = f"fewer data than {header.width} x {header.height} pixels take"
            raise BadFile(Reason.TRUNCATED, f"the {kind} file has {found}")
    return header


def _pixels(header: Header, least: int | None = None) -> tuple[Image.Image, list[str]]:
    """The image and its flags. A JPEG may be decoded at a smaller scale, if `least` says how many pixels a side needs."""
    with _failures_named(header.kind):
        image, orientation, flags = _load(header, least)
        turned = header.kind == "TIFF" or orientation == 1
        return (image if turned else image.transpose(_UPRIGHT[orientation])), flags


@contextmanager
def _failures_named(kind: str) -> Iterator[None]:
    """Turns every exception into `BadFile`, and Pillow's TIFF warnings off."""
    _QuietWarnings.here.reading = True
    try:
        yield
    except BadFile:
        raise
    except MemoryError as error:
        raise BadFile(Reason.TOO_LARGE, "its pixels do not fit into memory") from error
    except Exception as error:  # Pillow raises nearly every kind
        raise _failure(error, kind) from error
    finally:
        _QuietWarnings.here.reading = False


def _check_size(header: Header, max_pixels: int, file_size: int) -> None:
    """Raises `BadFile` for an image that would take too much memory or time."""
    pixels = header.width * header.height
    size = f"{header.width} x {header.height} pixels"
    if max(header.width, header.height) > MAX_SIDE:
        raise BadFile(Reason.TOO_LARGE, f"{size}; the limit is {MAX_SIDE:,} a side")
    if pixels > max_pixels:
        raise BadFile(Reason.TOO_LARGE, f"{size}; the limit is {max_pixels:,} in all")
    memory = pixels * header.memory
    allowed = max_pixels * MEMORY_PER_PIXEL + file_size * MEMORY_PER_BYTE
    if memory > allowed:
        found = f"{size} of a kind that takes {memory / 1e6:,.0f} MB to decode"
        raise BadFile(Reason.TOO_LARGE, f"{found}; the limit of {max_pixels:,} pixels allows {allowed / 1e6:,.0f} MB")
    if pixels * header.passes > MOST_PIXEL_PASSES:
        raise BadFile(Reason.TOO_LARGE, f"{size} in {header.passes:,} scans would take too long")


def _failure(error: Exception, kind: str) -> BadFile:
    """What an error of Pillow says about the file."""
    cause, text = error.__cause__, (str(error).splitlines() or [""])[0].rstrip(".")
    if isinstance(error, TOLD) and any(word in text.lower() for word in CUT):
        return BadFile(Reason.TRUNCATED, text)
    if isinstance(error, TOLD) and any(word in text.lower() for word in UNSUPPORTED):
        return BadFile(Reason.UNSUPPORTED_FORMAT, f"{kind}: {text}; convert it to JPEG or PNG")
    if isinstance(cause, (IndexError, struct.error)):
        return BadFile(Reason.TRUNCATED, f"the {kind} file ends within its header")
    if isinstance(cause, KeyError):  # such as the number of a compression
        return BadFile(Reason.UNSUPPORTED_FORMAT, f"{kind} of a kind that is not decoded; convert it to JPEG or PNG")
    if not text or cause or not isinstance(error, TOLD):
        return BadFile(Reason.UNDECODABLE, f"its {kind} data make no sense")
    return BadFile(Reason.UNDECODABLE, text)


def _load(header: Header, least: int | None) -> tuple[Image.Image, int, list[str]]:
    """The image as RGB, its orientation and its flags. Other memory that decoding took is free when this returns."""
    with header.open() as image:
        header = header.completed(image)
        if image.size != (header.width, header.height):
            raise BadFile(Reason.UNDECODABLE, "it declares two different sizes")
        if image.mode in UNSUPPORTED_PIXELS:
            found = UNSUPPORTED_PIXELS[image.mode]
            raise BadFile(Reason.UNSUPPORTED_FORMAT, f"pixels of {found}; convert them to 8 or 16 bits, grey or RGB")
        image.info.pop("xmp", None)  # only EXIF decides on the orientation, but Pillow turns a TIFF by XMP too
        if least is not None:
            image.draft(None, (least, least))  # has an effect on JPEG only
        _LIBTIFF.failed = ""
        image.load()
        if _LIBTIFF.failed:
            raise BadFile(Reason.UNDECODABLE, f"its TIFF data are damaged ({_LIBTIFF.failed})")
        if header.kind == "PNG":
            _check_rows(image, header.essential)
        marks = {
            "16-bit": header.depth == 16,
            "alpha": image.has_transparency_data,
            "animated": header.animated,
            "cmyk": image.mode == "CMYK",
            "oriented": header.orientation != 1,
        }
        flags = [flag for flag, holds in marks.items() if holds]
        if image.mode == "RGB" and header.frame is None and not marks["alpha"]:
            return image, header.orientation, flags
        return _converted(image, header), header.orientation, flags


def _check_rows(image: Image.Image, encoded: bytes) -> None:
    """Raises `BadFile` for a PNG whose data stream is valid but too short: Pillow leaves the rest zero in silence.

    The row that is written last is the last of the image, or the one before it in an interlaced file.
    """
    for row in range(max(0, image.height - 2), image.height):
        if not any(image.crop((0, row, image.width, row + 1)).tobytes()):
            if not png_has_all_rows(encoded):
                raise BadFile(Reason.TRUNCATED, "the PNG file has fewer rows than it declares")
            return


def _converted(image: Image.Image, header: Header) -> Image.Image:
    """The image as RGB. It is converted strip by strip, so that memory holds no third copy."""
    if "transparency" in image.info and image.mode in ("L", "RGB"):
        image.info["transparency"] = _to_8_bit_colour(image.info["transparency"], header.depth)
    canvas = Image.new("RGB", image.size, BACKGROUND)
    left, top, right, bottom = header.frame or (0, 0, *image.size)
    rows = max(1, STRIP_PIXELS // image.width)
    for start in range(top, bottom, rows):
        strip = image.crop((left, start, right, min(start + rows, bottom)))
        if strip.mode.startswith("I;16"):
            strip = _to_8_bits(strip, header.depth)
        if strip.has_transparency_data:
            strip = strip.convert("RGBA")
            canvas.paste(strip, (left, start), mask=strip)
        else:
            canvas.paste(strip.convert("RGB"), (left, start))
    return canvas


def _to_8_bit_colour(colour: int | tuple[int, ...], depth: int) -> int | tuple[int, ...]:
    """The transparent colour of a PNG in 8 bits, as Pillow has scaled the pixels; the file gives it in its own depth."""
    if isinstance(colour, tuple):
        return tuple(sample >> 8 for sample in colour) if depth == 16 else colour
    highest = (1 << depth) - 1
    return (colour & highest) * 255 // highest


def _to_8_bits(image: Image.Image, depth: int) -> Image.Image:
    """Grey of 16 bits (12 in some TIFF files) scaled to 8 and rounded: 65535 becomes 255, 257 becomes 1."""
    highest = (1 << depth) - 1
    samples = np.asarray(image).astype(np.uint32)
    grey = ((samples * 255 + highest // 2) // highest).astype(np.uint8)
    transparent = image.info.get("transparency")
    if transparent is None:
        return Image.fromarray(grey)
    return Image.fromarray(np.stack([grey, np.where(samples == transparent, 0, 255).astype(np.uint8)], axis=-1))


def _pixel_hash(image: Image.Image) -> str:
    digest = hashlib.sha256(b"%d x %d " % image.size)
    rows = max(1, STRIP_PIXELS // image.width)
    if image.height <= rows:
        digest.update(image.tobytes())
        return digest.hexdigest()
    for top in range(0, image.height, rows):
        digest.update(image.crop((0, top, image.width, min(top + rows, image.height))).tobytes())
    return digest.hexdigest()


class _QuietWarnings:
    """Replaces the module `warnings` in Pillow's TIFF reader, which warns of metadata that do not affect the pixels.

    `warnings.catch_warnings` is not thread-safe. Warnings about files that other code reads are passed on.
    """

    here = threading.local()

    def warn(self, message: str) -> None:
        if not getattr(self.here, "reading", False):
            warnings.warn(message, stacklevel=3)


_LIBTIFF = threading.local()  # `failed`: the function of libtiff that found damaged data, or nothing


@ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)
def _note_failure(function: bytes | None, _form: bytes | None, _values: int | None) -> None:
    """Handles libtiff's errors. Errors in metadata do not affect the pixels."""
    if function and any(word in function for word in (b"Decode", b"JPEGLib")):
        _LIBTIFF.failed = function.decode("ascii", "replace")


def _listen_to_libtiff() -> None:
    """Stops libtiff from writing to standard error about broken files, and notes its errors.

    Pillow reports most of them, but not those after which libtiff goes on, such as an unknown code in a fax: the rest of the
    row is then white or black ("fax TIFF with an unknown code").
    """
    with suppress(OSError, AttributeError):  # libtiff is linked in another way: it prints
        library = ctypes.CDLL(_imaging.__file__)
        library.TIFFSetErrorHandler(_note_failure)
        library.TIFFSetWarningHandler(None)


_listen_to_libtiff()
vars(TiffImagePlugin)["warnings"] = _QuietWarnings()
