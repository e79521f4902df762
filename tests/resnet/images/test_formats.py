"""Formats by their first bytes. The signatures are those of the formats' specifications."""

import pytest

from resnet.images.formats import identify
from resnet.images.outcomes import BadFile, Reason


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"\xff\xd8\xff\xe0", "JPEG"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"GIF87a", "GIF"),
        (b"GIF89a", "GIF"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "WEBP"),
        (b"BM" + bytes(12) + b"\x28\0\0\0", "BMP"),
        (b"II*\0\x08\0\0\0", "TIFF"),
        (b"MM\0*\0\0\0\x08", "TIFF"),
        (b"II+\0\x08\0\0\0", "TIFF"),
    ],
)
def test_a_supported_format_is_recognised(start: bytes, kind: str) -> None:
    assert identify(start + bytes(100)) == kind


@pytest.mark.parametrize(
    ("content", "reason", "words"),
    [
        (b"", Reason.EMPTY, "no bytes"),
        (b"\x89PN", Reason.TRUNCATED, "first 3 bytes of a header"),
        (b"RIFF\x10\0\0\0WE", Reason.TRUNCATED, "first 10 bytes of a header"),
        (b"8BPS\0\1", Reason.UNSUPPORTED_FORMAT, "Photoshop; convert it to JPEG or PNG"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", Reason.UNSUPPORTED_FORMAT, "HEIC; convert it"),
        (b"II*\0\x10\0\0\0CR\2\0", Reason.UNSUPPORTED_FORMAT, "Canon raw"),
        (b"P6\n4 4\n255\n", Reason.UNSUPPORTED_FORMAT, "PNM"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", Reason.UNSUPPORTED_FORMAT, "SVG"),
        (b"\x89PNG\r\r\n\x1a\r\n", Reason.UNDECODABLE, "line ends were changed"),
        (b"%PDF-1.7", Reason.NOT_AN_IMAGE, "a PDF document"),
        (b"PK\3\4\x14\0", Reason.NOT_AN_IMAGE, "a ZIP archive"),
        (b"<!DOCTYPE html><p>404", Reason.NOT_AN_IMAGE, "a web page"),
        (bytes(50), Reason.NOT_AN_IMAGE, "zero bytes only"),
        (b"BMW is a maker of cars.", Reason.NOT_AN_IMAGE, "text"),
        (b"\7\0\xff", Reason.NOT_AN_IMAGE, "of an unknown kind"),
    ],
)
def test_anything_else_is_refused_with_what_it_is(content: bytes, reason: Reason, words: str) -> None:
    with pytest.raises(BadFile) as caught:
        identify(content)
    assert caught.value.reason == reason
    assert words in caught.value.detail


def test_a_character_that_is_cut_at_the_end_of_the_sample_is_still_text() -> None:
    with pytest.raises(BadFile, match="the content is text"):
        identify(b"a" + "é".encode() * 600)
