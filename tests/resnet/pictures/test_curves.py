"""Learning curves against the history that they show."""

import numpy as np
import pandas as pd
import pytest

from resnet.pictures.curves import draw_curves, draw_learning_rate

HISTORY = pd.DataFrame(
    {
        "epoch": [1, 2, 3],
        "loss": [2.0, 1.0, 0.5],
        "accuracy": [0.2, 0.5, 0.8],
        "val_loss": [2.1, 1.2, 0.9],
        "val_accuracy": [0.1, 0.4, 0.7],
        "learning_rate": [0.1, 0.05, 0.0],
    }
)


@pytest.mark.parametrize("what", ["loss", "accuracy"])
def test_curves_show_training_and_validation(what: str) -> None:
    axes = draw_curves(HISTORY, what, "unit").axes[0]
    lines = {
        line.get_label(): np.asarray(line.get_ydata()).tolist()
        for line in axes.lines
        if line.get_label() in ("training", "validation")
    }
    assert lines == {"training": HISTORY[what].tolist(), "validation": HISTORY[f"val_{what}"].tolist()}
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", f"{what} (unit)")
    (legend,) = axes.figure.legends
    assert {text.get_text() for text in legend.get_texts()} == {"training", "validation", "kept: epoch 3"}


def test_the_learning_rate_is_drawn() -> None:
    (line,) = draw_learning_rate(HISTORY).axes[0].lines
    assert np.asarray(line.get_ydata()).tolist() == [0.1, 0.05, 0.0]


def test_the_kept_epoch_is_marked() -> None:
    history = HISTORY.assign(val_loss=[2.1, 0.3, 0.9])
    (mark,) = [line for line in draw_curves(history, "loss", "unit").axes[0].lines if "kept" in str(line.get_label())]
    assert mark.get_label() == "kept: epoch 2"
    assert set(np.asarray(mark.get_xdata()).tolist()) == {2}


@pytest.mark.parametrize("epochs", [1, 2, 3, 10, 300])
@pytest.mark.parametrize("level", [0.0, 0.99, 1.0])
def test_ticks_are_whole_epochs_and_shares_up_to_one(epochs: int, level: float) -> None:
    history = pd.DataFrame(dict.fromkeys(HISTORY, level), index=range(epochs)).assign(epoch=range(1, epochs + 1))
    for figure in (
        draw_curves(history, "accuracy", "share"),
        draw_curves(history, "loss", "nats"),
        draw_learning_rate(history),
    ):
        axes = figure.axes[0]
        low, high = axes.get_xlim()
        ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
        assert ticks
        assert all(tick == int(tick) for tick in ticks)
        assert epochs > 1 or ticks == [1]
    share = draw_curves(history, "accuracy", "share").axes[0]
    low, high = share.get_ylim()
    assert max(tick for tick in share.get_yticks() if low <= tick <= high) <= 1
    assert low < level < high


@pytest.mark.parametrize(("epochs", "marker"), [(40, "o"), (41, "None")])
def test_up_to_forty_epochs_have_markers(epochs: int, marker: str) -> None:
    history = pd.DataFrame({"epoch": range(epochs), "learning_rate": 0.1})
    (line,) = draw_learning_rate(history).axes[0].lines
    assert line.get_marker() == marker
