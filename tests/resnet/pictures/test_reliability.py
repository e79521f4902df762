"""The reliability diagram against the bins that it shows."""

import numpy as np
import pandas as pd

from resnet.pictures.reliability import draw_reliability


def test_the_reliability_diagram_shows_the_bins_that_have_images() -> None:
    bins = pd.DataFrame({"above": [0.0, 0.5], "up_to": [0.5, 1.0], "images": [0, 4], "confidence": [0.0, 0.9]})
    bins = bins.assign(accuracy=[0.0, 0.75], accuracy_low=[0.0, 0.3], accuracy_high=[1.0, 0.95])
    figure = draw_reliability(bins)
    (points,) = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert (np.asarray(points.get_xdata()).tolist(), np.asarray(points.get_ydata()).tolist()) == ([0.9], [0.75])
    assert len(figure.axes[0].lines) == 4  # with the diagonal and the ends of an interval
    both = draw_reliability(bins, before=bins.assign(confidence=[0.2, 0.95]))
    (old,) = [line for line in both.axes[0].lines if line.get_marker() == "x"]
    assert (np.asarray(old.get_xdata()).tolist(), np.asarray(old.get_ydata()).tolist()) == ([0.95], [0.75])
    assert [bar.get_height() for bar in figure.axes[1].patches] == [0, 4]  # type: ignore[attr-defined]


def test_with_several_labels_an_image_it_counts_pairs() -> None:
    bins = pd.DataFrame({"above": [0.0, 0.5], "up_to": [0.5, 1.0], "images": [900, 4], "confidence": [0.01, 0.9]})
    bins = bins.assign(accuracy=[0.01, 0.75], accuracy_low=[0.0, 0.3], accuracy_high=[0.02, 0.95])
    upper, lower = draw_reliability(bins, of_pairs=True).axes
    assert (upper.get_ylabel(), lower.get_xlabel(), lower.get_ylabel()) == (
        "share with the class",
        "probability of a class",
        "pairs",
    )
    assert lower.get_yscale() == "log"  # so that four pairs are seen beside 900
    assert draw_reliability(bins).axes[1].get_yscale() == "linear"
