"""Figures as SVG elements: their colours, ids and bytes."""

import re

import pytest
from matplotlib.figure import Figure

from resnet.pictures.svg import inline_svg


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
