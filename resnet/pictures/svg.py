"""A figure as part of a page: in the page's colours, light or dark, sharp at any size, and of equal bytes for equal data."""

import io
import re

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.figure import Figure


def inline_svg(figure: Figure, name: str, description: str) -> Markup:
    """The figure as an SVG element.

    What is black is drawn in the colour of the page's text; the background is the page's own.

    Args:
        figure: of Matplotlib.
        name: a word that no other figure of the page has; it keeps their ids apart.
        description: for who cannot see it.
    """
    text = io.StringIO()
    unset: dict[str, None] = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(text, format="svg", transparent=True, metadata=unset)
    drawing = text.getvalue()
    drawing = drawing[drawing.index("<svg") :]
    drawing = re.sub(r"<metadata>.*?</metadata>", "", drawing, flags=re.DOTALL)
    # Groups are numbered alike in each figure, and nothing refers to them.
    drawing = re.sub(r'<g id="[^"]*"', "<g", drawing).replace("#000000", "currentColor")
    # Its size is the page's matter.
    head, rest = drawing.split(">", 1)
    head = re.sub(r' (?:width|height)="[^"]*"', "", head)
    return Markup(f'{head} class="{name}" role="img" aria-label="{escape(description)}">{rest}')
