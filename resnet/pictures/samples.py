"""Test images for a page: as they are, and with where the network looked laid over them."""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

SMALL = 48  # pixels; images up to that are kept as they are, and the page enlarges them with sharp pixels
_SIDE = 144  # pixels, of larger ones


def as_picture(image: npt.NDArray[np.uint8]) -> tuple[str, bytes]:
    """An image (height, width, 3) for a page: its MIME type and a file of at most 144 pixels a side."""
    picture = Image.fromarray(image)
    if max(picture.size) <= SMALL:
        return "image/png", _encoded(picture, "PNG", optimize=True)
    picture.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    return "image/jpeg", _encoded(picture, "JPEG", quality=85)


def lay_over(image: npt.NDArray[np.uint8], heat: npt.NDArray[np.uint8]) -> tuple[str, bytes]:
    """An image in grey under a heat map in colours, where the map is bright.

    Args:
        image: (height, width, 3) RGB.
        heat: (rows, columns), 255 where the network found most.
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
