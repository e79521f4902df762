"""Figures as SVG elements: their colours, ids and bytes."""

import re

import pandas as pd
import pytest
from matplotlib.figure import Figure

from resnet.pictures.curves import draw_curves
from resnet.pictures.reliability import draw_reliability
from resnet.pictures.report import _SMALL_FIGURE
from resnet.pictures.svg import inline_svg, text_of_pages


def figure(*heights: float) -> Figure:
    drawn = Figure()
    axes = drawn.add_subplot()
    axes.plot(heights)
    axes.set_title("title")
    return drawn


def test_an_element_has_the_text_colour_of_the_page_and_always_the_same_bytes() -> None:
    first, second = (inline_svg(figure(1, 2), "loss", 'of "a" & b') for _ in range(2))
    assert first == second
    assert first.startswith("<svg ")
    assert 'class="loss" role="img" aria-label="of &#34;a&#34; &amp; b"' in first
    assert "currentColor" in first
    assert not re.search(r"#000000|<metadata|<\?xml|<!DOCTYPE|\d{4}-\d\d-\d\d|id=\"axes", first)
    other = inline_svg(figure(3, 1), "accuracy", "")
    assert not set(re.findall(r' id="([^"]+)"', first)) & set(re.findall(r' id="([^"]+)"', other))


@pytest.mark.parametrize("heights", [(1, 2), (5, 4, 9)])
def test_the_style_sheet_sets_the_size_and_text_stays_text(heights: tuple[float, ...]) -> None:
    element = inline_svg(figure(*heights), "name", "description")
    head = element[: element.index(">")]
    assert " width=" not in head
    assert " height=" not in head
    assert "viewBox=" in head
    assert 'style="min-width:461px;max-width:576px"' in head  # 6.4 inches of 72 points, each of them 1 to 1.25 pixels
    assert re.search(r"<text [^>]*>title</text>", element)


@text_of_pages()
def test_legends_fit_into_the_figures_of_pages() -> None:
    history = pd.DataFrame({"epoch": [998, 999, 1000], "loss": 0.5, "val_loss": [0.5, 0.5, 0.1]})
    bins = pd.DataFrame({"above": [0.0], "up_to": [1.0], "images": [4], "confidence": [0.9], "accuracy": [0.75]})
    bins = bins.assign(accuracy_low=0.3, accuracy_high=0.95)
    figures = {
        "curves": draw_curves(history, "loss", "nats", _SMALL_FIGURE),
        "of images": draw_reliability(bins, before=bins),
        "of pairs": draw_reliability(bins, before=bins, of_pairs=True),
    }
    for name, drawn in figures.items():
        drawn.draw_without_rendering()
        (legend,) = drawn.legends
        assert legend.get_window_extent().x0 >= 0, name
        assert legend.get_window_extent().x1 <= drawn.bbox.x1, name
