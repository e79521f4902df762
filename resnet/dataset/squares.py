"""Squares out of photographs that were stored whole."""

import numpy as np
import numpy.typing as npt
from PIL import Image

Images = npt.NDArray[np.uint8]


def centre_squares(images: Images, aspects: npt.NDArray[np.float32], size: int) -> Images:
    """The centre square of each photograph, which is what the network gets when it predicts: (images, size, size, 3) uint8.

    Args:
        images: (images, side, side, 3) uint8, whole photographs that were squeezed to squares.
        aspects: (images,) float32, width / height of the photographs.
        size: height and width of the result, in pixels.
    """
    return np.stack([_centre_square(image, float(aspect), size) for image, aspect in zip(images, aspects, strict=True)])


def _centre_square(image: Images, aspect: float, size: int) -> Images:
    side = len(image)
    width, height = side * min(1.0, 1.0 / aspect), side * min(1.0, aspect)
    box = ((side - width) / 2, (side - height) / 2, (side + width) / 2, (side + height) / 2)
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC, box=box))
