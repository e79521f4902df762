"""Broken files are refused for the right reason, in little time and memory. Unusual ones decode to the expected pixels."""

import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet.images.decoding import MAX_PIXELS, MAX_SIDE, decode, inspect
from resnet.images.outcomes import BadFile, Reason
from tests.hostile.encoders import bmp, clearing_gif, gif, jpeg_header, plain_tiff, png, webp_canvas
from tests.hostile.images import LIMIT, bad_images, whole_images
from tests.hostile.odd_images import OddImage, odd_images
from tests.imports import ROOT
from tests.soak.mutated_images import soak

MEASURE = """
import pathlib, re, sys, time
from resnet.images.decoding import MAX_PIXELS, inspect
from resnet.images.perceptual_fingerprint import perceptual_fingerprint
from resnet.images.outcomes import BadFile
began = time.process_time()
try:
    inspect(pathlib.Path(sys.argv[1]).read_bytes(), MAX_PIXELS, perceptual_fingerprint)
except BadFile as error:
    print(error.reason)
print(time.process_time() - began)
print(int(re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1]) // 1024)
"""  # CPU seconds, since the machine may be busy; megabytes: ru_maxrss would be inherited from the parent process

SIDE = int(MAX_PIXELS**0.5)
# Small files that declare as much as is allowed, or more than is allowed for their kind.
BOMBS: dict[str, Callable[[], bytes]] = {
    "wide": lambda: png(SIDE, SIDE, 8, 2, bytes(1 + 3 * SIDE) * SIDE),
    "alpha": lambda: png(6_900, 6_900, 8, 6, bytes(1 + 4 * 6_900) * 6_900),
    "deep": lambda: png(6_900, 6_900, 16, 0, bytes(1 + 2 * 6_900) * 6_900),
    "WebP": lambda: webp_canvas(SIDE, SIDE),
    "GIF of extensions": lambda: gif((2, 2), [(0, 0, 2, 2)], bytes(6))[:-1] + b"!\xfe\0" * 30_000_000,
    "clearing GIF": lambda: clearing_gif(65_535, 65_535),
    "progressive": lambda: jpeg_header(SIDE, SIDE, marker=0xC2),
    "tall": lambda: png(1, 60_000_000, 8, 0, bytes(2 * 60_000_000)),
    "long": lambda: png(65_000_000, 1, 8, 0, bytes(1 + 65_000_000)),
    "as tall as allowed": lambda: png(MAX_PIXELS // MAX_SIDE, MAX_SIDE, 8, 0, bytes(1 + MAX_PIXELS // MAX_SIDE) * MAX_SIDE),
}

BAD = bad_images()
ODD = odd_images()


def test_there_are_enough_kinds() -> None:
    assert len(BAD) >= 300
    assert len({image.kind for image in BAD}) >= 25
    assert {image.reason for image in BAD} == {
        Reason.EMPTY,
        Reason.TRUNCATED,
        Reason.NOT_AN_IMAGE,
        Reason.UNSUPPORTED_FORMAT,
        Reason.TOO_LARGE,
        Reason.UNDECODABLE,
    }


@pytest.mark.parametrize("kind", sorted({image.kind for image in BAD}))
def test_a_bad_file_is_refused_for_the_right_reason(kind: str) -> None:
    for image in (image for image in BAD if image.kind == kind):
        start = time.process_time()
        with pytest.raises(BadFile) as caught:
            inspect(image.encoded, LIMIT, Image.Image.copy)
        assert caught.value.reason == image.reason, caught.value.detail
        assert time.process_time() - start < 5
        assert caught.value.detail
        assert "\n" not in caught.value.detail
        assert "Error" not in caught.value.detail


@pytest.mark.parametrize("image", ODD, ids=[image.kind for image in ODD])
def test_an_odd_file_decodes_to_the_expected_pixels(image: OddImage) -> None:
    decoded = np.asarray(decode(image.encoded, LIMIT)).astype(int)
    assert decoded.shape == image.pixels.shape
    assert np.abs(decoded - image.pixels).max() <= image.tolerance


@pytest.mark.parametrize("kind", whole_images())
def test_the_same_files_are_accepted_if_they_are_complete(kind: str) -> None:
    assert inspect(whole_images()[kind], LIMIT, Image.Image.copy)[0].format in kind.upper()


def test_there_is_no_output_and_no_warning(capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for encoded in [*(image.encoded for image in BAD), *(image.encoded for image in ODD)]:
            _verdict(encoded)
    assert caught == []
    assert capfd.readouterr() == ("", "")


def test_threads_give_the_same_verdicts() -> None:
    files = [*(image.encoded for image in BAD), *(image.encoded for image in ODD)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(_verdict, files)) == [_verdict(encoded) for encoded in files]


def test_an_image_within_a_limit_decodes_the_same_without_a_limit() -> None:
    for image in ODD:
        assert decode(image.encoded) == decode(image.encoded, LIMIT)


def test_the_detail_describes_what_was_found() -> None:
    expected = {
        b"%PDF-1.7": "the content is a PDF document",
        jpeg_header(30_000, 30_000): "30000 x 30000 pixels; the limit is 4,000,000 in all",
        b"8BPS\0\1": "Photoshop; convert it to JPEG or PNG",
        b"\0\0\0\x1cftypavif\0\0\0\0avifmif1": "AVIF; convert it to JPEG or PNG",
        b"\0\0\0\x1cftypheic\0\0\0\0heicmif1": "HEIC; convert it to JPEG or PNG",
        b"\x89PNG\r\r\n\x1a\r\n": "a PNG file damaged by a transfer in text mode: line ends were changed",
        png(4, 4, 8, 3, bytes(20)): "its PNG data make no sense",
        png(1, 70_000, 8, 0, b"\0"): "1 x 70000 pixels; the limit is 65,535 a side",
        bmp(4, 4, 24, 4, bytes(99)): "BMP: Unsupported BMP compression (4); convert it to JPEG or PNG",
        plain_tiff((1, 1), [64], 1, bytes(8), more={339: (3, [3])}): ("TIFF: unknown pixel mode; convert it to JPEG or PNG"),
    }
    for encoded, detail in expected.items():
        with pytest.raises(BadFile) as caught:
            decode(encoded, LIMIT)
        assert caught.value.detail == detail


def test_a_thousand_mutated_images_give_pixels_or_a_reason() -> None:
    outcomes = soak(1_000)
    assert outcomes.total() == 1_000
    assert outcomes["accepted"] > 100
    assert outcomes[Reason.TRUNCATED] > 100


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_takes_little_memory(name: str, tmp_path: Path) -> None:
    (tmp_path / "bomb").write_bytes(BOMBS[name]())
    command = [sys.executable, "-c", MEASURE, str(tmp_path / "bomb")]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    seconds, megabytes = map(float, done.stdout.split()[-2:])
    assert megabytes < 512
    assert seconds < 5


def _verdict(encoded: bytes) -> object:
    try:
        return inspect(encoded, LIMIT, Image.Image.copy)[0]
    except BadFile as error:
        return error.reason, error.detail
