"""What all HTML pages share: templates with escaping, and the formatting of numbers and names."""

import base64
import io
import json
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from resnet.core.words import counted
from resnet.pictures.data_labels import set_in_words

if TYPE_CHECKING:
    import pandas as pd
    from jinja2 import Environment
    from markupsafe import Markup

# Control characters, line and paragraph separators, and marks that change the writing direction of the text around them.
_INVISIBLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


@cache
def environment(*folders: Path) -> "Environment":
    """The template environment for the templates of this folder and of `folders`."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    # Names of classes and files are untrusted text.
    environment = Environment(
        loader=FileSystemLoader([Path(__file__).parent, *folders]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": "{:,}".format, "percent": percent, "count": counted, "plain": plain, "name": _name}
    environment.filters |= {"yaml": as_yaml, "enlarged": enlarged, "of_set": set_in_words}
    environment.filters["base64"] = lambda picture: base64.b64encode(picture).decode()
    return environment


def percent(share: float) -> str:
    """A share in percent, with one decimal. Shares other than 0 and 1 are never rounded to 0.0 % or 100.0 %."""
    figure = f"{100 * share:.1f}"
    if 0 < share < 0.0005:
        figure = "<\u00a00.1"
    elif 0.9995 <= share < 1:
        figure = ">\u00a099.9"
    return f"{figure}\u00a0%"


def share_of(share: float, images: int) -> float:
    """A share of images that a file has with six digits, exactly.

    Without this, 179 of 181 would be 98.90 % from the counts, and 98.89 % from the 0.98895 of the file.

    Returns:
        The nearest multiple of 1 / `images` if it has the same six digits, otherwise the share as it is.
    """
    exact = round(share * images) / max(images, 1)
    return exact if abs(exact - share) <= 5.01e-7 else share


def plain(text: str) -> str:
    """The text with escapes for invisible characters and for those that change the writing direction."""
    return _INVISIBLE.sub(lambda match: match.group().encode("unicode_escape").decode(), str(text))


def as_yaml(value: object) -> str:
    """A parameter as in `params.yaml`: `null` and `true`, not the `None` and `True` of Python."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def enlarged(picture: bytes, width: int, height: int) -> bool:
    """Whether an image file is shown at least twice as large as it is in a box of CSS pixels, in which it fits whole.

    All pages show such images with their pixels as squares (class `pixelated`), and all others smoothed.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(picture)) as image:
            return min(width / image.width, height / image.height) >= 2
    except UnidentifiedImageError:
        return False  # the browser shows the text alternative


def places_by(frame: "pd.DataFrame", columns: list[str]) -> list[int]:
    """The place of each row if the frame were sorted by columns, for the other orders of a table in a page."""
    by_place = frame.reset_index(drop=True).sort_values(columns, kind="stable").index.tolist()
    places = [0] * len(by_place)
    for place, row in enumerate(by_place):
        places[row] = place
    return places


def _name(text: str) -> "Markup":
    """A name as an HTML element that isolates its writing direction from the text around it."""
    from markupsafe import Markup

    return Markup("<bdi>{}</bdi>").format(plain(text))
