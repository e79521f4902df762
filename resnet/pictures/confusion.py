"""The confusion matrix as counts, as a list of the most frequent confusions, and as a figure.

Up to 20 classes keep their order, which may be meaningful. More classes are reordered: classes that are confused with each
other become neighbours, so that confusions form blocks along the diagonal.
"""

from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure

MAX_IN_ORDER = 20  # classes that keep their order; with more, numbers do not fit into the cells
_MAX_NAMES = 60  # classes whose names fit beside the axes
_MAX_CELLS = 250  # on a side; smaller cells would be invisible
_MAX_OPTIMAL = 300  # classes for which an optimal leaf ordering is computed: 1 s; for 1,000 it takes a minute
_BLUES = LinearSegmentedColormap.from_list("blues", [(0.18, 0.44, 0.75, 0.0), (0.18, 0.44, 0.75, 1.0)])


def count_confusions(labels: list[str], predicted: list[str], classes: list[str]) -> npt.NDArray[np.int64]:
    """(classes, classes): the number of images by true class (row) and predicted class (column)."""
    place = {name: number for number, name in enumerate(classes)}
    counts = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(counts, ([place[name] for name in labels], [place[name] for name in predicted]), 1)
    return counts


def most_confused(
    counts: npt.NDArray[np.int64], classes: list[str], most: int, support: npt.NDArray[np.int64] | None = None
) -> list[dict[str, Any]]:
    """The `most` most frequent confusions: label, predicted, images, and share, of the images of the class.

    Args:
        counts: (classes, classes) images by true and predicted class.
        classes: the class names.
        most: how many to list.
        support: as of `draw_confusion`.
    """
    images = counts.sum(axis=1) if support is None else support
    wrong = np.where(np.eye(len(classes), dtype=bool), 0, counts)
    places = np.argsort(-wrong, axis=None, kind="stable")[:most]
    rows, columns = np.unravel_index(places, counts.shape)
    return [
        {
            "label": classes[row],
            "predicted": classes[column],
            "images": int(wrong[row, column]),
            "share": float(wrong[row, column] / images[row]),
        }
        for row, column in zip(rows, columns, strict=True)
        if wrong[row, column]
    ]


def order_classes(counts: npt.NDArray[np.int64], support: npt.NDArray[np.int64] | None = None) -> npt.NDArray[np.int64]:
    """The order in which to draw classes: the leaves of a hierarchical clustering by confusions, with average linkage.

    Args:
        counts: (classes, classes) images by true and predicted class.
        support: as of `draw_confusion`.
    """
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    shares = _shares(counts, support)
    alike = shares + shares.T
    np.fill_diagonal(alike, 0)
    if len(counts) <= MAX_IN_ORDER or not alike.any():
        return np.arange(len(counts))
    distance = 1 - alike / alike.max()
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), "average", optimal_ordering=len(counts) <= _MAX_OPTIMAL)
    return leaves_list(tree).astype(np.int64)


def draw_confusion(
    counts: npt.NDArray[np.int64],
    classes: list[str],
    title: str = "Confusion matrix (test images)",
    *,
    support: npt.NDArray[np.int64] | None = None,
) -> Figure:
    """Draws the confusion matrix: a row for each true class, a column for each predicted class, coloured by share of the row.

    With more than 250 classes, a cell combines neighbouring rows and columns and shows the largest of their shares.

    Args:
        counts: (classes, classes) images by true and predicted class.
        classes: the class names.
        title: the title of the figure.
        support: (classes,) the images of each class, for images that have several and may count in several cells of a row, or
            in none; by default the sums of the rows.
    """
    order = order_classes(counts, support)
    shares = _pool(_shares(counts, support)[np.ix_(order, order)])
    names, counts = [classes[place] for place in order], counts[np.ix_(order, order)]
    side = _side(names) if len(classes) <= _MAX_NAMES else 8.0
    beside = 5.5 * mpl.rcParams["font.size"] / 72  # the colour bar takes this width
    figure = Figure(figsize=(side, side - beside), layout="constrained")
    axes = figure.add_subplot()
    few = len(classes) <= MAX_IN_ORDER
    # With many classes, confusions are small shares; the square root makes them visible.
    norm = PowerNorm(1 if few else 0.5, vmin=0, vmax=1)
    image = axes.imshow(shares, cmap=_BLUES, norm=norm, interpolation="none" if few else "nearest")
    axes.set_title(title)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    if len(classes) <= _MAX_NAMES:
        shown = [_short(name) for name in names]
        axes.set_xticks(range(len(names)), shown, rotation=90 if max(map(len, names)) > 2 else 0, parse_math=False)
        axes.set_yticks(range(len(names)), shown, parse_math=False)
    else:
        axes.set_xticks([])
        axes.set_yticks([])
    if few:
        for row, column in zip(*np.nonzero(counts), strict=True):
            # Each has a contrast of 4.5 on the blue below it: white at shares from 0.95, black below.
            colour = "white" if shares[row, column] > 0.95 else "black"
            axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour)
    figure.colorbar(image, ax=axes, shrink=0.6, label="share of the true class")
    return figure


def _shares(counts: npt.NDArray[np.int64], support: npt.NDArray[np.int64] | None) -> npt.NDArray[np.float64]:
    images = counts.sum(axis=1) if support is None else support
    return counts / np.maximum(images[:, None], 1)


def _pool(shares: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The largest share in each square block; the blocks are as small as possible for at most 250 on a side."""
    step = -(-len(shares) // _MAX_CELLS)
    starts = np.arange(0, len(shares), step)
    return np.maximum.reduceat(np.maximum.reduceat(shares, starts, axis=0), starts, axis=1)


def _side(names: list[str]) -> float:
    """The side of a figure in which every class has its name and, if there are few, its numbers; in inches."""
    size = mpl.rcParams["font.size"] / 72
    name = 0.65 * size * max(len(_short(name)) for name in names)
    cell = (3 if len(names) <= MAX_IN_ORDER else 1.35) * size
    return max(name + len(names) * cell + 9 * size, 27 * size)


def _short(name: str) -> str:
    return name if len(name) <= 24 else f"{name[:23]}…"
