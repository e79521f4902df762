"""The pages as people see them, in a browser: on a phone, a tablet and a desktop, light and dark, and on paper."""

import io
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from resnet.audit.page import render_audit
from resnet.comparison.page import render_comparison
from resnet.comparison.runs import render_runs
from resnet.comparison.search import render_search
from resnet.pictures.data_report import render_data_report
from resnet.pictures.report import Results, render_report
from tests.browser import CHROMIUM, Tab
from tests.imports import ROOT
from tests.pictures import picture
from tests.resnet.audit.test_page import audit
from tests.resnet.comparison.test_page import comparison as of_two
from tests.resnet.comparison.test_runs import run
from tests.resnet.comparison.test_search import search
from tests.resnet.pictures.test_data_report import data_set, many
from tests.resnet.pictures.test_report import results
from tests.resnet.pictures.test_report_of_sets import results_of_sets

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
PROBE = (ROOT / "tests/probe.js").read_text("utf-8")
WIDTHS = (360, 768, 1280)
KINDS = ("warbler", "great spotted woodpecker (juvenile)", "dog" * 20, "hummingbird")


@cache
def report(classes: int) -> str:
    sides = {3: 32, 12: 96, 120: 64}
    names = [f"{KINDS[number % len(KINDS)]} {number}" for number in range(classes)]
    return render_report(with_a_long_source(results(names, max(60, 3 * classes), samples=6, side=sides[classes])))


def of_clothes() -> str:
    """Ten classes whose names are longer than digits, so that the matrix has no room beside the list of confusions."""
    names = ["dress", "hat", "longsleeve", "outwear", "pants", "shirt", "shoes", "undershirt", "skirt", "t-shirt"]
    return render_report(with_a_long_source(results(names, 344, samples=6, side=64)))


def of_sets(classes: int) -> str:
    names = [f"{KINDS[number % len(KINDS)]} {number}" for number in range(classes)]
    return render_report(with_a_long_source(results_of_sets(names, max(60, 3 * classes), samples=6, side=64)))


def with_a_long_source(found: Results) -> Results:
    return replace(found, parameters={**found.parameters, "ingest": {"source": "/data/" + 3 * "photographs_of_clothes_"}})


def data(classes: int) -> str:
    images = [
        pair
        for number in range(classes)
        for pair in many(f"{KINDS[number % len(KINDS)]} {number}", 2, 1, 1 + number % 5, height=20 + number)
    ]
    kind: dict[str, Any] = (
        {"kind": "JPEG", "size": (96, 40 + classes // 4)} if classes > 3 else {"kind": "JPEG", "size": (8, 8)}
    )
    thumbnails = {entry["path"]: picture(number, **kind) for number, (entry, _) in enumerate(images)}
    first, second = images[0][0]["path"], images[3][0]["path"]
    return render_data_report(
        data_set(
            images,
            thumbnails=thumbnails,
            near_duplicates=[(first, "training", second, "test", 1)],
            duplicates=[(f"{first} copy", first)],
            rejected=[("a/x.png", "truncated", "the image data ends early")],
        )
    )


def comparison(runs: int) -> str:
    return render_runs(
        [run(place, gained=place, lost=1, **{"train.epochs": place, "train.optimizer": "sgd"}) for place in range(1, runs + 1)]
    )


def of_runs_on_sets() -> str:
    return render_runs(
        [
            replace(one, measure="exact-match accuracy", metrics={**one.metrics, "mean_average_precision": 0.875})
            for one in (run(place, gained=place, lost=1, **{"train.epochs": place}) for place in range(1, 5))
        ]
    )


def of_two_runs() -> str:
    return render_comparison(replace(of_two(3, 2), histories=[run(1).history] * 2))


def of_labels(suspects: int) -> str:
    return render_audit(audit(suspects, list(KINDS)))


PAGES: dict[str, Callable[[], str]] = {
    **{f"audit with {suspects} suspects": partial(of_labels, suspects) for suspects in (0, 30)},
    "report of clothes": of_clothes,
    **{f"report of {classes} classes": partial(report, classes) for classes in (3, 12, 120)},
    **{f"report of sets of {classes} classes": partial(of_sets, classes) for classes in (4, 30)},
    **{f"data of {classes} classes": partial(data, classes) for classes in (3, 12, 120)},
    "comparison of 20 runs": partial(comparison, 20),
    "comparison of two runs": of_two_runs,
    "comparison of 4 runs on sets": of_runs_on_sets,
    "search of 30 trials": lambda: render_search(search(30, running=True)),
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_readable_on_every_screen(name: str, tab: Tab, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(PAGES[name](), encoding="utf-8")
    tab.open(page)
    for width in WIDTHS:
        tab.resize(width)
        for dark in (False, True):
            tab.choose_scheme(dark=dark)
            found = tab.ask(PROBE)
            case = f"{width} pixels, {'dark' if dark else 'light'}: {found}"
            assert found["width"] <= width, case
            assert found["smallest"][0] >= 11.99, case
            assert found["faintest"][0] >= 4.5, case  # WCAG 2.2, AA
            assert found["blurred"] == [], case
            assert found["unshaded"] == [], case
            assert width < 1280 or found["cut"] == [], case
            assert (found["unnamed"], found["skipped"], found["headless"]) == (0, [], 0), case
            assert found["lowest"] is None or found["lowest"] >= (40 if width == 360 else 24), case
        taken = tab.screenshot()
        (tmp_path / f"{width}.png").write_bytes(taken)  # to look at
        assert len(Image.open(io.BytesIO(taken)).convert("RGB").getcolors(1 << 24) or ()) > 50
    assert (tab.requests, tab.messages) == ([], [])


def test_paper_is_white_whatever_the_screen_shows(tab: Tab, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(report(3), encoding="utf-8")
    tab.open(tmp_path / "page.html", dark=True)
    paper = tab.print_page()
    assert paper.startswith(b"%PDF-")
    assert paper.count(b"/Type /Page\n") >= 3
    tab.choose_medium("print")
    try:
        assert tab.ask("getComputedStyle(document.documentElement).colorScheme") == "light"
        assert tab.ask("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
        assert tab.ask("getComputedStyle(document.querySelector('nav')).display") == "none"
    finally:
        tab.choose_medium("")


def test_another_order_of_the_classes_needs_no_script(tab: Tab, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(report(12), encoding="utf-8")
    tab.open(tmp_path / "page.html")
    columns = "[...document.querySelectorAll('.per-class tbody tr')].map(row => [row.getBoundingClientRect().top, "
    columns += "parseFloat(row.cells[3].textContent), row.cells[0].textContent])"
    assert [name for _, _, name in sorted(tab.ask(columns))] == [name for _, _, name in tab.ask(columns)]
    tab.ask("document.querySelector('.orders [value=\"2\"]').click()")
    recalls = [recall for _, recall, _ in sorted(tab.ask(columns))]
    assert recalls == sorted(recalls)
    assert len(set(recalls)) > 2


def test_a_phone_shows_all_figures_of_a_run_without_scrolling(tab: Tab, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(comparison(3), encoding="utf-8")
    tab.open(tmp_path / "page.html", 360)
    assert tab.ask("[...document.querySelectorAll('.blocks')].map(table => table.scrollWidth - table.clientWidth)") == [0, 0]
    names = "[...document.querySelectorAll('.measured tr:nth-child(2) [data-name]')].filter(cell => cell.checkVisibility())"
    names += ".map(cell => [cell.dataset.name, cell.getBoundingClientRect().right <= 360])"
    shown = dict(tab.ask(names))
    assert {"accuracy", "difference, points", "p", "loss"} <= shown.keys()
    assert all(shown.values())
    assert tab.ask("document.querySelector('.swipe').checkVisibility()")
    tab.resize(1280)
    assert not tab.ask("document.querySelector('.swipe').checkVisibility()")


def test_what_would_be_wrong_is_found(tab: Tab, tmp_path: Path) -> None:
    """Pages with one fault each."""
    image = Image.new("RGB", (10, 10))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    (tmp_path / "small.png").write_bytes(buffer.getvalue())
    faults: dict[str, tuple[str, Callable[[Any], bool]]] = {
        '<p style="width:900px">x': ("width", lambda found: found > 360),
        '<p style="font-size:11px">x': ("smallest", lambda found: found[0] == 11),
        '<p style="color:#888">x': ("faintest", lambda found: 3.5 < found[0] < 3.6),  # on white, by WCAG's formula 3.54
        '<img alt="x" src="small.png" width="30" height="30">': ("blurred", lambda found: found == ["x"]),
        '<img src="small.png">': ("unnamed", lambda found: found == 1),
        "<h1>x</h1><h3>x</h3>": ("skipped", lambda found: found == [3]),
        "<table><tr><th>x": ("headless", lambda found: found == 1),
        '<div style="overflow-x:auto"><svg aria-label="x" style="width:900px">': ("cut", lambda found: found == ["x"]),
        '<div style="overflow-x:auto"><p style="width:900px">': ("unshaded", lambda found: len(found) == 1),
    }
    head = '<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width"><body>'
    for number, (fault, (name, is_found)) in enumerate(faults.items()):
        (tmp_path / f"{number}.html").write_text(head + fault, encoding="utf-8")
        tab.open(tmp_path / f"{number}.html", 360)
        assert is_found(tab.ask(PROBE)[name]), fault
