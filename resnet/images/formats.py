"""Identifies the format of an image file by its first bytes. Six formats are decoded, others are only named.

The name of the file is ignored.
"""

import re

from resnet.images.outcomes import BadFile, Reason

# First bytes of a file: the format, as Pillow calls it.
SUPPORTED = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",  # BigTIFF
    b"MM\0+": "TIFF",
}
OTHER_IMAGES = {
    b"8BPS": "Photoshop",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"\xff\x0a": "JPEG XL",
    b"II\xbc": "JPEG XR",
    b"IIRO": "Olympus raw",
    b"IIU\0": "Panasonic raw",
    b"FUJIFILM": "Fujifilm raw",
    b"DDS ": "DDS",
    b"v/1\1": "OpenEXR",
    b"#?RADIANCE": "Radiance HDR",
    b"#?RGBE": "Radiance HDR",
    b"SIMPLE  =": "FITS",
    b"gimp xcf": "GIMP",
    b"icns": "ICNS",
    b"qoif": "QOI",
    b"FLIF": "FLIF",
    b"BPG\xfb": "BPG",
    b"AT&TFORM": "DjVu",
    b"\x8aMNG": "MNG",
    b"\x8bJNG": "JNG",
    b"%!PS": "PostScript",
    b"\xd7\xcd\xc6\x9a": "WMF",
    b"/* XPM": "XPM",
    b"\x59\xa6\x6a\x95": "Sun raster",
    b"\1\xda\0\1": "SGI",
    b"\1\xda\1\1": "SGI",
    b"farbfeld": "Farbfeld",
    b"KTX ": "KTX",
    b"\xabKTX ": "KTX",
    b"SDPX": "DPX",
    b"XPDS": "DPX",
    b"\x80\x2a\x5f\xd7": "Cineon",
    b"\xd7\x5f\x2a\x80": "Cineon",
}
INSIDE = ((40, b" EMF", "EMF"), (128, b"DICM", "DICOM"))
# First bytes of a PNG after a wrong transfer. PNG's signature was chosen to reveal it (PNG, third edition, 5.2).
DAMAGED_BY_TRANSFER = {
    b"\x89PNG\r\r\n": "line ends were changed",
    b"\x89PNG\n": "line ends were changed",
    b"\x09PNG\r\n": "bytes were cut to 7 bits",
    b"\xef\xbf\xbdPNG": "it was read as UTF-8",
}
NOT_IMAGES = {
    b"%PDF": "a PDF document",
    b"PK\3\4": "a ZIP archive or an office document",
    b"PK\5\6": "an empty ZIP archive",
    b"\x1f\x8b": "gzip data",
    b"\xfd7zXZ": "xz data",
    b"BZh": "bzip2 data",
    b"\x28\xb5\x2f\xfd": "Zstandard data",
    b"7z\xbc\xaf": "a 7-Zip archive",
    b"Rar!": "a RAR archive",
    b"\x7fELF": "a program",
    b"MZ": "a program",
    b"\xd0\xcf\x11\xe0": "an OLE document, such as Thumbs.db",
    b"SQLite format 3": "an SQLite database",
    b"\x93NUMPY": "a NumPy array",
    b"\x89HDF": "an HDF5 file",
    b"PAR1": "a Parquet file",
    b"OggS": "Ogg audio or video",
    b"ID3": "MP3 audio",
    b"fLaC": "FLAC audio",
    b"\x1aE\xdf\xa3": "Matroska video",
    b"\0\0\1\xba": "MPEG video",
    b"version https://git-lfs": "a Git LFS pointer: run `git lfs pull`",
    b"Bud1": "a .DS_Store",
    b"\0\0\0\1Bud1": "a .DS_Store",
    b"\0\5\x16\7": "an AppleDouble file, which macOS adds to archives",
}
# Brands of the ISO base media format that hold still images (HEIF, ISO/IEC 23008-12, and AVIF).
HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"mif2", b"msf1"}
AVIF_BRANDS = {b"avif", b"avis"}
BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)  # bytes, of the versions that Pillow reads


def identify(encoded: bytes) -> str:
    """The format of an image, as Pillow calls it: JPEG, PNG, GIF, WEBP, BMP or TIFF.

    Raises:
        BadFile: empty, truncated (less than a signature), unsupported_format, undecodable or not_an_image.
    """
    if encoded.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if not encoded:
        raise BadFile(Reason.EMPTY, "no bytes")
    if encoded[:4] == b"RIFF":
        return _identify_riff(encoded)
    if _starts_as_bmp(encoded):
        return "BMP"
    if camera := _raw_photograph(encoded):
        raise BadFile(Reason.UNSUPPORTED_FORMAT, _convert(camera))
    if supported := _longest(SUPPORTED, encoded):
        return supported
    if other := _longest(OTHER_IMAGES, encoded) or _other_image(encoded):
        raise BadFile(Reason.UNSUPPORTED_FORMAT, _convert(other))
    if damage := _longest(DAMAGED_BY_TRANSFER, encoded):
        raise BadFile(Reason.UNDECODABLE, f"a PNG file damaged by a transfer in text mode: {damage}")
    if len(encoded) > 1 and any(magic.startswith(encoded) for magic in SUPPORTED):
        raise BadFile(Reason.TRUNCATED, f"only the first {len(encoded)} bytes of a header")
    raise BadFile(Reason.NOT_AN_IMAGE, f"the content is {_seems(encoded)}")


def _convert(name: str) -> str:
    return f"{name}; convert it to JPEG or PNG"


def _longest(table: dict[bytes, str], encoded: bytes) -> str | None:
    return next((name for magic, name in table.items() if encoded.startswith(magic)), None)


def _identify_riff(encoded: bytes) -> str:
    if encoded[8:12] == b"WEBP":
        return "WEBP"
    if len(encoded) < 12 and b"WEBP".startswith(encoded[8:]):
        raise BadFile(Reason.TRUNCATED, f"only the first {len(encoded)} bytes of a header")
    names = {b"AVI ": "AVI video", b"WAVE": "WAV audio", b"ACON": "an animated cursor"}
    raise BadFile(Reason.NOT_AN_IMAGE, f"the content is {names.get(encoded[8:12], 'RIFF data')}")


def _starts_as_bmp(encoded: bytes) -> bool:
    """Two letters are a weak signature, so the length of the header must be a known one, or cut off and not text."""
    if not encoded.startswith(b"BM"):
        return False
    if len(encoded) < 18:
        return len(encoded) < 4 or b"\0" in encoded
    return int.from_bytes(encoded[14:18], "little") in BMP_HEADERS


def _raw_photograph(encoded: bytes) -> str | None:
    """Canon's raw files begin like TIFF."""
    return "Canon raw" if encoded[:4] == b"II*\0" and encoded[8:10] == b"CR" else None


def _other_image(encoded: bytes) -> str | None:
    """Formats that are identified by more than their first bytes."""
    if encoded[4:8] == b"ftyp":
        brands = {encoded[start : start + 4] for start in range(8, min(int.from_bytes(encoded[:4], "big"), 64), 4)}
        return "AVIF" if brands & AVIF_BRANDS else "HEIC" if brands & HEIF_BRANDS else None
    if encoded[:4] == b"FORM" and encoded[8:12] in (b"ILBM", b"PBM "):
        return "ILBM"
    if encoded[:1] == b"P" and encoded[1:2] in b"1234567fF" and encoded[2:3] in (b" ", b"\n", b"\r", b"\t"):
        return "PNM"
    if encoded[:1] == b"\n" and encoded[1:2] in (b"\0", b"\2", b"\3", b"\4", b"\5") and encoded[2:3] == b"\1":
        return "PCX"
    if encoded.endswith(b"TRUEVISION-XFILE.\0"):  # older files lack this footer and cannot be identified
        return "TGA"
    inside = (name for place, magic, name in INSIDE if encoded.startswith(magic, place))
    return next(inside, None) or _icon(encoded) or _image_as_text(encoded[:4096].lstrip(b"\xef\xbb\xbf \t\r\n"))


def _icon(encoded: bytes) -> str | None:
    """The four bytes are not specific, so the first entry of the directory must be valid too."""
    kind = {b"\0\0\1\0": "ICO", b"\0\0\2\0": "CUR"}.get(encoded[:4])
    if kind is None or len(encoded) < 22:
        return None
    count, offset = int.from_bytes(encoded[4:6], "little"), int.from_bytes(encoded[18:22], "little")
    return kind if count and encoded[9] == 0 and offset >= 6 + 16 * count else None


def _image_as_text(start: bytes) -> str | None:
    if start.startswith(b"<") and b"<svg" in start:
        return "SVG"
    return "XBM" if re.match(rb"#define\s+\S*_width\s+\d", start) else None


def _seems(encoded: bytes) -> str:
    if known := _longest(NOT_IMAGES, encoded):
        return known
    if encoded[4:8] == b"ftyp":
        return "MP4 or QuickTime video"
    if not encoded.strip(b"\0"):
        return "zero bytes only"
    start = encoded[:1024]
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "a web page"
    if text.startswith(b"<"):
        return "XML"
    return "of an unknown kind" if set(start) & set(b"\0\1\2\3\4\5\6\x0e\x0f\x7f") or not _is_utf8(start) else "text"


def _is_utf8(start: bytes) -> bool:
    """Whether the sample is UTF-8; a character may be cut at its end."""
    try:
        start.decode("utf-8")
    except UnicodeDecodeError as error:
        return len(start) == 1024 and error.start > 1020
    return True
