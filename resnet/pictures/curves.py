"""Learning curves: loss or accuracy of training and validation, and the learning rate, by epoch."""

from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

SIZE = (6.4, 4.0)  # inches


def draw_curves(history: "pd.DataFrame", figure_of_merit: str, unit: str, size: tuple[float, float] = SIZE) -> Figure:
    """Draws the curves of training and validation, and marks the epoch whose weights are kept.

    Args:
        history: one row for each epoch, with the columns epoch, `figure_of_merit`, val_`figure_of_merit` and val_loss.
        figure_of_merit: "loss" or "accuracy".
        unit: the unit for the label of the axis.
        size: width and height in inches.
    """
    figure, axes = _over_epochs(history, figure_of_merit.capitalize(), f"{figure_of_merit} ({unit})", size)
    kept = history["epoch"].iloc[int(history["val_loss"].argmin())]
    axes.axvline(kept, color="gray", linestyle=":", label=f"kept: epoch {kept:g}")
    for column, label, marker, line in (
        (figure_of_merit, "training", "o", "-"),
        (f"val_{figure_of_merit}", "validation", "s", "--"),
    ):
        axes.plot(history["epoch"], history[column], line, marker=_marker(history, marker), markersize=4, label=label)
    if figure_of_merit == "accuracy":
        _end_at_one(axes)
    # Above the axes, where it covers no curve.
    figure.legend(loc="outside upper center", ncols=3, frameon=False, handlelength=1.3, columnspacing=0.6, handletextpad=0.3)
    return figure


def _end_at_one(axes: "Axes") -> None:
    """No ticks above 1 for shares, with room for the markers at 1."""
    low, high = axes.get_ylim()
    if high > 1:
        low = min(low, 0.9)
        axes.set_ylim(low, 1 + 0.03 * (1 - low))
        axes.set_yticks([tick for tick in axes.get_yticks() if low <= tick <= 1])


def draw_learning_rate(history: "pd.DataFrame", size: tuple[float, float] = SIZE) -> Figure:
    """Draws the learning rate at the end of each epoch.

    Args:
        history: one row for each epoch, with the columns epoch and learning_rate.
        size: width and height in inches.
    """
    figure, axes = _over_epochs(history, "Learning rate", "learning rate", size)
    axes.plot(history["epoch"], history["learning_rate"], marker=_marker(history, "o"), markersize=4, color="C2")
    axes.set_ylim(bottom=0)
    return figure


def _over_epochs(history: "pd.DataFrame", title: str, label: str, size: tuple[float, float]) -> tuple[Figure, "Axes"]:
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title)
    axes.set_xlabel("epoch")
    axes.set_ylabel(label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if len(history) == 1:  # the axis would be a tenth of an epoch long
        axes.set_xlim(history["epoch"].iloc[0] - 0.5, history["epoch"].iloc[0] + 0.5)
    axes.grid(alpha=0.3)
    return figure, axes


def _marker(history: "pd.DataFrame", marker: str) -> str:
    """The marker for epochs; none with so many epochs that markers would overlap."""
    return marker if len(history) <= 40 else "None"
