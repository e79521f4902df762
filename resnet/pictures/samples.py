"""Encodes test images for a page, with and without heat maps."""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

SMALL = 48  # pixels; images up to this size are not resized, and the page enlarges them without smoothing
_SIDE = 144  # pixels; larger images are reduced to this size


def encode_image(image: npt.NDArray[np.uint8]) -> tuple[str, bytes]:
    """Encodes an image, (height, width, 3) RGB, as a file of at most 144 pixels a side; returns its MIME type and its bytes."""
    picture = Image.fromarray(image)
    if max(picture.size) <= SMALL:
        return "image/png", _encoded(picture, "PNG", optimize=True)
    picture.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    return "image/jpeg", _encoded(picture, "JPEG", quality=85)


def overlay_heat_map(image: npt.NDArray[np.uint8], heat: npt.NDArray[np.uint8]) -> tuple[str, bytes]:
    """Encodes an image in grey with a heat map in colour over it; returns the MIME type and the bytes.

    Args:
        image: (height, width, 3) RGB.
        heat: (rows, columns), 255 where the support for the prediction is largest.
    """
    from matplotlib import colormaps

    size = (_SIDE, round(_SIDE * image.shape[0] / image.shape[1]))
    pixels = Image.Resampling.NEAREST if max(image.shape[:2]) <= SMALL else Image.Resampling.LANCZOS
    grey = np.asarray(Image.fromarray(image).convert("L").resize(size, pixels), np.float32)[..., None] / 255
    smooth = np.asarray(Image.fromarray(heat).resize(size, Image.Resampling.BICUBIC), np.float32) / 255
    colours = np.asarray(colormaps["inferno"](smooth))[..., :3]
    share = 0.15 + 0.6 * smooth[..., None]
    mixed = (255 * ((1 - share) * grey + share * colours)).round().astype(np.uint8)
    return "image/jpeg", _encoded(Image.fromarray(mixed), "JPEG", quality=80)


def _encoded(picture: Image.Image, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()
