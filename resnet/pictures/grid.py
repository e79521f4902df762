"""Images with what they are and what they were taken for."""

import math

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

RIGHT, WRONG = "#1a7f37", "#cf222e"


def draw_grid(images: npt.NDArray[np.uint8], labels: list[str], predicted: list[str], title: str) -> Figure:
    """A grid of images, right ones titled in green, wrong ones in red with the truth beside.

    Args:
        images: (images, height, width, 3) RGB.
        labels: of each image.
        predicted: for each image.
        title: of the whole.
    """
    columns = min(8, len(images))
    rows = math.ceil(len(images) / columns)
    figure = Figure(figsize=(1.25 * columns, 1.45 * rows + 0.5), layout="constrained")
    figure.suptitle(title, fontsize=10)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.axis("off")
    for axis, image, label, guess in zip(axes, images, labels, predicted, strict=False):
        axis.imshow(image, interpolation="nearest")
        right = label == guess
        text = guess if right else f"{guess} (is {label})"
        axis.set_title(text, color=RIGHT if right else WRONG, fontsize=8, parse_math=False)
    return figure
