"""Which classes are taken for which."""

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import confusion_matrix

_MOST_NUMBERS = 20  # classes up to which numbers fit into the cells
_MOST_NAMES = 60  # and names beside the axes


def draw_confusion(labels: list[str], predicted: list[str], classes: list[str]) -> Figure:
    """The confusion matrix: row the true class, column the predicted one, colour the share of the row.

    Args:
        labels: of each image.
        predicted: for each image.
        classes: in the order of the axes.
    """
    counts = confusion_matrix(labels, predicted, labels=classes)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = float(np.clip(2.5 + 0.42 * len(classes), 4.8, 12.0))
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_title("Confusion matrix (test images)")
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    if len(classes) <= _MOST_NAMES:
        axes.set_xticks(range(len(classes)), classes, rotation=90 if _long(classes) else 0, parse_math=False)
        axes.set_yticks(range(len(classes)), classes, parse_math=False)
    if len(classes) <= _MOST_NUMBERS:
        for row, column in zip(*np.nonzero(counts), strict=True):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour, fontsize=8)
    figure.colorbar(image, ax=axes, shrink=0.75, label="share of the true class")
    return figure


def _long(classes: list[str]) -> bool:
    return max(map(len, classes)) > 2
