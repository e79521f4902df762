"""Where images come from: a source is a stream of encoded images with their labels.

A new kind of source is a function that returns a `Source`, and a line in `SOURCES`.
"""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from PIL import Image


@dataclass(frozen=True)
class Sample:
    """One image as its source has it.

    Attributes:
        path: its name within the source, unique.
        label: the name of its class.
        encoded: the bytes of an image file.
    """

    path: str
    label: str
    encoded: bytes


@dataclass(frozen=True)
class Source:
    """A set of labelled images.

    Attributes:
        classes: the names of the classes, in the order of their labels.
        samples: starts a pass over the images, always in the same order.
    """

    classes: list[str]
    samples: Callable[[], Iterator[Sample]]


def digits() -> Source:
    """The 1,797 handwritten digits of 8 x 8 pixels that scikit-learn carries, as PNG files.

    Source: Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository (1998),
    its test part. A pixel counts the dark dots, 0 to 16, in a square of 4 x 4; it is scaled to 0 to 255.
    """
    return Source([str(digit) for digit in range(10)], _digit_samples)


def _digit_samples() -> Iterator[Sample]:
    from sklearn.datasets import load_digits  # takes a second

    data = load_digits()
    for number, (dots, label) in enumerate(zip(data.images, data.target, strict=True)):
        pixels = (dots * (255 / 16)).round().astype("uint8")
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, format="PNG")
        yield Sample(f"{label}/{number:04d}.png", str(label), buffer.getvalue())


SOURCES: dict[str, Callable[[], Source]] = {"digits": digits}
