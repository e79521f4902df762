"""What all pages share: templates with escaping, and how numbers and other people's names are written."""

import base64
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from resnet.pictures.data_warnings import count, percent

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

# Control characters, separators of lines and paragraphs, and marks that turn the direction of the text around them.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


@cache
def environment(*folders: Path) -> "Environment":
    """The templates beside this file and in `folders`."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    # Names of classes and files are other people's text: escaped, it stays text.
    made = Environment(
        loader=FileSystemLoader([Path(__file__).parent, *folders]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"number": "{:,}".format, "percent": percent, "count": count, "plain": plain, "name": _name}
    made.filters["base64"] = lambda picture: base64.b64encode(picture).decode()
    return made


def plain(text: str) -> str:
    """The name with an escape for each character that cannot be seen, or that turns the text around it."""
    return _UNSEEN.sub(lambda match: match.group().encode("unicode_escape").decode(), str(text))


def _name(text: str) -> "Markup":
    """A name inside a sentence; its writing direction ends where it ends."""
    from markupsafe import Markup

    return Markup("<bdi>{}</bdi>").format(plain(text))
