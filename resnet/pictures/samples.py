"""Encodes test images for a page, with and without occlusion maps."""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

_SIDE = 144  # pixels; larger images are reduced to this size
ORANGE, BLUE = (255, 140, 0), (40, 110, 255)  # told apart with every kind of colour vision
_LEAST_FULL = 0.05
_OPAQUE, _DIM = 0.8, 0.75  # so that the image is visible below, and colour is also visible on white


def shown_size(height: int, width: int) -> tuple[int, int]:
    """The width and height at which a page shows images of a size, in pixels.

    Small images are enlarged by a whole number, so that their pixels become equal squares, to at most 144 pixels a side. Images
    above 72 pixels keep their size, since pixels are lost or invented between whole numbers, and larger ones are reduced.
    """
    whole = _SIDE // max(height, width)
    if whole:
        return whole * width, whole * height
    return max(1, round(_SIDE * width / max(height, width))), max(1, round(_SIDE * height / max(height, width)))


def encode_image(image: npt.NDArray[np.uint8]) -> tuple[str, bytes]:
    """Encodes an image, (height, width, 3) RGB, as a file of at most 144 pixels a side; returns its MIME type and its bytes."""
    picture, shown = Image.fromarray(image), shown_size(*image.shape[:2])
    if shown[0] > picture.width:  # the page enlarges it
        return "image/png", _encoded(picture, "PNG", optimize=True)
    picture = picture.resize(shown, Image.Resampling.LANCZOS) if shown != picture.size else picture
    return "image/jpeg", _encoded(picture, "JPEG", quality=85)


def overlay_occlusion(image: npt.NDArray[np.uint8], fall: npt.NDArray[np.float32]) -> tuple[str, bytes]:
    """Encodes an image in grey with an occlusion map in colour over it; returns the MIME type and the bytes.

    Orange marks where covering the image lowers the probability, blue where it raises it. The colour is full at the largest
    change, but not below 5 points: otherwise the map of an image on which nothing has an effect would show noise.

    Args:
        image: (height, width, 3) RGB.
        fall: (rows, columns) in [-1, 1], see `resnet.evaluation.occlusion`.
    """
    size = shown_size(*image.shape[:2])
    pixels = Image.Resampling.NEAREST if size[0] > image.shape[1] else Image.Resampling.LANCZOS
    grey = np.asarray(Image.fromarray(image).convert("L").resize(size, pixels), np.float32)[..., None]
    full = max(float(np.abs(fall).max()), _LEAST_FULL)
    smooth = np.asarray(Image.fromarray(fall / np.float32(full)).resize(size, Image.Resampling.BICUBIC))[..., None]
    share = _OPAQUE * np.abs(smooth).clip(0, 1)
    mixed = (1 - share) * _DIM * grey + share * np.where(smooth > 0, ORANGE, BLUE)
    return "image/jpeg", _encoded(Image.fromarray(mixed.round().astype(np.uint8)), "JPEG", quality=85, subsampling=0)


def _encoded(picture: Image.Image, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()
