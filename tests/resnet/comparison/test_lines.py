"""The geometry of curves and of parallel coordinates."""

import math
from itertools import pairwise

import pytest

from resnet.comparison.lines import HEIGHT, WIDTH, Line, curves, parallel


def history(*losses: float) -> list[dict[str, float]]:
    return [{"epoch": epoch, "val_loss": loss} for epoch, loss in enumerate(losses, 1)]


def corners(line: Line) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in (point.split(",") for point in line.points.split())]


def test_a_higher_value_is_higher_and_a_later_epoch_further_right() -> None:
    found = curves([history(3, 1), history(2, 2, 2)], "val_loss")
    assert found is not None
    (first, second) = (corners(line) for line in found.lines)
    assert first[0][1] < second[0][1] == second[1][1] < first[1][1]
    assert first[0][0] == second[0][0] < first[1][0] < second[2][0]
    ticks = {text: y for y, text in found.values}
    assert first[1][1] == pytest.approx(ticks["1"], abs=0.06)
    assert [text for _, text in found.epochs] == ["1", "2", "3"] or {"1", "2", "3"} <= {text for _, text in found.epochs}


def test_no_label_covers_another_and_all_are_within_the_drawing() -> None:
    found = curves([history(5, 1 + number / 1000) for number in range(10)], "val_loss")
    assert found is not None
    labels = sorted(line.label[1] for line in found.lines if line.label is not None)
    assert len(labels) == 10
    assert all(below - above >= 12.5 for above, below in pairwise(labels))  # the height of the text
    assert labels[0] > 0
    assert labels[-1] <= HEIGHT
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for line in found.lines for x, y in corners(line))
    many = curves([history(5, 1)] * 11, "val_loss")
    assert many is not None
    assert {line.label for line in many.lines} == {None}


def test_a_label_is_beside_the_end_of_its_curve() -> None:
    found = curves([history(5, 3), history(5, 3.01), history(5, 4, 3, 2, 2, 2, 2, 2, 2, 1)], "val_loss")
    assert found is not None
    ends = {line.run: corners(line)[-1] for line in found.lines}
    labels = {line.run: line.label for line in found.lines if line.label is not None}
    assert sorted(labels) == [1, 2, 3]
    assert all(0 < labels[run][0] - ends[run][0] <= 15 for run in labels)
    assert abs(labels[1][1] - labels[2][1]) >= 12.5
    assert labels[3][1] == pytest.approx(ends[3][1], abs=0.06)


def test_runs_without_finite_values_have_no_line() -> None:
    found = curves([history(math.nan, math.inf), history(2, math.nan, 1), []], "val_loss")
    assert found is not None
    assert [line.run for line in found.lines] == [2]
    assert len(corners(found.lines[0])) == 2
    assert curves([[], history(math.nan)], "val_loss") is None


@pytest.mark.parametrize("values", [(0.4, 1.0), (1.0,), (0.999, 1.0, 1.0), (0.0,)])
def test_shares_have_no_tick_above_one(values: tuple[float, ...]) -> None:
    found = curves([history(*values)], "val_loss", most=1)
    assert found is not None
    assert max(float(text) for _, text in found.values) <= 1
    assert all(0 <= y <= HEIGHT for _, y in corners(found.lines[0]))


def test_numbers_are_to_scale_and_texts_evenly_spaced() -> None:
    drawn = parallel({"train.epochs": [10, 20, 40], "train.rate": [0.001, 0.01, 0.1], "optimizer": ["sgd", "adam", None]})
    heights = [[y for _, y in corners(line)] for line in drawn.lines]
    low, middle, high = (run[0] for run in heights)
    assert (low - middle) * 2 == pytest.approx(middle - high, abs=0.3)
    low, middle, high = (run[1] for run in heights)
    assert low - middle == pytest.approx(middle - high, abs=0.3)  # a factor of ten each
    low, middle, high = (run[2] for run in heights)
    assert low - middle == pytest.approx(middle - high, abs=0.3)
    assert [(axis.section, axis.name) for axis in drawn.axes] == [
        ("train.", "epochs"),
        ("train.", "rate"),
        ("", "optimizer"),
    ]
    assert {text for _, text, _ in drawn.axes[2].ticks} == {"sgd", "adam", "null"}


def test_lines_with_equal_values_are_side_by_side() -> None:
    drawn = parallel({"train.epochs": [10, 10, 10, 20]})
    ends = [line.end[1] for line in drawn.lines]
    assert len(set(ends)) == 4
    assert max(ends[:3]) - min(ends[:3]) <= 20


def test_a_long_value_is_shortened_and_close_ones_have_no_label() -> None:
    drawn = parallel({"ingest.source": ["/a/long/path/of/photographs", "x"], "train.rate": [0.1, 0.5]})
    assert ("/a/long/path/\u2026", "/a/long/path/of/photographs") in [tick[1:] for tick in drawn.axes[0].ticks]
    close = parallel({"train.rate": [0.1, 0.1001, 0.1002, 0.5]})
    assert [text for _, text, _ in close.axes[0].ticks] == ["0.5", "0.1"]
