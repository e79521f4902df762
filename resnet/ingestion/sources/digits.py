"""The built-in source: 1,797 handwritten digits of 8 x 8 pixels."""

import io
from collections.abc import Iterator
from functools import partial
from typing import Any

from PIL import Image

from resnet.images.outcomes import Candidate
from resnet.ingestion.sources.source import Source


def digits() -> Source:
    """The handwritten digits that come with scikit-learn, as PNG files.

    They are the test part of Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository
    (1998). A pixel is the number of dark dots, 0 to 16, in a square of 4 x 4 dots; here it is scaled to 0 to 255.
    """
    return Source([str(digit) for digit in range(10)], _files)


def _files() -> Iterator[Candidate]:
    from sklearn.datasets import load_digits  # importing it takes a second

    data = load_digits()
    for number, (dots, label) in enumerate(zip(data.images, data.target, strict=True)):
        yield Candidate(f"{label}/{number:04d}.png", str(label), partial(_encode, dots))


def _encode(dots: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray((dots * (255 / 16)).round().astype("uint8")).save(buffer, format="PNG")
    return buffer.getvalue()
