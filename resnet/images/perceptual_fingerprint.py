"""What an image looks like in a few bytes, from which near-duplicates are found.

A fingerprint holds two views of an image's low frequencies in grey: their signs (ImageHash's `phash`) and their amplitudes.
"""

import functools
import math

import numpy as np
import numpy.typing as npt
from PIL import Image

HASH_BYTES = 8
SIDE = 32  # pixels of the square that phash reduces an image to
FREQUENCIES = 6  # in each direction; with 5, four times as many digits are false alarms, with 7 fewer copies are found
FINGERPRINT_BYTES = HASH_BYTES + FREQUENCIES**2 - 1  # all amplitudes but the constant one, which is the brightness
FLAT = 1.0  # grey levels, root mean square; below it there is little but the noise of rounding and encoding


def perceptual_fingerprint(image: Image.Image) -> bytes:
    """What an image looks like, for `resnet.preparation.near_duplicates`.

    Args:
        image: of any size, and of a mode that Pillow can turn to grey.

    Returns:
        `FINGERPRINT_BYTES` bytes: the 64 bits of `imagehash.phash`, then the amplitudes of the lowest `FREQUENCIES` x
        `FREQUENCIES` terms of the same cosine transform but the constant one, row by row, as int8 with the largest at 127.
        All zeros for a flat image, which looks like no other: a hash of the pixels tells equal ones.
    """
    from imagehash import phash

    # Reducing by a whole number first makes 640 x 480 pixels 3 times as fast; Pillow calls a gap of 3 indistinguishable.
    grey = image.convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS, reducing_gap=3)
    cosines = _cosines()
    amplitudes = (cosines @ np.asarray(grey, dtype=np.float64) @ cosines.T).ravel()[1:]
    if np.linalg.norm(amplitudes) < FLAT:
        return bytes(FINGERPRINT_BYTES)
    scaled = np.rint(amplitudes * (127 / np.abs(amplitudes).max())).astype(np.int8)
    return np.packbits(phash(grey).hash).tobytes() + scaled.tobytes()


@functools.cache
def _cosines() -> npt.NDArray[np.float64]:
    """Rows of the DCT-II, (FREQUENCIES, SIDE), scaled so that the norm of all amplitudes is in grey levels."""
    frequency, pixel = np.arange(FREQUENCIES)[:, None], np.arange(SIDE)
    scale = np.where(frequency == 0, 1, math.sqrt(2)) / SIDE
    return scale * np.cos(np.pi * frequency * (pixel + 0.5) / SIDE)
