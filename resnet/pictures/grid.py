"""A grid of images with their labels and predictions."""

import math

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

RIGHT, WRONG = "#1a7f37", "#cf222e"


def draw_grid(images: npt.NDArray[np.uint8], labels: list[str], predicted: list[str], title: str) -> Figure:
    """Draws a grid of images. Titles are green for correct predictions, and red with the label for wrong ones.

    Args:
        images: (images, height, width, 3) uint8 RGB, at least one.
        labels: the class of each image.
        predicted: the prediction for each image.
        title: the title of the figure.
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
