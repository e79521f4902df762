"""A grid of images with their labels and predictions."""

import math

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

RIGHT, WRONG = "#1a7f37", "#cf222e"
_LONGEST = 17  # characters of a name that fit above an image


def draw_grid(images: npt.NDArray[np.uint8], labels: list[str], predicted: list[str], title: str) -> Figure:
    """Draws a grid of images. Titles are green for correct predictions, and red with the label below for wrong ones.

    Args:
        images: (images, height, width, 3) uint8 RGB, at least one.
        labels: the class of each image.
        predicted: the prediction for each image.
        title: the title of the figure.
    """
    columns = min(8, len(images))
    rows = math.ceil(len(images) / columns)
    figure = Figure(figsize=(1.25 * columns, 1.55 * rows + 0.5), layout="constrained")
    figure.suptitle(title, fontsize=10)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.axis("off")
    for axis, image, label, guess in zip(axes, images, labels, predicted, strict=False):
        axis.imshow(image, interpolation="nearest")
        right = label == guess
        text = _short(guess) if right else f"{_short(guess)}\nis {_short(label)}"
        axis.set_title(text, color=RIGHT if right else WRONG, fontsize=8, parse_math=False)
    return figure


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}\u2026"
