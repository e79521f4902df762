"""The comparison of two runs in Markdown, as GitHub shows it in comments and summaries.

Names of classes and images are text of strangers there. They stand in `<code>`, with their punctuation as character references:
GitHub notifies a user whose `@name` is in a comment, but not if it is in code, and a backtick or a bar cannot end a reference.
"""

from collections.abc import Iterator, Sequence

from resnet.comparison.page import Comparison, Image
from resnet.comparison.paired_comparison import ClassChange
from resnet.pictures.pages import as_yaml

MOST_BYTES = 60_000  # of a text; GitHub refuses a comment of more than 65,536 characters
_MOST_ROWS = 10  # of classes and of images
_MOST_PARAMETERS = 30
_LONGEST = 100  # characters of a name
_PLAIN = " -./"  # beside letters and digits; a full stop begins no list within a line
_LEFT_OUT = (
    "Tables were left out, because the text would be too long for a comment; `train-resnet compare --html FILE` has them."
)


def as_markdown(found: Comparison) -> str:
    """The comparison as GitHub's Markdown, of at most `MOST_BYTES` bytes and without a line end at its end."""
    text = "\n\n".join(_summary(found))
    for section in _sections(found):
        if len(f"{text}\n\n{section}\n\n{_LEFT_OUT}".encode()) > MOST_BYTES:
            return f"{text}\n\n{_LEFT_OUT}"
        text += f"\n\n{section}"
    return text


def code(text: str) -> str:
    """Text as code on one line, shortened; it has no effect on the Markdown around it."""
    shown = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
    printable = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in shown)
    kept = _PLAIN.replace(".", "") if "www." in printable.lower() else _PLAIN  # www.example.org would become a link
    return f"<code>{''.join(char if char.isalnum() or char in kept else f'&#{ord(char)};' for char in printable)}</code>"


def _summary(found: Comparison) -> Iterator[str]:
    paired = found.paired
    yield f"### {found.conclusion}"
    p_value = f"p = {paired.p_value:.4f}" if paired.p_value >= 0.0001 else "p < 0.0001"
    yield (
        f"Difference of the accuracies: **{100 * paired.difference:+.2f} points**, 95 % interval {100 * paired.low:+.2f} to "
        f"{100 * paired.high:+.2f} (paired, Newcombe 1998). McNemar's exact test: {p_value}."
    )
    if found.testing:
        yield found.testing
    yield _table(
        ["", "network", found.measure, "correct images"],
        [
            [place, code(name), f"{100 * hits / paired.images:.2f} %", f"{hits:,} of {paired.images:,}"]
            for place, name, hits in (("first", found.first, paired.first), ("second", found.second, paired.second))
        ],
    )
    yield _table(
        ["metric", "first", "second", "difference"],
        [[code(name), f"{one:.4f}", f"{other:.4f}", f"{other - one:+.4f}"] for name, (one, other) in found.metrics.items()],
    )


def _sections(found: Comparison) -> Iterator[str]:
    """The tables that only some readers want, the most useful ones first."""
    if found.parameters:
        values = [[code(name), code(as_yaml(one)), code(as_yaml(other))] for name, (one, other) in found.parameters.items()]
        yield _folded("Parameters that differ", ["parameter", "first", "second"], values, _MOST_PARAMETERS)
    if found.code:
        yield _folded("Code that differs", ["folder"], [[code(path)] for path in found.code], _MOST_PARAMETERS)
    if found.classes:
        columns = ["class", "recall of the first", "of the second", "gained", "lost", "images"]
        yield _folded("Classes that changed", columns, [_class_row(change) for change in found.classes], _MOST_ROWS)
    for title, images in (("Images gained", found.gained), ("Images lost", found.lost)):
        if images:
            rows = [_image_row(image) for image in images]
            yield _folded(title, ["image", "class", "first", "second"], rows, _MOST_ROWS)


def _class_row(change: ClassChange) -> list[str]:
    recalls = [f"{100 * hits / change.images:.1f} %" for hits in (change.first, change.second)]
    return [code(change.label), *recalls, f"{change.gained:,}", f"{change.lost:,}", f"{change.images:,}"]


def _image_row(image: Image) -> list[str]:
    before = f"{code(image.before)} {image.before_probability:.2f}"
    return [code(image.path), code(image.label), before, f"{code(image.after)} {image.after_probability:.2f}"]


def _folded(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], most: int) -> str:
    """A table that a click opens, with the number of its rows; only the first ones are shown."""
    more = f"\n\nand {len(rows) - most:,} more" if len(rows) > most else ""
    return f"<details><summary>{title}: {len(rows):,}</summary>\n\n{_table(columns, rows[:most])}{more}\n\n</details>"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (columns, ["---"] * len(columns), *rows))
