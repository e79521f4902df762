"""The page of a training run in Prefect: its pictures, which must be valid SVG on their own, and its table."""

import base64
import re
from typing import Any
from xml.etree import ElementTree

import pytest

from flows.curve import Curve

SVG = "{http://www.w3.org/2000/svg}"
START = {"event": "start", "time": 1.0, "epochs": 4, "steps": 10, "epoch": 1, "step": 0}
FIGURES = {"loss": 0.5, "accuracy": 0.75, "learning_rate": 0.01, "images_per_second": 9.0}


def epoch(number: int, **more: float) -> dict[str, Any]:
    validation = {"val_loss": 0.25, "val_accuracy": 0.875}
    return {"event": "epoch", "time": 1.0 + number, "epoch": number, "seconds": 1.0} | FIGURES | validation | more


def step(number: int, at: int) -> dict[str, Any]:
    return {"event": "step", "time": 1.0 + number, "epoch": number, "step": at, "steps": 10} | FIGURES


def seen(*events: dict[str, Any]) -> Curve:
    curve = Curve()
    for event in events:
        curve.see(event)
    return curve


def pictures(page: str) -> list[ElementTree.Element]:
    found = re.findall(r"!\[curves\]\(data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)\)", page)
    return [ElementTree.fromstring(base64.b64decode(one).decode()) for one in found]


def points(picture: ElementTree.Element, name: str) -> int:
    """The number of points of the line of this name."""
    drawn = [path for path in picture.findall(f"{SVG}path") if path.attrib["class"] == f"line {name}"]
    return sum(len(path.attrib["d"].split("L")) for path in drawn)


def test_there_is_no_page_before_the_first_figures() -> None:
    assert seen().page("x") == seen(START).page("x") == ""


def test_there_are_two_pictures_that_need_no_style_of_a_page() -> None:
    page = seen(START, step(1, 5), step(1, 10), epoch(1), step(2, 5)).page("epoch 2 of 4, step 5 of 10")
    assert page.startswith("epoch 2 of 4, step 5 of 10\n")
    loss, accuracy = pictures(page)
    titles = [[text.text for text in one.findall(f"{SVG}text") if text.get("class") == "title"] for one in (loss, accuracy)]
    assert titles == [["Loss (nats)"], ["Accuracy"]]
    assert [points(loss, "training"), points(loss, "validation")] == [3, 1]
    style = loss.findtext(f"{SVG}style", "")
    assert all(rule in style for rule in ("svg .training", "svg .validation", "background: white"))
    assert loss.attrib.keys() >= {"width", "height", "viewBox"}


def test_the_table_has_the_last_ten_epochs_newest_first() -> None:
    rows = seen({**START, "epochs": 12}, *map(epoch, range(1, 13))).page("x").splitlines()[-10:]
    assert rows[0] == "| 12 | 0.5000 | 75.0 % | 0.2500 | 87.5 % |"
    assert [int(row.split("|")[1]) for row in rows] == list(range(12, 2, -1))


def test_a_resumed_run_is_recorded_again_from_its_start() -> None:
    curve = seen(START, epoch(1), epoch(2), step(3, 5), {**START, "epoch": 2}, epoch(2))
    assert curve.finished == 2
    assert points(pictures(curve.page("x"))[0], "validation") == 2


@pytest.mark.parametrize("event", [{}, {"event": "new"}, {"event": "epoch"}, {"event": "step", "epoch": 1}, {"event": "start"}])
def test_unknown_events_are_ignored(event: dict[str, Any]) -> None:
    assert seen(START, epoch(1), event).finished == 1


def test_figures_that_are_not_finite_are_not_drawn() -> None:
    page = seen(START, epoch(1, loss=float("nan")), epoch(2, loss=float("inf")), epoch(3)).page("x")
    loss, accuracy = pictures(page)
    assert [points(loss, "training"), points(accuracy, "training")] == [1, 3]
    assert "nan" not in ElementTree.tostring(loss, "unicode")


def test_a_long_run_has_a_limited_page() -> None:
    page = seen({**START, "epochs": 100_000}, *map(epoch, range(1, 100_001, 5))).page("x")
    assert len(page) < 60_000
