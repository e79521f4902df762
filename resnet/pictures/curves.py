"""Curves of training and validation over the epochs."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator


def draw_curves(history: pd.DataFrame, figure_of_merit: str, unit: str) -> Figure:
    """Training and validation in one picture.

    Args:
        history: with the columns epoch, `figure_of_merit` and val_`figure_of_merit`.
        figure_of_merit: "loss" or "accuracy".
        unit: for the label of the axis.
    """
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    for column, label, marker in ((figure_of_merit, "training", "o"), (f"val_{figure_of_merit}", "validation", "s")):
        axes.plot(history["epoch"], history[column], marker=marker, markersize=4, label=label)
    axes.set_title(figure_of_merit.capitalize())
    axes.set_xlabel("epoch")
    axes.set_ylabel(f"{figure_of_merit} ({unit})")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend()
    return figure
