"""Line charts as SVG."""

import math
import re
from xml.etree import ElementTree

import pytest

from tasks.training.chart import Line, _ticks, draw_chart, thinned


def numbers(text: str) -> list[list[float]]:
    return [[float(part) for part in pair.split()] for pair in re.split("[ML]", text) if pair]


def test_a_line_goes_from_the_left_below_to_the_right_above() -> None:
    svg = draw_chart("Loss", "epoch", [Line("training", "training", [(0.0, 0.0), (1.0, 0.5), (2.0, 1.0)])], 2)
    root = ElementTree.fromstring(svg)
    (line,) = (one.get("d") for one in root.iter("path") if one.get("class") == "line training")
    first, middle, last = numbers(str(line))
    _, _, width, height = map(float, str(root.get("viewBox")).split())
    assert 0 < first[0] < middle[0] < last[0] < width
    assert height > first[1] > middle[1] > last[1] > 0
    assert middle == pytest.approx([(first[0] + last[0]) / 2, (first[1] + last[1]) / 2], abs=0.1)
    assert root.get("aria-label") == "Loss: training 1"


@pytest.mark.parametrize("heights", [(1e308, -1e308), (-1e308, 1.0), (-5.0, -4.0)])
@pytest.mark.parametrize("from_zero", [True, False])
def test_odd_values_are_no_error(heights: tuple[float, float], from_zero: bool) -> None:
    assert "nan" not in draw_chart("x", "epoch", [Line("a", "training", list(enumerate(heights)))], 4, from_zero=from_zero)


def test_values_that_are_not_finite_and_no_values_at_all_are_no_error() -> None:
    broken = Line("a", "training", [(1.0, math.nan), (2.0, math.inf), (3.0, 5.0)])
    assert "nan" not in draw_chart("x", "epoch", [broken], 4)
    assert "no point yet" in draw_chart("x", "epoch", [Line("a", "b", [])], 10)
    assert "aria-label" in draw_chart("x", "epoch", [Line("a", "b", [(0.0, 0.0)])], 0)


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.0, 1.0, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.13, 2.3, [0, 0.5, 1.0, 1.5, 2.0, 2.5]),
        (0.0, 0.002, [0, 0.0005, 0.001, 0.0015, 0.002]),
        (3.0, 3.0, [2.7, 2.8, 2.9, 3.0, 3.1, 3.2, 3.3]),
    ],
)
def test_ticks_are_round_and_enclose_the_values(low: float, high: float, ticks: list[float]) -> None:
    found = _ticks(low, high)
    assert found[0] <= low <= high <= found[-1]
    assert found == pytest.approx(ticks) or len(found) in range(4, 9)


def test_long_lines_are_thinned_and_keep_their_ends() -> None:
    places = [(float(number), 0.0) for number in range(10_001)]
    kept = thinned(places, 101)
    assert kept == [(float(number), 0.0) for number in range(0, 10_001, 100)]
    assert thinned(places[:3]) == places[:3]
