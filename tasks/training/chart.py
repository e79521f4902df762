"""Line charts as SVG elements, for a page that is written many times while a network is trained.

Matplotlib draws the charts of the report. One of them takes 110 ms of processor time, and the import 430 ms: too much for a
page that is written every ten seconds beside a training. This takes half a millisecond.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

Place = tuple[float, float]

# Of the classes in a chart, for the page or the file that it is in.
STYLE = """\
  svg text { fill: currentColor; }
  svg .title { font-size: 14px; font-weight: 600; }
  svg .grid { stroke: #8884; fill: none; }
  svg .line { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
  svg .training { stroke: #4b8bd4; } svg rect.training { fill: #4b8bd4; }
  svg .validation { stroke: #e08a2e; } svg rect.validation, svg circle.validation { fill: #e08a2e; }"""
_WIDTH, _HEIGHT = 480, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 30, 34
_MOST = 400  # points of a line; more could not be told apart
_TICKS = 5
_LARGEST = 1e30  # a loss that grew further has overflowed, and differences of such numbers may be infinite


@dataclass(frozen=True)
class Line:
    """A line of a chart.

    Attributes:
        name: for the legend.
        style: the CSS class of its colour.
        places: (x, y), x increasing. Numbers that are not finite, or larger than 1e30, are left out.
        marked: whether its points are marked.
    """

    name: str
    style: str
    places: Sequence[Place]
    marked: bool = False


def draw_chart(title: str, unit: str, lines: Sequence[Line], end: float, *, from_zero: bool = False) -> str:
    """A chart over the epochs.

    Args:
        title: above the chart.
        unit: label of the horizontal axis.
        lines: those without points are left out.
        end: the right end of the horizontal axis, which starts at 0.
        from_zero: whether the vertical axis starts at 0.
    """
    lines = [Line(one.name, one.style, finite, one.marked) for one in lines if (finite := _finite(one.places))]
    heights = [y for one in lines for _, y in one.places] or [0.0, 1.0]
    ticks = _ticks(*(sorted((0.0, max(heights))) if from_zero else (min(heights), max(heights))))
    low, high = min(ticks[0], *heights), max(ticks[-1], *heights)
    end = max([end, 1e-9, *(x for one in lines for x, _ in one.places)])

    def at(x: float, y: float) -> tuple[float, float]:
        across, up = x / end, (y - low) / (high - low)
        return _LEFT + across * (_WIDTH - _LEFT - _RIGHT), _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM)

    said = "; ".join(f"{one.name} {one.places[-1][1]:.4g}" for one in lines) or "no point yet"
    parts = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(f"{title}: {said}")}">']
    parts.append(f'<text class="title" x="{_LEFT}" y="16">{escape(title)}</text>')
    for tick in ticks:
        x, y = at(0, tick)
        parts.append(f'<path class="grid" d="M{x:.1f} {y:.1f}H{_WIDTH - _RIGHT}"/>')
        parts.append(f'<text x="{x - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">{tick:.4g}</text>')
    for tick in _whole_ticks(end):
        x, y = at(tick, low)
        parts.append(f'<text x="{x:.1f}" y="{y + 15:.1f}" text-anchor="middle">{tick}</text>')
    parts.append(f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 4}" text-anchor="end">{escape(unit)}</text>')
    parts.extend(_drawn(one, [at(x, y) for x, y in thinned(one.places)]) for one in lines)
    parts.extend(_legend(lines))
    return "\n".join([*parts, "</svg>"])


def standalone(chart: str) -> str:
    """A chart as an SVG file of its own, on white."""
    style = f"<style>svg {{ background: white; font: 11px system-ui, sans-serif; }}\n{STYLE}</style>"
    head, _, content = chart.partition(">")
    size = f' xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}"'
    return f"{head}{size}>{style}{content}"


def thinned(places: Sequence[Place], most: int = _MOST) -> list[Place]:
    """At most so many places, evenly spread, among them the first and the last one."""
    if len(places) <= most:
        return list(places)
    return [places[round(number * (len(places) - 1) / (most - 1))] for number in range(most)]


def _finite(places: Sequence[Place]) -> list[Place]:
    return [(x, y) for x, y in places if abs(x) < _LARGEST and abs(y) < _LARGEST]  # False for NaN


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers that enclose the values: multiples of 1, 2 or 5 times a power of ten."""
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        low, high = low - (abs(low) / 10 or 1.0), high + (abs(high) / 10 or 1.0)
    rough = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, last + 1)]


def _whole_ticks(end: float) -> list[int]:
    """Some whole numbers from 0 to the end."""
    step = next(step for power in range(12) for step in (10**power, 2 * 10**power, 5 * 10**power) if end / step <= 10)
    return list(range(0, math.floor(end) + 1, step))


def _drawn(line: Line, spots: list[tuple[float, float]]) -> str:
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in spots)
    drawn = f'<path class="line {line.style}" d="{path}"/>'
    if line.marked and len(spots) <= 100:
        drawn += "".join(f'<circle class="{line.style}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in spots)
    return drawn


def _legend(lines: Sequence[Line]) -> list[str]:
    """The names of the lines at the top right, if there is more than one."""
    if len(lines) < 2:
        return []
    return [
        f'<rect class="{one.style}" x="{_WIDTH - 100}" y="{5 + 14 * number}" width="10" height="10"/>'
        f'<text x="{_WIDTH - 86}" y="{14 + 14 * number}">{escape(one.name)}</text>'
        for number, one in enumerate(lines)
    ]
