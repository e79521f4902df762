"""The page of a run in a browser."""

import html
import re
from pathlib import Path
from typing import Any

import pytest

from tasks.training.page import render_page, seconds_left
from tasks.training.points import Points
from tests.browser import CHROMIUM, Tab

ABOUT = {"parameters that differ from the commit": "train.learning_rate=0.01", "folder": "/home/<me>/project" + "x" * 90}


def points(epochs: int = 3, *, steps: int = 2, end: str = "", name: str = "<b>hot</b>\u202e") -> Points:
    """A run of 10 epochs that has done `epochs` epochs, each in 20 s, and half of the next."""
    found = Points()
    start = {"epochs": 10, "steps": steps, "precision": "bfloat16", "devices": ["CPU"], "name": name, "about": ABOUT}
    found.see({"event": "start", "time": 1000.0, "epoch": 1, "step": 0, **start})
    for epoch in range(1, epochs + 2):
        figures: dict[str, Any] = {
            "loss": 1 / epoch,
            "accuracy": 1 - 0.5 / epoch,
            "learning_rate": 0.001,
            "images_per_second": 417.4,
        }
        for step in range(1, steps + 1 if epoch <= epochs else steps // 2 + 1):
            moment = 1000 + 20 * (epoch - 1 + step / steps)
            found.see({"event": "step", "time": moment, "epoch": epoch, "step": step, "steps": steps, **figures})
        if epoch <= epochs:
            more = {"val_loss": 2 / epoch, "val_accuracy": 1 - 0.4 / epoch, "seconds": 20.0}
            found.see({"event": "epoch", "time": 1000.0 + 20 * epoch, "epoch": epoch, **figures, **more})
    if end:
        found.see(
            {"event": "end", "time": 2000.0, "outcome": end, "message": "ended by SIGTERM at epoch 4" * (end != "finished")}
        )
    return found


def text(page: str) -> str:
    return html.unescape(re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", page.partition("<body>")[2])))


def test_the_page_says_where_the_run_is() -> None:
    shown = text(render_page(points(), 1070.0, running=True))
    assert "epoch 4 of 10, step 1 of 2 \u00b7 417 images/s \u00b7 about 0:02:10 left" in shown  # 6.5 epochs of 20 s
    assert "lowest validation loss 0.6667 after epoch 3 \u00b7 validation accuracy then 86.67 %" in shown
    assert "35.0%" in shown
    assert "train.learning_rate=0.01" in shown
    assert "<b>hot</b>\\u202e" in shown


@pytest.mark.parametrize(
    ("end", "headline"),
    [("finished", "Training finished"), ("interrupted", "Training interrupted"), ("failed", "Training failed")],
)
def test_only_the_page_of_a_running_run_loads_itself_again(end: str, headline: str) -> None:
    refresh = '<meta http-equiv="refresh"'
    assert refresh in render_page(points(), 1070.0, running=True)
    page = render_page(points(end=end), 1070.0, running=False)
    assert refresh not in page
    assert text(page).startswith(f" {headline} ")
    assert ("ended by SIGTERM" in page) == (end != "finished")
    killed = render_page(points(), 1070.0, running=False, outcome="killed")
    assert refresh not in killed
    assert "Training killed" in killed


def test_before_the_first_step_it_waits() -> None:
    empty = Points()
    empty.see({"event": "start", "time": 1.0, "epoch": 1, "step": 0, "epochs": 2, "steps": 3, "name": "a", "about": {}})
    assert "Waiting for the first step" in render_page(empty, 2.0, running=True)


def test_the_time_left_follows_the_steps_in_the_first_epoch() -> None:
    assert seconds_left(points(0, steps=10), 9.5) == pytest.approx(190.0)
    assert seconds_left(points(0, steps=2), 9.5) is None


def resumed(now: float) -> Points:
    """A run that is resumed after five of ten steps of 1 s, at a time before or after them, and does two more."""
    found = Points()
    step = {
        "event": "step",
        "epoch": 1,
        "steps": 10,
        "loss": 1.0,
        "accuracy": 0.5,
        "learning_rate": 0.1,
        "images_per_second": 9.0,
    }
    start = {"event": "start", "time": now, "epoch": 1, "step": 5, "epochs": 2, "steps": 10, "name": "a", "about": {}}
    for event in (*({**step, "step": n, "time": 1000.0 + n} for n in range(1, 6)), start):
        found.see(event)
    for number in (6, 7):
        found.see({**step, "step": number, "time": now + number})
    return found


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ({"epoch": 4, "step": 1}, "resumed from epoch 4, step 1"),
        ({"epoch": 11, "step": 0, "ended": True}, "resumed after epoch 10, the last one; only the results are written"),
    ],
)
def test_the_page_says_where_the_run_was_taken_up(start: dict[str, Any], expected: str) -> None:
    found = points(10)
    found.see({**found.start, **start})
    assert expected in text(render_page(found, 1.0, running=True))
    assert "epoch 11" not in text(render_page(found, 1.0, running=True))


@pytest.mark.parametrize("now", [500.0, 1000.0, 5000.0])
def test_a_clock_that_is_set_back_before_a_resume_does_not_matter(now: float) -> None:
    assert seconds_left(resumed(now), 1.3) == pytest.approx(13.0)


def test_a_clock_that_is_set_back_within_a_run_hides_the_time_left() -> None:
    found = resumed(500.0)
    found.see({**found.steps[-1], "step": 8, "time": 1.0})
    assert seconds_left(found, 1.2) is None
    assert "left" not in text(render_page(found, 1.0, running=True))


def test_a_time_left_of_any_length_can_be_shown() -> None:
    found = points(3)
    found.see({**found.epochs[-1], "seconds": 1e9})
    found.see({**found.start, "epochs": 10**9, "epoch": 4, "step": 0})
    found.see({**found.epochs[-1], "epoch": 5, "seconds": 1e9})
    assert "about 11574074 days" in text(render_page(found, 1.0, running=True))


def test_it_has_no_script_and_may_load_nothing() -> None:
    page = render_page(points(), 1070.0, running=True)
    assert "<script" not in page
    assert "default-src 'none'; style-src 'unsafe-inline'" in page
    assert not re.findall(r'(?:src|href)="', page)


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
def test_a_browser_shows_it_without_complaint_and_nothing_overflows_a_narrow_screen(tmp_path: Path, tab: Tab) -> None:
    """The page itself, then the page in a frame of 360 pixels, which a page around it measures."""
    page = render_page(points(9, steps=60), 1070.0, running=False)
    (tmp_path / "index.html").write_text(page, encoding="utf-8")
    tab.open(tmp_path / "index.html")
    assert tab.document().count("<svg") == 4
    assert tab.messages == []
    frame = f'<iframe width="360" height="800" style="border:0" srcdoc="{html.escape(page)}"></iframe>'
    script = (
        "onload = () => { const page = document.querySelector('iframe').contentDocument;"
        "document.title = [page.documentElement, page.querySelector('.scroll')]"
        ".map(box => `${box.scrollWidth} of ${box.clientWidth}`).join(); }"
    )
    (tmp_path / "frame.html").write_text(f"<!doctype html><title></title>{frame}<script>{script}</script>", encoding="utf-8")
    tab.open(tmp_path / "frame.html")
    for measured in tab.ask("document.title").split(","):
        needed, available = map(int, measured.split(" of "))
        assert needed <= available <= 360
