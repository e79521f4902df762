"""The reliability diagram: the accuracy of predictions by their confidence."""

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

if TYPE_CHECKING:
    import pandas as pd


def draw_reliability(
    bins: "pd.DataFrame", size: tuple[float, float] = (5.6, 5.6), *, before: "pd.DataFrame | None" = None
) -> Figure:
    """Draws the accuracy in each bin of confidence, and below it the number of images in each bin.

    Args:
        bins: one row for each bin: its bounds above and up_to, images, confidence, accuracy, and the bounds of the interval of
            accuracy, accuracy_low and accuracy_high.
        size: width and height in inches.
        before: the bins before the network was calibrated, to be drawn without intervals behind the others.
    """
    figure = Figure(figsize=size, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    width = bins["up_to"] - bins["above"]
    full = bins[bins["images"] > 0]
    upper.plot([0, 1], [0, 1], color="gray", linestyle="--", label="calibrated")
    if before is not None:
        old = before[before["images"] > 0]
        upper.plot(old["confidence"], old["accuracy"], "x", color="C1", markersize=5, label="before the temperature")
    reach = [full["accuracy"] - full["accuracy_low"], full["accuracy_high"] - full["accuracy"]]
    upper.errorbar(
        full["confidence"],
        full["accuracy"],
        yerr=[side.clip(lower=0) for side in reach],
        fmt="o",
        markersize=4,
        capsize=2,
        label="accuracy, 95 % interval",
    )
    upper.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02))
    figure.legend(
        loc="outside upper center", ncols=2 if before is None else 3, frameon=False, columnspacing=1, handletextpad=0.4
    )
    lower.bar(bins["above"], bins["images"], width=width, align="edge", color="C0", edgecolor="gray", linewidth=0.5)
    lower.set(xlabel="confidence: probability of the predicted class", ylabel="images")
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
    return figure
