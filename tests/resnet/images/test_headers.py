"""What is known of an image before it is decoded, against what the file was made with."""

import zlib
from typing import Any

import pytest
from PIL import Image

from resnet.images.headers import png_has_all_rows, read_header
from resnet.images.outcomes import BadFile, Reason
from tests.hostile.encoders import (
    bmp,
    encode,
    exif,
    gif,
    jpeg_header,
    jpeg_segment,
    noise,
    plain_tiff,
    png,
    png_chunk,
    resized_jpeg,
    webp_canvas,
)

KINDS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF")
COLOURS = bytes([200, 0, 0, 0, 0, 200])


@pytest.mark.parametrize("kind", KINDS)
def test_the_size_is_that_of_the_image(kind: str) -> None:
    header = read_header(encode(noise(48, 40), kind), kind)
    assert (header.width, header.height, header.kind) == (48, 40, kind)
    assert (header.animated, header.orientation, header.depth, header.scarce) == (False, 1, 8, False)


@pytest.mark.parametrize("kind", KINDS)
def test_opening_decodes_nothing_and_gives_the_same_size(kind: str) -> None:
    with read_header(encode(noise(48, 40), kind), kind).open() as image:
        assert image.size == (48, 40)
        assert image.tile or kind == "WEBP"  # what is left to decode


@pytest.mark.parametrize("kind", ["GIF", "PNG", "TIFF"])
def test_several_frames_are_an_animation(kind: str) -> None:
    frames = [noise(seed=number) for number in range(3)]
    assert read_header(encode(frames[0], kind, save_all=True, append_images=frames[1:]), kind).animated


@pytest.mark.parametrize(
    ("kind", "encoded"),
    [
        ("JPEG", encode(noise(), "JPEG", exif=exif(6))),
        ("PNG", png(1, 1, 8, 0, b"\0\0", png_chunk(b"eXIf", exif(6)[6:]))),
        ("TIFF", plain_tiff((1, 1), [8], 1, b"\0", more={274: (3, [6])})),
    ],
)
def test_the_orientation_is_that_of_the_exif_data(kind: str, encoded: bytes) -> None:
    assert read_header(encoded, kind).orientation == 6


def test_the_depth_is_that_of_a_sample() -> None:
    assert read_header(png(1, 1, 16, 0, bytes(3)), "PNG").depth == 16
    assert read_header(plain_tiff((1, 1), [16], 1, bytes(2)), "TIFF").depth == 16


def test_a_frame_that_does_not_fill_its_screen_has_its_place() -> None:
    assert read_header(gif((6, 4), [(2, 1, 3, 2)], COLOURS), "GIF").frame == (2, 1, 5, 3)
    header = read_header(gif((2, 2), [(0, 0, 6, 4)], COLOURS), "GIF")
    assert (header.width, header.height, header.frame) == (6, 4, None)


def test_the_metadata_of_a_png_do_not_reach_pillow() -> None:
    text = png_chunk(b"zTXt", b"name\0\0" + zlib.compress(bytes(9_000_000)))
    assert read_header(png(1, 1, 8, 0, b"\0\0", text), "PNG").essential == png(1, 1, 8, 0, b"\0\0")


def test_only_segments_that_libjpeg_reads_reach_pillow() -> None:
    encoded = encode(noise(), "JPEG")
    metadata = jpeg_segment(0xE1, exif(6)) + jpeg_segment(0xED, b"Photoshop 3.0\0") + jpeg_segment(0xEE, b"Adobe")
    adobe = jpeg_segment(0xEE, b"Adobe\0d\0\0\0\0\1")  # it says that the colours are YCbCr
    header = read_header(encoded[:2] + metadata + adobe + encoded[2:], "JPEG")
    assert header.essential == encoded[:2] + adobe + encoded[2:]
    assert read_header(encoded, "JPEG").essential is encoded


def test_only_the_first_frame_of_a_gif_and_its_transparency_reach_pillow() -> None:
    whole = gif((2, 2), [(0, 0, 2, 2)], COLOURS)
    at = whole.index(b",")
    control = b"!\xf9\4\x0d\5\0\1\0"  # to be restored to what was before, for 50 ms, colour 1 is transparent
    header = read_header(whole[:at] + b"!\xfe\2hi\0" + control + whole[at:], "GIF")
    assert header.essential == whole[:at] + b"!\xf9\4\1\5\0\1\0" + whole[at:]


def test_the_orientation_and_animation_of_a_webp_are_known_when_it_is_open() -> None:
    encoded = encode(noise(), "WEBP", exif=exif(6), save_all=True, append_images=[noise(seed=1)])
    header = read_header(encoded, "WEBP")
    with header.open() as image:
        completed = header.completed(image)
    assert (completed.orientation, completed.animated) == (6, True)


def test_a_jpeg_of_several_pictures_is_one_image() -> None:
    encoded = encode(noise(), "MPO", save_all=True, append_images=[noise(seed=1)])
    header = read_header(encoded, "JPEG")
    assert not header.animated
    with header.open() as image:
        assert image.format == "JPEG"


def test_a_jpeg_with_fewer_data_than_blocks_is_scarce() -> None:
    encoded = encode(noise(48, 40), "JPEG")
    assert read_header(resized_jpeg(encoded, 1_500, 1_500), "JPEG").scarce


@pytest.mark.parametrize(
    ("options", "memory"),
    [
        ({"subsampling": 0}, 4 + 2 * 3),  # 4 bytes of RGB; 3 coefficients of 2 bytes for each pixel
        ({"subsampling": 2}, 4 + 2 * 1.5),
    ],
)
def test_a_progressive_jpeg_keeps_its_coefficients(options: dict[str, Any], memory: float) -> None:
    encoded = encode(noise(), "JPEG", progressive=True, **options)
    header = read_header(encoded, "JPEG")
    assert header.memory == memory
    assert header.passes == encoded.count(b"\xff\xda") > 1
    assert read_header(encode(noise(), "JPEG", **options), "JPEG").memory == 4


@pytest.mark.parametrize(("mode", "memory"), [("1", 5), ("L", 5), ("P", 5), ("RGB", 4), ("I;16", 8), ("RGBA", 8), ("LA", 8)])
def test_the_memory_of_a_png_depends_on_its_mode(mode: str, memory: int) -> None:
    assert read_header(encode(Image.new(mode, (4, 4)), "PNG"), "PNG").memory == memory


def test_run_lengths_cost_time() -> None:
    assert read_header(bmp(4, 2, 8, 1, b"\0\1"), "BMP").passes > read_header(bmp(4, 2, 8, 0, bytes(8)), "BMP").passes


def test_the_size_of_a_webp_is_read_before_its_canvas_is_allocated() -> None:
    header = read_header(webp_canvas(16_000, 16_000), "WEBP")
    assert (header.width, header.height) == (16_000, 16_000)


@pytest.mark.parametrize(("marker", "depth"), [(0xC5, 8), (0xC7, 8), (0xCB, 8)])
def test_a_jpeg_of_a_rare_coding_is_not_supported(marker: int, depth: int) -> None:
    with pytest.raises(BadFile) as caught:
        read_header(jpeg_header(8, 8, marker, depth), "JPEG")
    assert caught.value.reason == Reason.UNSUPPORTED_FORMAT


def test_the_rows_of_a_png_are_counted_by_what_its_data_unpack_to() -> None:
    row = b"\0" + bytes(27)
    assert png_has_all_rows(png(9, 3, 8, 2, row * 3))
    assert not png_has_all_rows(png(9, 3, 8, 2, row * 2))
    assert png_has_all_rows(encode(Image.new("1", (9, 9)), "PNG"))
