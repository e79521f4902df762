"""The page of a training run while it trains: the position, the curves as a picture, and the last epochs as a table.

Prefect's UI shows pictures in Markdown as data URLs. The picture is drawn here as SVG: an import of Matplotlib alone would cost
a second of processor time, which belongs to training.
"""

import base64
from collections.abc import Sequence
from typing import Any

_WIDTH, _HEIGHT = 640, 200  # of each chart in pixels
_LEFT, _TOP, _BOTTOM = 64, 28, 24  # space for the numbers and the title
_ROWS = 10  # epochs in the table
_POINTS = 400  # of a line: more than the pixels show costs only bytes
_COLORS = {"training": "#1f77b4", "validation": "#ff7f0e"}

Line = list[tuple[float, float]]


class Curve:
    """The curves of one training run, from the events that it records; see `tasks/training/events.py`."""

    def __init__(self) -> None:
        self._epochs = 0
        self._finished: dict[int, dict[str, float]] = {}
        self._now: tuple[float, dict[str, float]] | None = None

    def see(self, event: dict[str, Any]) -> None:
        """Takes an event into account; ignores one of an unknown kind or form."""
        try:
            if event["event"] == "start":
                self._epochs = int(event["epochs"])
                self._finished, self._now = {}, None
            elif event["event"] == "step":
                self._now = (event["epoch"] - 1 + event["step"] / event["steps"], _figures(event))
            elif event["event"] == "epoch":
                self._finished[int(event["epoch"])] = _figures(event)
                self._now = None
        except (LookupError, TypeError, ValueError, ArithmeticError):
            return

    @property
    def finished(self) -> int:
        """The number of finished epochs."""
        return len(self._finished)

    def page(self, words: str) -> str:
        """Markdown with the position in words, the curves and the last epochs; empty if there is nothing to draw."""
        if not self._finished and self._now is None:
            return ""
        picture = base64.b64encode(self._picture().encode()).decode()
        head = "| epoch | loss | accuracy | validation loss | validation accuracy |\n|---|---|---|---|---|"
        return "\n".join([f"{words}\n", f"![curves](data:image/svg+xml;base64,{picture})\n", head, *self._rows()])

    def _rows(self) -> list[str]:
        names = ("loss", "accuracy", "val_loss", "val_accuracy")
        shown = list(self._finished.items())[-_ROWS:]
        return [f"| {epoch} | {' | '.join(_number(name, found.get(name)) for name in names)} |" for epoch, found in shown[::-1]]

    def _line(self, name: str) -> Line:
        points = [(float(epoch), found[name]) for epoch, found in self._finished.items() if name in found]
        if self._now is not None and name in self._now[1]:
            points.append((self._now[0], self._now[1][name]))
        step = -(-len(points) // _POINTS) or 1
        return points if step == 1 else [*points[:-1:step], points[-1]]

    def _picture(self) -> str:
        charts = [
            _chart(0, "loss", self._line("loss"), self._line("val_loss"), self._epochs),
            _chart(_HEIGHT, "accuracy", self._line("accuracy"), self._line("val_accuracy"), self._epochs),
        ]
        size = f'width="{_WIDTH}" height="{2 * _HEIGHT}"'
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">'
            f'<rect {size} fill="white"/>{"".join(charts)}</svg>'
        )


def _figures(event: dict[str, Any]) -> dict[str, float]:
    """The finite figures of an event: a loss that overflowed cannot be drawn."""
    names = ("loss", "accuracy", "val_loss", "val_accuracy")
    found = {name: float(event[name]) for name in names if name in event}
    return {name: value for name, value in found.items() if abs(value) < 1e30}


def _number(name: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{100 * value:.1f} %" if "accuracy" in name else f"{value:.4f}"


def _chart(top: int, title: str, training: Line, validation: Line, epochs: int) -> str:
    """One chart with its axes; the scale spans all values."""
    values = [value for line in (training, validation) for _, value in line] or [0.0]
    low, high = min(values), max(values)
    spread = (high - low) or abs(high) or 1.0
    left, right = _LEFT, _WIDTH - 12
    upper, lower = top + _TOP, top + _HEIGHT - _BOTTOM
    last = max([epochs, 1, *(at for line in (training, validation) for at, _ in line)])

    def place(at: float, value: float) -> str:
        return f"{left + (right - left) * at / last:.1f},{lower - (lower - upper) * (value - low) / spread:.1f}"

    drawn = [
        f'<text x="{left}" y="{top + 18}">{title}</text>',
        f'<path d="M{left},{upper}V{lower}H{right}" fill="none" stroke="#888"/>',
        *_labels(title, low, high, (left, upper, lower)),
        f'<text x="{right}" y="{lower + 16}" text-anchor="end">epoch {last:g}</text>',
    ]
    for number, (name, line) in enumerate((("training", training), ("validation", validation))):
        drawn += _drawn(name, [place(*point) for point in line], right - 90 * (2 - number), top + 18)
    return "".join(drawn)


def _labels(title: str, low: float, high: float, place: tuple[int, int, int]) -> list[str]:
    left, upper, lower = place
    ends = {lower: low} if low == high else {lower: low, upper + 8: high}
    return [f'<text x="{left - 6}" y="{y}" text-anchor="end">{_number(title, value)}</text>' for y, value in ends.items()]


def _drawn(name: str, points: Sequence[str], x: int, y: int) -> list[str]:
    color = _COLORS[name]
    legend = f'<text x="{x}" y="{y}" fill="{color}">{name}</text>'
    dots = [
        f'<circle cx="{a}" cy="{b}" r="2.5" fill="{color}"/>' for a, _, b in (point.partition(",") for point in points[-1:])
    ]
    return [legend, f'<polyline points="{" ".join(points)}" fill="none" stroke="{color}" stroke-width="2"/>', *dots]
