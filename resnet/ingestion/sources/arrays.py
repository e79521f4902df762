"""Images and labels that are stored as arrays: their pixels as PNG files, their labels as classes."""

import io
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
from PIL import Image

from resnet.core.label_sets import SEPARATOR
from resnet.images.outcomes import Candidate, Outcome, Reason, Rejected

MAX_SIDE = 65_535  # as for all images
_CHANNELS = (1, 3, 4)  # grey, RGB, RGBA


def pixels_problem(shape: Sequence[int], dtype: np.dtype[np.generic]) -> str | None:
    """What is wrong with an array of images; None if nothing is.

    Args:
        shape: (images, height, width), with 1, 3 or 4 channels at the end or before the height.
        dtype: uint8 is expected.
    """
    if dtype != np.uint8:
        return f"its pixels are of type {dtype}; expected uint8, 0 to 255"
    if len(shape) not in (3, 4) or (len(shape) == 4 and _channel_axis(shape[1:]) is None):
        return f"its shape is {tuple(shape)}; expected (images, height, width) or (images, height, width, 1, 3 or 4)"
    if not all(1 <= side <= MAX_SIDE for side in shape[1:]):
        return f"its images have the shape {tuple(shape[1:])}; expected sides of 1 to {MAX_SIDE:,} pixels"
    return None


def _channel_axis(shape: Sequence[int]) -> int | None:
    """The axis of the channels of one image: the last one, or the first one as in PyTorch."""
    return next((axis for axis in (2, 0) if shape[axis] in _CHANNELS), None)


def encode_png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """An image, (height, width) or with channels, as a PNG file; the same pixels give the same bytes."""
    if pixels.ndim == 3:
        pixels = np.moveaxis(pixels, 0, 2) if _channel_axis(pixels.shape) == 0 else pixels
        pixels = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, format="PNG")
    return buffer.getvalue()


def array_outcomes(
    name: str, images: Iterator[npt.NDArray[np.uint8]], labels: npt.NDArray[np.int64], names: Sequence[str], split: str | None
) -> Iterator[Outcome]:
    """An outcome for each image of an array, called `name/0000017.png` by its position.

    Args:
        name: of the array.
        images: one after another.
        labels: (images,), positions in `names`; negative for an image without a label. Or (images, classes), 1 for each class
            of an image with several.
        names: the class names.
        split: of all images.
    """
    for number, (pixels, label) in enumerate(zip(images, labels.tolist(), strict=True)):
        path = f"{name}/{number:07d}.png"
        if labels.ndim == 2:
            text = SEPARATOR.join(own for own, has in zip(names, label, strict=True) if has)
            yield Candidate(path, text, partial(encode_png, pixels), split)
        elif label < 0:
            yield Rejected(path, Reason.UNLABELLED, f"its label is {label}")
        else:
            yield Candidate(path, names[label], partial(encode_png, pixels), split)
