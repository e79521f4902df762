"""Matplotlib figures as SVG elements of a page."""

import io
import re

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.figure import Figure


def inline_svg(figure: Figure, name: str, description: str) -> Markup:
    """The figure as an SVG element. The same figure always gives the same bytes.

    Black becomes the text colour of the page and the background is transparent, so the figure fits light and dark themes.

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
    drawing = re.sub(r'<g id="[^"]*"', "<g", drawing).replace("#000000", "currentColor")
    # The style sheet of the page sets the size.
    head, rest = drawing.split(">", 1)
    head = re.sub(r' (?:width|height)="[^"]*"', "", head)
    return Markup(f'{head} class="{name}" role="img" aria-label="{escape(description)}">{rest}')
