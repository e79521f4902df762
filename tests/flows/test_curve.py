"""The page of a training run: its picture, which must be valid SVG, and its table."""

import base64
import re
from typing import Any
from xml.etree import ElementTree

import pytest

from flows.curve import Curve

SVG = "{http://www.w3.org/2000/svg}"
START = {"event": "start", "epochs": 4}


def epoch(number: int, loss: float = 0.5, **more: float) -> dict[str, Any]:
    return {"event": "epoch", "epoch": number, "loss": loss, "accuracy": 0.75, "val_loss": 0.25, "val_accuracy": 0.875, **more}


def step(number: int, at: int) -> dict[str, Any]:
    return {"event": "step", "epoch": number, "step": at, "steps": 10, "loss": 0.4, "accuracy": 0.8}


def seen(*events: dict[str, Any]) -> Curve:
    curve = Curve()
    for event in events:
        curve.see(event)
    return curve


def picture(page: str) -> ElementTree.Element:
    found = re.findall(r"!\[curves\]\(data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)\)", page)
    assert len(found) == 1
    return ElementTree.fromstring(base64.b64decode(found[0]).decode())


def lines(page: str) -> list[list[tuple[float, float]]]:
    """The points of the four lines: training and validation, of the loss and of the accuracy."""
    drawn = picture(page).findall(f"{SVG}polyline")
    return [[(float(x), float(y)) for x, y in (point.split(",") for point in line.attrib["points"].split())] for line in drawn]


def test_there_is_no_page_before_the_first_figures() -> None:
    assert seen().page("x") == seen(START).page("x") == ""


def test_the_lines_follow_the_figures() -> None:
    page = seen(START, epoch(1, loss=2.0), epoch(2, loss=1.0), step(3, 5)).page("epoch 3 of 4, step 5 of 10")
    assert page.startswith("epoch 3 of 4, step 5 of 10\n")
    training, validation, accuracy, validation_accuracy = lines(page)
    assert [len(line) for line in (training, validation, accuracy, validation_accuracy)] == [3, 2, 3, 2]
    first, second, third = (x for x, _ in training)
    assert third - second == pytest.approx((second - first) / 2, abs=0.2)  # half an epoch
    heights = [y for _, y in training]
    assert heights == sorted(heights)  # y grows downwards, and the loss fell
    texts = [text.text for text in picture(page).findall(f"{SVG}text")]
    assert {"loss", "accuracy", "training", "validation", "epoch 4", "2.0000", "0.2500", "87.5 %", "75.0 %"} <= set(texts)


def test_the_table_has_the_last_ten_epochs_newest_first() -> None:
    rows = seen(START, *map(epoch, range(1, 13))).page("x").splitlines()[-10:]
    assert rows[0] == "| 12 | 0.5000 | 75.0 % | 0.2500 | 87.5 % |"
    assert [int(row.split("|")[1]) for row in rows] == list(range(12, 2, -1))


def test_a_resumed_run_is_recorded_again_from_its_start() -> None:
    curve = seen(START, epoch(1), epoch(2), step(3, 5), START, epoch(1), epoch(2))
    assert curve.finished == 2
    assert len(lines(curve.page("x"))[0]) == 2


@pytest.mark.parametrize("event", [{}, {"event": "new"}, {"event": "epoch"}, {"event": "step", "epoch": 1}, {"event": "start"}])
def test_unknown_events_are_ignored(event: dict[str, Any]) -> None:
    assert seen(START, epoch(1), event).finished == 1


def test_figures_that_are_not_finite_are_left_out() -> None:
    page = seen(START, epoch(1, loss=float("nan")), epoch(2, loss=float("inf")), epoch(3)).page("x")
    assert [len(line) for line in lines(page)] == [1, 3, 3, 3]
    assert "nan" not in page
    assert "| 1 |  | 75.0 % | 0.2500 | 87.5 % |" in page


def test_a_constant_is_a_line_and_a_long_run_has_a_limited_picture() -> None:
    page = seen({"event": "start", "epochs": 100_000}, *map(epoch, range(1, 100_001, 5))).page("x")
    assert len(page) < 60_000
    assert {y for _, y in lines(page)[2]} == {lines(page)[2][0][1]}
