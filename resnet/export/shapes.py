"""Images of many sizes and shapes, on which exports are checked: they must resize as the pipeline does."""

import io
import itertools
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image

# Width and height as multiples of the network's size, and pixels to add: of one pixel, smaller, larger, wide, tall, and with
# margins that are no whole pixels. At most six times as large, since beyond that Pillow averages over blocks first.
SHAPES = (
    ((0, 1), (0, 1)),
    ((0, 1), (0, 9)),
    ((0, 9), (0, 1)),
    ((1 / 4, 0), (1 / 2, 1)),
    ((2 / 3, 1), (1 / 2, 0)),
    ((1, 1), (1, 0)),
    ((1, 0), (1, 1)),
    ((1, 0), (3 / 2, 1)),
    ((2, 1), (2, 0)),
    ((4, 3), (1 / 2, 0)),
    ((1 / 2, 0), (4, 3)),
    ((2, 0), (5, 1)),
    ((5, 1), (4, 3)),
)


def varied_images(images: npt.NDArray[np.uint8]) -> Iterator[Image.Image]:
    """Makes an RGB image of each of the `SHAPES`, and a grey one.

    Args:
        images: (any number, size, size, 3) uint8, whose content is used in turn.
    """
    size = images.shape[1]
    for number, shape in enumerate(SHAPES):
        width, height = (max(1, int(share * size) + more) for share, more in shape)
        image = Image.fromarray(images[number % len(images)])
        yield image.resize((width, height), Image.Resampling.BICUBIC)
    yield image.convert("L").convert("RGB")


def varied_files(images: npt.NDArray[np.uint8]) -> Iterator[bytes]:
    """Encodes the images of `varied_images` in turn as JPEG, grey PNG, PNG with alpha, 16-bit PNG, GIF and BMP."""
    kinds: list[tuple[str, Callable[[Image.Image], Image.Image]]] = [
        ("JPEG", Image.Image.copy),
        ("PNG", lambda image: image.convert("L")),
        ("PNG", _with_alpha),
        ("PNG", lambda image: Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)),
        ("GIF", Image.Image.copy),
        ("BMP", Image.Image.copy),
    ]
    for image, (kind, made) in zip(varied_images(images), itertools.cycle(kinds), strict=False):
        buffer = io.BytesIO()
        made(image).save(buffer, kind)
        yield buffer.getvalue()


def _with_alpha(image: Image.Image) -> Image.Image:
    shaded = image.copy()
    shaded.putalpha(Image.linear_gradient("L").resize(image.size))
    return shaded
