"""The page of a training run while it trains: the position, the curves as pictures, and the last epochs as a table.

Prefect's UI shows pictures in Markdown as data URLs. They are those of the run's own page (`tasks/training/page.py`).
"""

import base64
from itertools import islice

from tasks.training.chart import standalone
from tasks.training.page import charts
from tasks.training.points import Event, Points

_ROWS = 10  # epochs in the table
_CHARTS = 2  # loss and accuracy
_COLUMNS = (("loss", "accuracy"), ("val_loss", "val_accuracy"))
_HEAD = "| epoch | loss | accuracy | validation loss | validation accuracy |\n|---|---|---|---|---|"


class Curve:
    """The curves of one training run, from the events that it records; see `tasks/training/events.py`."""

    def __init__(self) -> None:
        self._points = Points()

    def see(self, event: Event) -> None:
        """Takes an event into account; ignores one of an unknown kind or form."""
        self._points.see(event)

    @property
    def finished(self) -> int:
        """The number of finished epochs."""
        return len(self._points.epochs)

    def page(self, words: str) -> str:
        """Markdown with the position in words, the curves and the last epochs; empty if there is nothing to draw."""
        if not list(self._points):
            return ""
        drawn = islice(charts(self._points, self._points.start.get("epochs", 1)), _CHARTS)
        pictures = (base64.b64encode(standalone(chart).encode()).decode() for chart in drawn)
        images = " ".join(f"![curves](data:image/svg+xml;base64,{picture})" for picture in pictures)
        return "\n".join([f"{words}\n", f"{images}\n", _HEAD, *map(_row, self._points.epochs[: -_ROWS - 1 : -1])])


def _row(epoch: Event) -> str:
    figures = (f"{epoch[loss]:.4f} | {100 * epoch[accuracy]:.1f} %" for loss, accuracy in _COLUMNS)
    return f"| {epoch['epoch']} | {' | '.join(figures)} |"
