"""Decoding, facts about an image, and resizing. Broken files are in `test_bad_images.py`."""

import hashlib
import io
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet.images.decoding import decode, inspect, load, load_and_shrink, load_whole, load_whole_and_shrink, resize_and_crop
from resnet.images.outcomes import BadFile, Reason
from tests.hostile.encoders import encode, exif, jpeg_header, noise, png, tiff
from tests.imports import ROOT

LIMIT = 10_000


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "1", "RGBA", "LA"])
def test_every_image_becomes_rgb(mode: str) -> None:
    image = decode(encode(Image.new(mode, (5, 4)), "PNG"))
    assert (image.mode, image.size) == ("RGB", (5, 4))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_pixels_survive(kind: str) -> None:
    image = noise(5, 4)
    np.testing.assert_array_equal(np.asarray(decode(encode(image, kind))), np.asarray(image))


def test_facts_of_an_image() -> None:
    encoded = encode(noise(5, 4), "PNG")
    facts, image = inspect(encoded, LIMIT, Image.Image.copy)
    assert (facts.width, facts.height, facts.format, facts.flags) == (5, 4, "PNG", ())
    assert facts.sha256 == hashlib.sha256(encoded).hexdigest()
    assert image.tobytes() == decode(encoded).tobytes()


def test_the_pixel_hash_does_not_depend_on_the_format() -> None:
    image = noise(40, 30)
    hashes = {inspect(encode(image, kind), LIMIT, Image.Image.copy)[0].pixel_hash for kind in ("PNG", "BMP", "TIFF")}
    assert hashes == {hashlib.sha256(b"40 x 30 " + image.tobytes()).hexdigest()}
    assert inspect(encode(noise(40, 30, seed=1), "PNG"), LIMIT, Image.Image.copy)[0].pixel_hash not in hashes


def test_the_pixel_hash_of_a_large_image_is_one_hash() -> None:
    image = noise(2_000, 1_000)  # hashed in strips
    expected = hashlib.sha256(b"2000 x 1000 " + image.tobytes()).hexdigest()
    assert inspect(encode(image, "BMP"), 2_000_000, Image.Image.copy)[0].pixel_hash == expected


def test_the_pixel_hash_depends_on_the_shape() -> None:
    shapes = [(4, 6), (6, 4), (3, 8)]
    assert (
        len({inspect(encode(Image.new("RGB", shape), "PNG"), LIMIT, Image.Image.copy)[0].pixel_hash for shape in shapes}) == 3
    )


def test_a_large_image_with_alpha_is_composited_to_its_last_row() -> None:
    image = Image.new("RGBA", (2_000, 1_201), (10, 20, 30, 0))  # converted in strips
    image.paste((10, 20, 30, 255), (0, 1_200, 2_000, 1_201))
    pixels = np.asarray(decode(encode(image, "PNG", compress_level=1)))
    assert (pixels[:1_200] == 255).all()
    assert (pixels[1_200] == (10, 20, 30)).all()


def test_flags_say_what_decoding_changed() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    expected = {
        (): encode(noise(), "JPEG"),
        ("16-bit",): png(2, 1, 16, 0, bytes(5)),
        ("16-bit", "alpha"): png(1, 1, 16, 4, bytes(5)),
        ("alpha",): encode(Image.new("RGBA", (4, 4)), "PNG"),
        ("animated",): encode(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        ("cmyk",): encode(Image.new("CMYK", (4, 4)), "JPEG"),
        ("oriented",): encode(noise(), "JPEG", exif=exif(6)),
        ("cmyk", "oriented"): encode(Image.new("CMYK", (4, 4)), "JPEG", exif=exif(3)),
    }
    assert {inspect(encoded, LIMIT, Image.Image.copy)[0].flags: encoded for encoded in expected.values()} == expected


def test_width_and_height_are_those_of_the_upright_image() -> None:
    facts, image = inspect(encode(noise(50, 40), "JPEG", exif=exif(8)), LIMIT, Image.Image.copy)
    assert (facts.width, facts.height) == image.size == (40, 50)


def test_an_image_of_exactly_the_limit_is_accepted() -> None:
    encoded = encode(noise(100, 100), "PNG")
    assert decode(encoded, 10_000).size == (100, 100)
    with pytest.raises(BadFile, match="100 x 100 pixels; the limit is 9,999 in all") as caught:
        decode(encoded, 9_999)
    assert caught.value.reason == Reason.TOO_LARGE


def test_the_limit_also_bounds_memory() -> None:
    # Four pixels take 100 MB, because a tile is decoded as a whole.
    entries = {256: (3, [2]), 257: (3, [2]), 258: (3, [8]), 259: (3, [5]), 262: (3, [1])}
    tile = {322: (3, [5_000]), 323: (3, [5_000]), 324: (4, [8]), 325: (4, [8])}
    with pytest.raises(BadFile, match="takes 100 MB to decode") as caught:
        decode(tiff(entries | tile), LIMIT)
    assert caught.value.reason == Reason.TOO_LARGE


def test_a_progressive_jpeg_counts_its_coefficients() -> None:
    # Both lack tables, so neither decodes. With 4:4:4 each pixel takes 4 bytes, and 3 coefficients of 2 bytes if progressive.
    for marker, reason in ((0xC0, Reason.UNDECODABLE), (0xC2, Reason.TOO_LARGE)):
        with pytest.raises(BadFile) as caught:
            decode(jpeg_header(100, 100, marker, data=bytes(200)), LIMIT)
        assert caught.value.reason == reason


def test_a_large_file_may_take_more_memory_than_a_bomb() -> None:
    pixels = Image.fromarray(np.random.default_rng(0).integers(0, 256, (100, 100, 4), dtype=np.uint8))
    assert decode(encode(pixels, "PNG"), LIMIT).size == (100, 100)
    with pytest.raises(BadFile, match="of a kind that takes"):
        decode(encode(Image.new("RGBA", (100, 100)), "PNG"), LIMIT)


@pytest.mark.parametrize("size", [(64, 64), (100, 64), (64, 100), (33, 500), (8, 8), (7, 9), (1, 3), (900, 700)])
def test_any_image_becomes_a_square_of_the_size(size: tuple[int, int]) -> None:
    assert resize_and_crop(Image.new("RGB", size), 32).shape == (32, 32, 3)


def test_the_middle_and_the_aspect_are_kept() -> None:
    pixels = np.zeros((40, 120, 3), dtype=np.uint8)
    pixels[:, 40:80] = 255  # a white square in the middle of a black strip
    np.testing.assert_array_equal(resize_and_crop(Image.fromarray(pixels), 40), 255)


def test_an_image_of_the_target_size_is_unchanged() -> None:
    image = noise(32, 32)
    np.testing.assert_array_equal(resize_and_crop(image, 32), np.asarray(image))


@pytest.mark.parametrize("size", [256, 2_048])
def test_resizing_is_antialiased(size: int) -> None:
    stripes = np.zeros((size, size, 3), dtype=np.uint8)
    stripes[:, ::2] = 255  # finer than the result can show; without antialiasing it would be all black or all white
    assert np.abs(resize_and_crop(Image.fromarray(stripes), 32).astype(int) - 128).max() < 20


def test_a_gradient_keeps_its_place() -> None:
    across = np.linspace(0, 255, 1_000)
    pixels = np.repeat(np.tile(np.round(across), (700, 1))[..., None], 3, axis=-1).astype(np.uint8)
    centres = 150 + (np.arange(70) + 0.5) * 10 - 0.5  # of the middle 700 columns
    expected = np.interp(centres, np.arange(1_000), across)
    assert np.abs(resize_and_crop(Image.fromarray(pixels), 70)[35, 2:-2, 0] - expected[2:-2]).max() < 1.5


def photograph(width: int, height: int, **options: object) -> bytes:
    """A smooth picture with edges, as JPEG."""
    pixels = np.random.default_rng(1).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return encode(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC), "JPEG", quality=95, **options)


@pytest.mark.parametrize(
    ("width", "height", "size"), [(640, 480, 224), (640, 480, 32), (300, 500, 128), (100, 90, 64), (40, 33, 32)]
)
def test_loading_gives_nearly_what_full_decoding_and_resizing_give(width: int, height: int, size: int) -> None:
    encoded = photograph(width, height)
    loaded = load(encoded, size)
    assert loaded.shape == (size, size, 3)
    difference = loaded.astype(float) - resize_and_crop(decode(encoded), size)
    assert np.abs(difference).mean() < 1.0  # of 255; a shift by a quarter of a pixel would give 2 or more


def test_loading_is_antialiased_and_upright() -> None:
    stripes = np.zeros((512, 512), dtype=np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(load(encode(Image.fromarray(stripes), "JPEG", quality=100), 32).astype(int) - 128).max() < 20
    turned = Image.new("L", (400, 200))
    turned.paste(255, (0, 0, 400, 100))
    exif = Image.Exif()
    exif[0x0112] = 6  # the top of the stored image is the right of the upright one
    loaded = load(encode(turned, "JPEG", exif=exif), 32)
    assert loaded[:, :12].max() < 10
    assert loaded[:, -12:].min() > 245


@pytest.mark.parametrize(("kind", "size"), [("JPEG", (640, 480)), ("JPEG", (70, 90)), ("PNG", (640, 480)), ("PNG", (50, 40))])
def test_loading_and_shrinking_gives_both_results(kind: str, size: tuple[int, int]) -> None:
    encoded = encode(Image.open(io.BytesIO(photograph(*size))), kind)
    for wanted in (32, 224):
        pixels, small = load_and_shrink(encoded, wanted, 96)
        np.testing.assert_array_equal(pixels, load(encoded, wanted))
        expected = decode(encoded)
        expected.thumbnail((96, 96))
        assert small.size == expected.size
        assert np.abs(np.asarray(small).astype(float) - np.asarray(expected)).mean() < 2.0


@pytest.mark.parametrize(("width", "height"), [(640, 480), (90, 70), (300, 500)])
def test_a_whole_image_is_squeezed_and_its_aspect_kept(width: int, height: int) -> None:
    encoded = photograph(width, height)
    pixels, aspect = load_whole(encoded, 64)
    assert aspect == pytest.approx(width / height, rel=0.01)
    wanted = decode(encoded).resize((64, 64), Image.Resampling.BICUBIC)
    assert np.abs(pixels.astype(float) - np.asarray(wanted)).mean() < 1.0
    (again, same), small = load_whole_and_shrink(encoded, 64, 96)
    np.testing.assert_array_equal(again, pixels)
    assert same == aspect
    assert max(small.size) == min(96, max(width, height))


def test_only_one_thread_at_a_time_holds_a_large_image(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = encode(Image.new("RGB", (4_200, 4_200)), "PNG", compress_level=1)  # 71 MB
    holding: list[int] = []
    most: list[int] = []

    def resize(image: Image.Image, size: int) -> np.ndarray:
        holding.append(size)
        most.append(len(holding))
        time.sleep(0.05)
        holding.pop()
        return resize_and_crop(image, size)

    monkeypatch.setattr("resnet.images.decoding.resize_and_crop", resize)
    ways = [lambda: load(encoded, 32), lambda: load_and_shrink(encoded, 32, 96)]
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(way) for way in ways * 2]:
            done.result()
    assert most == [1] * 4


MEASURE = """
import pathlib, re, sys
from concurrent.futures import ThreadPoolExecutor
from resnet.images.decoding import load
encoded = pathlib.Path(sys.argv[1]).read_bytes()
with ThreadPoolExecutor(4) as pool:
    list(pool.map(lambda _: load(encoded, 32), range(8)))
print(int(re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1]) // 1024)
"""  # megabytes


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.slow
def test_threads_do_not_keep_the_memory_of_large_images(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(encode(Image.new("RGB", (5_000, 5_000)), "PNG", compress_level=1))  # 100 MB; 400 MB if four arenas kept it
    done = subprocess.run([sys.executable, "-c", MEASURE, str(path)], cwd=ROOT, check=True, capture_output=True, text=True)
    assert int(done.stdout) < 230
