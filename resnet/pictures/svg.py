"""Matplotlib figures as SVG elements of a page."""

import io
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.figure import Figure

# Matplotlib's colours as those of the style sheet, which are readable on light and dark backgrounds.
_COLOURS = {
    "#000000": "currentColor",
    "#1f77b4": "var(--blue)",
    "#ff7f0e": "var(--orange)",
    "#2ca02c": "var(--green)",
    "#808080": "var(--grey)",
}


@contextmanager
def text_of_pages() -> Iterator[None]:
    """For figures that are drawn for a page, where a point becomes at least a pixel: text of 12, the smallest on a page."""
    with mpl.rc_context({"font.size": 12, "axes.titlesize": 12, "legend.fontsize": 12}):
        yield


def inline_svg(figure: Figure, name: str, description: str) -> Markup:
    """The figure as an SVG element. The same figure always gives the same bytes.

    Black becomes the text colour of the page, and the background is transparent, so the figure fits light and dark themes. It
    fills the width of its element, but a point is never less than a pixel, nor more than a pixel and a quarter.

    Args:
        figure: the figure.
        name: a word that is unique on the page; it becomes the CSS class and makes the ids in the figure unique.
        description: the text alternative for screen readers.
    """
    text = io.StringIO()
    unset: dict[str, None] = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(text, format="svg", transparent=True, metadata=unset)
    drawing = text.getvalue()
    drawing = drawing[drawing.index("<svg") :]
    drawing = re.sub(r"<metadata>.*?</metadata>", "", drawing, flags=re.DOTALL)
    # The ids of groups are the same in all figures, and nothing refers to them.
    drawing = re.sub(r'<g id="[^"]*"', "<g", drawing)
    for colour, name_on_page in _COLOURS.items():
        drawing = drawing.replace(colour, name_on_page)
    # The style sheet of the page sets the font and the size.
    drawing = re.sub(r"font: ((?:[a-z]+ )*[\d.]+)px [^;\"]*", r"font: \1px system-ui, sans-serif", drawing)
    head, rest = drawing.split(">", 1)
    head = re.sub(r' (?:width|height)="[^"]*"', "", head)
    least = math.ceil(figure.get_figwidth() * 72)
    about = f'class="{name}" role="img" aria-label="{escape(description)}"'
    return Markup(f'{head} style="min-width:{least}px;max-width:{5 * least // 4}px" {about}>{rest}')
