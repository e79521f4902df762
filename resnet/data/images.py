"""From the bytes of an image file to pixels: the one way of it, for training, evaluation and use."""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from resnet.errors import UserError


def decode(encoded: bytes, path: str) -> Image.Image:
    """Decodes all of an image, to RGB.

    Args:
        encoded: the bytes of an image file.
        path: what to call it in an error.

    Raises:
        UserError: the bytes are not an image, or break off.
    """
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            return image.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path} cannot be decoded as an image ({error}); replace it, or take it out of the source.") from error


def resize_and_crop(image: Image.Image, size: int) -> npt.NDArray[np.uint8]:
    """Resizes the short side to `size` with antialiasing and crops the middle: (size, size, 3) uint8, aspect kept."""
    width, height = image.size
    scale = size / min(width, height)
    resized = image.resize((max(size, round(width * scale)), max(size, round(height * scale))), Image.Resampling.BICUBIC)
    left, top = (resized.width - size) // 2, (resized.height - size) // 2
    return np.asarray(resized.crop((left, top, left + size, top + size)), dtype=np.uint8)
