"""The reliability diagram: the accuracy of predictions by their confidence.

With several labels to an image it counts pairs of an image and a class: how many have the class, by their probability.
"""

from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

if TYPE_CHECKING:
    import pandas as pd

_SIZE = (4.5, 5.2)  # inches
_OF_IMAGES = (
    "accuracy",
    "accuracy, 95 % interval",
    "confidence: probability of the predicted class",
    "images",
    "before the temperature",
)
_OF_PAIRS = ("share with the class", "95 % interval", "probability of a class", "pairs", "before calibration")


def draw_reliability(bins: "pd.DataFrame", *, before: "pd.DataFrame | None" = None, of_pairs: bool = False) -> Figure:
    """Draws the accuracy in each bin of confidence, and below it the number of images in each bin.

    Args:
        bins: one row for each bin: its bounds above and up_to, images, confidence, accuracy, and the bounds of the interval of
            accuracy, accuracy_low and accuracy_high.
        before: the bins before the network was calibrated, to be drawn without intervals behind the others.
        of_pairs: whether the bins are of pairs of an image and a class.
    """
    accuracy, interval, confidence, counted, earlier = _OF_PAIRS if of_pairs else _OF_IMAGES
    figure = Figure(figsize=_SIZE, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    width = bins["up_to"] - bins["above"]
    full = bins[bins["images"] > 0]
    upper.plot([0, 1], [0, 1], color="gray", linestyle="--", label="calibrated")
    if before is not None:
        old = before[before["images"] > 0]
        upper.plot(old["confidence"], old["accuracy"], "x", color="C1", markersize=5, label=earlier)
    reach = [full["accuracy"] - full["accuracy_low"], full["accuracy_high"] - full["accuracy"]]
    upper.errorbar(
        full["confidence"],
        full["accuracy"],
        yerr=[side.clip(lower=0) for side in reach],
        fmt="o",
        markersize=4,
        capsize=2,
        label=interval,
    )
    upper.set(ylabel=accuracy, xlim=(0, 1), ylim=(0, 1.02))
    figure.legend(loc="outside upper center", frameon=False, handletextpad=0.4)  # in one column: two are wider than the figure
    lower.bar(bins["above"], bins["images"], width=width, align="edge", color="C0", edgecolor="gray", linewidth=0.5)
    lower.set(xlabel=confidence, ylabel=counted)
    if of_pairs:  # nearly all pairs are of a class that the image does not have
        lower.set_yscale("log")
        lower.yaxis.set_major_formatter("{x:,.0f}")  # without powers, whose digits are too small
        lower.yaxis.set_minor_formatter(NullFormatter())
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
    return figure
