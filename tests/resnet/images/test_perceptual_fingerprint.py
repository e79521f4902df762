"""Fingerprints, against ImageHash and images of one cosine. How well they find copies: `test_near_duplicates.py`."""

import imagehash
import numpy as np
import pytest
from PIL import Image

from resnet.images.perceptual_fingerprint import FINGERPRINT_BYTES, perceptual_fingerprint
from tests.hostile.encoders import noise


def test_the_first_eight_bytes_are_phash() -> None:
    image = noise(32, 32)  # of the size to which both reduce, so that nothing is resized
    expected = imagehash.phash(image.convert("L")).hash
    assert perceptual_fingerprint(image)[:8] == np.packbits(expected).tobytes()


@pytest.mark.parametrize(("down", "across"), [(0, 1), (1, 0), (2, 3), (5, 5)])
def test_an_image_of_one_cosine_has_one_amplitude(down: int, across: int) -> None:
    place = (np.arange(32) + 0.5) / 32 * np.pi
    wave = np.cos(down * place)[:, None] * np.cos(across * place)[None]
    fingerprint = perceptual_fingerprint(Image.fromarray(np.round(128 + 100 * wave).astype(np.uint8)))
    amplitudes = np.frombuffer(fingerprint[8:], np.int8).astype(int)
    expected = np.zeros(35, int)
    expected[6 * down + across - 1] = 127  # the first of the 6 x 6, the brightness, is left out
    assert len(fingerprint) == FINGERPRINT_BYTES == 43
    assert np.abs(amplitudes - expected).max() <= 1


def test_a_flat_image_is_all_zeros() -> None:
    assert perceptual_fingerprint(Image.new("RGB", (50, 40), (10, 200, 30))) == bytes(43)
