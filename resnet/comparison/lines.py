"""The geometry of line drawings of several runs: curves over epochs, and parallel coordinates of parameters.

A template makes SVG of them. Every run has one line, of its own colour and dashes. Up to ten lines have the number of their run
at the end, joined to the dot at the last point by a short leader.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from resnet.pictures.pages import as_yaml

WIDTH, HEIGHT = 340, 300  # of a drawing of curves, in pixels
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 42, 10, 34  # what the labels of the axes and of the lines take
_LABEL = 13  # the height of a label
_GAP = 130  # between two parallel axes
_HEAD = 44  # above them, for their names
_LOGARITHMIC = 10  # numbers that differ by at least this factor have a logarithmic axis
_LONGEST = 14  # characters of a value beside an axis
_LABELLED = 10  # lines with a label; the labels of more would be far from their lines
_LEADER = 12  # between the end of a curve and its label
_WIDE = 40  # curves that end within this distance could have labels that cover each other
_APART = 3  # between lines with equal values on an axis


@dataclass(frozen=True)
class Line:
    """The line of a run.

    Attributes:
        run: the number of the run, from 1.
        points: the `points` of an SVG polyline.
        end: the x and y of its last point.
        label: the x and y of its label, which no other label covers; None with so many lines that they have no labels.
    """

    run: int
    points: str
    end: tuple[float, float]
    label: tuple[float, float] | None


@dataclass(frozen=True)
class Curves:
    """Curves over epochs.

    Attributes:
        lines: a line for each run with an epoch.
        epochs: the ticks of the x axis: x and text.
        values: the ticks of the y axis: y and text.
    """

    lines: list[Line]
    epochs: list[tuple[float, str]]
    values: list[tuple[float, str]]


@dataclass(frozen=True)
class Axis:
    """One of several parallel axes.

    Attributes:
        x: its place.
        section: the first part of the name, which ends with a dot, or nothing.
        name: the rest of it.
        ticks: y, the text and the full text of its values, without those whose labels would cover others.
    """

    x: float
    section: str
    name: str
    ticks: list[tuple[float, str, str]]


@dataclass(frozen=True)
class Parallel:
    """Parallel coordinates.

    Attributes:
        width: of the drawing, in pixels.
        height: of the drawing, in pixels.
        axes: the axes from left to right.
        lines: a line for each run.
    """

    width: int
    height: int
    axes: list[Axis]
    lines: list[Line]


def curves(histories: Sequence[Sequence[Mapping[str, float]]], column: str, most: float = math.inf) -> Curves | None:
    """The curves of a column of the histories of several runs; None if no run has a finite value.

    Args:
        histories: for each run its epochs, with the columns epoch and `column`.
        column: the name of the column.
        most: the largest value that is possible; no tick is above it.
    """
    from matplotlib.ticker import MaxNLocator  # here, because the text of a comparison needs no Matplotlib

    series = [[(row["epoch"], row[column]) for row in history if math.isfinite(row[column])] for history in histories]
    points = [point for run in series for point in run]
    if not points:
        return None
    first, last = min(epoch for epoch, _ in points), max(epoch for epoch, _ in points)
    ticks = MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(
        min(value for _, value in points), max(value for _, value in points)
    )
    values = [float(tick) for tick in ticks if tick <= most]
    low, high = values[0], min(float(ticks[-1]), most)

    def place(epoch: float, value: float) -> tuple[float, float]:
        along = (epoch - first) / (last - first) if last > first else 0.5
        return _LEFT + along * (WIDTH - _LEFT - _RIGHT), HEIGHT - _BOTTOM - (value - low) / (high - low) * (
            HEIGHT - _TOP - _BOTTOM
        )

    drawn = {number: [place(*point) for point in run] for number, run in enumerate(series, 1) if run}
    epochs = MaxNLocator(6, integer=True).tick_values(first, last) if last > first else [first]
    return Curves(
        lines=_lines(drawn, _TOP, HEIGHT - _BOTTOM, _LEADER),
        epochs=[(place(epoch, low)[0], f"{epoch:g}") for epoch in epochs if first <= epoch <= last],
        values=[(place(first, value)[1], f"{value:g}") for value in values],
    )


def parallel(columns: Mapping[str, Sequence[Any]]) -> Parallel:
    """Parallel coordinates.

    Args:
        columns: by name, the values of the runs: the axes from left to right.
    """
    runs = len(next(iter(columns.values())))
    height = max(260, _HEAD + 20 + _LABEL * runs)
    top, bottom = _HEAD + 14, height - 14
    axes, places = [], []
    for number, (name, values) in enumerate(columns.items()):
        shares, texts = _scale(values)
        ys = [bottom - share * (bottom - top) for share in shares]
        section, dot, rest = name.rpartition(".")
        axes.append(Axis(40 + number * _GAP, section + dot, rest, _ticks(ys, texts)))
        places.append(_side_by_side(ys))
    drawn = {run + 1: [(axis.x, ys[run]) for axis, ys in zip(axes, places, strict=True)] for run in range(runs)}
    return Parallel(round(axes[-1].x + _GAP), height, axes, _lines(drawn, top, bottom, _GAP - 36))


def _scale(values: Sequence[Any]) -> tuple[list[float], list[str]]:
    """The place of each value from 0 to 1, and its text: to scale if all are numbers, otherwise evenly spaced."""
    texts = [as_yaml(value) for value in values]
    if all(isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) for value in values):
        numbers = [float(value) for value in values]
        if min(numbers) > 0 and max(numbers) / min(numbers) >= _LOGARITHMIC:
            numbers = [math.log(value) for value in numbers]
        low, high = min(numbers), max(numbers)
        return [(value - low) / (high - low) if high > low else 0.5 for value in numbers], texts
    distinct = list(dict.fromkeys(texts))
    return [distinct.index(text) / (len(distinct) - 1) if len(distinct) > 1 else 0.5 for text in texts], texts


def _side_by_side(places: Sequence[float]) -> list[float]:
    """The places on an axis, with equal ones slightly apart so that no line covers another."""
    moved = list(places)
    for place in set(places):
        runs = [run for run, other in enumerate(places) if other == place]
        step = min(_APART, 20 / len(runs))
        for number, run in enumerate(runs):
            moved[run] += step * (number - (len(runs) - 1) / 2)
    return moved


def _ticks(places: Sequence[float], texts: Sequence[str]) -> list[tuple[float, str, str]]:
    """The lowest and the highest value, and those between them that have room for a label."""
    found = dict(sorted(zip(places, texts, strict=True)))
    last = max(found)
    shown: list[tuple[float, str, str]] = []
    for place, text in found.items():
        if not shown or place == last or (place - shown[-1][0] >= _LABEL and last - place >= _LABEL):
            shown.append((place, text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}\u2026", text))
    return shown


def _lines(drawn: Mapping[int, Sequence[tuple[float, float]]], top: float, bottom: float, leader: float) -> list[Line]:
    """The lines, with labels between two heights, `leader` to the right of their ends."""
    labels: dict[int, float] = {}
    for group in _that_end_together(drawn) if len(drawn) <= _LABELLED else []:
        labels |= _labels({run: drawn[run] for run in group}, top, bottom)
    return [
        Line(
            run,
            " ".join(f"{x:.1f},{y:.1f}" for x, y in points),
            points[-1],
            (points[-1][0] + leader, labels[run]) if run in labels else None,
        )
        for run, points in drawn.items()
    ]


def _that_end_together(drawn: Mapping[int, Sequence[tuple[float, float]]]) -> list[list[int]]:
    """The runs in groups, by the x of the ends of their lines."""
    groups: list[list[int]] = []
    for run in sorted(drawn, key=lambda run: drawn[run][-1][0]):
        if groups and drawn[run][-1][0] - drawn[groups[-1][-1]][-1][0] < _WIDE:
            groups[-1].append(run)
        else:
            groups.append([run])
    return groups


def _labels(drawn: Mapping[int, Sequence[tuple[float, float]]], top: float, bottom: float) -> dict[int, float]:
    """The heights of labels, near the ends of the lines."""
    order = sorted(drawn, key=lambda run: (drawn[run][-1][1], run))
    labels: dict[int, float] = {}
    lowest = top - _LABEL
    for run in order:
        lowest = labels[run] = max(drawn[run][-1][1], lowest + _LABEL)
    highest = bottom + _LABEL
    for run in reversed(order):
        highest = labels[run] = min(labels[run], highest - _LABEL)
    return labels
