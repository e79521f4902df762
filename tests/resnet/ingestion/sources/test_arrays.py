"""Arrays of pixels as PNG files."""

import io

import numpy as np
import pytest
from PIL import Image

from resnet.images.outcomes import Candidate, Reason, Rejected
from resnet.ingestion.sources.arrays import array_outcomes, encode_png, pixels_problem

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("shape", "mode"),
    [((5, 7), "L"), ((5, 7, 1), "L"), ((5, 7, 3), "RGB"), ((5, 7, 4), "RGBA"), ((3, 5, 7), "RGB"), ((1, 5, 7), "L")],
)
def test_pixels_are_kept(shape: tuple[int, ...], mode: str) -> None:
    pixels = RANDOM.integers(0, 256, shape, dtype=np.uint8)
    image = Image.open(io.BytesIO(encode_png(pixels)))
    expected = pixels.transpose(1, 2, 0) if shape[-1] == 7 and len(shape) == 3 else pixels
    assert (image.format, image.mode, image.size) == ("PNG", mode, (7, 5))
    np.testing.assert_array_equal(np.asarray(image), expected.squeeze())
    assert encode_png(pixels) == encode_png(pixels.copy())


@pytest.mark.parametrize(
    ("shape", "dtype", "problem"),
    [
        ((9, 8, 8), np.uint8, None),
        ((9, 8, 8, 3), np.uint8, None),
        ((9, 3, 8, 8), np.uint8, None),
        ((9, 8, 8), np.float32, "type float32; expected uint8"),
        ((9, 64), np.uint8, "shape is (9, 64); expected (images, height, width)"),
        ((9, 8, 8, 2), np.uint8, "expected (images, height, width)"),
        ((9, 0, 8), np.uint8, "expected sides of 1 to 65,535 pixels"),
        ((9, 70_000, 8), np.uint8, "expected sides of 1 to 65,535 pixels"),
    ],
)
def test_other_arrays_are_refused(shape: tuple[int, ...], dtype: type, problem: str | None) -> None:
    found = pixels_problem(shape, np.dtype(dtype))
    assert found is None if problem is None else found is not None and problem in found


def test_images_are_called_by_their_position() -> None:
    images = RANDOM.integers(0, 256, (3, 4, 4), dtype=np.uint8)
    found = list(array_outcomes("x", iter(images), np.array([1, -1, 0]), ["cat", "dog"], "test"))
    assert [file.path for file in found] == ["x/0000000.png", "x/0000001.png", "x/0000002.png"]
    assert [(file.label, file.split) for file in found if isinstance(file, Candidate)] == [("dog", "test"), ("cat", "test")]
    assert isinstance(found[1], Rejected)
    assert found[1].reason == Reason.UNLABELLED
    np.testing.assert_array_equal(Image.open(io.BytesIO(found[2].read())), images[2])  # type: ignore[union-attr]
