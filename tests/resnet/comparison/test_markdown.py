"""The comparison in Markdown, read by a parser of CommonMark with GitHub's tables."""

import re
from dataclasses import replace
from html import unescape

import pytest
from markdown_it import MarkdownIt

from resnet.comparison.markdown import MOST_BYTES, as_markdown, code
from resnet.comparison.page import Comparison, Image
from resnet.comparison.paired_comparison import ClassChange, PairedComparison

FOUND = Comparison(
    first="a1b2c3d",
    second="HEAD",
    paired=PairedComparison(5, 4, 3, 1, 2, -0.2, -0.6, 0.3, 1.0),
    metrics={"accuracy": (0.8, 0.6), "macro_f1": (0.5, 0.625)},
    parameters={"train.epochs": (3, 5), "build.blocks": (None, [1, 1])},
    code=["resnet/training"],
    classes=[ClassChange("cat", 5, 4, 3, 1, 2)],
    gained=[Image("cat/1.png", "cat", "dog", 0.75, "cat", 0.5)],
    lost=[],
)
HOSTILE = [
    *("@octocat", "#1", "a|b", "a\\|b", "`", "``a", "<b>", "</code>", "</details>", "&#64;x", "&amp;", "*a*", "_a_", "[a](b)"),
    *("http://a.example", "www.a.example", "me@a.example", "a\nb", "a\r\n| b", "$x$", "\\", ":+1:", "![x](y)", "~~a~~", "<!--"),
]


def rendered(text: str) -> str:
    return MarkdownIt("gfm-like", {"linkify": False}).render(text)


def cells(text: str) -> list[list[str]]:
    """The rows of all tables as text."""
    rows = re.findall(r"<tr>(.*?)</tr>", rendered(text), re.DOTALL)
    return [[unescape(re.sub(r"<[^>]*>", "", cell)) for cell in re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row)] for row in rows]


def test_it_has_the_figures() -> None:
    text = as_markdown(FOUND)
    assert text.startswith("### There is no significant difference on these 5 images: the interval contains zero.\n\n")
    assert "**-20.00 points**, 95 % interval -60.00 to +30.00 (paired, Newcombe 1998)" in text
    assert "McNemar's exact test: p = 1.0000." in text
    rows = cells(text)
    for row in (
        ["first", "a1b2c3d", "80.00 %", "4 of 5"],
        ["second", "HEAD", "60.00 %", "3 of 5"],
        ["accuracy", "0.8000", "0.6000", "-0.2000"],
        ["macro_f1", "0.5000", "0.6250", "+0.1250"],
        ["train.epochs", "3", "5"],
        ["build.blocks", "null", "[1, 1]"],
        ["resnet/training"],
        ["cat", "80.0 %", "60.0 %", "1", "2", "5"],
        ["cat/1.png", "cat", "dog 0.75", "cat 0.50"],
    ):
        assert row in rows
    assert "Images lost" not in text


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_text_in_one_cell(name: str) -> None:
    image = Image(name, name, name, 0.75, name, 0.5)
    text = as_markdown(replace(FOUND, first=name, gained=[image], classes=[ClassChange(name, 5, 4, 3, 1, 2)]))
    shown = name.replace("\r", "\\r").replace("\n", "\\n")
    assert [shown, shown, f"{shown} 0.75", f"{shown} 0.50"] in cells(text)
    assert [shown, "80.0 %", "60.0 %", "1", "2", "5"] in cells(text)
    assert len(cells(text)) == len(cells(as_markdown(FOUND)))
    # GitHub looks for links and users in the text between tags; nothing of a name stands there but letters and digits.
    assert set(code(name)[6:-7]) & set("@|`<>[]*_:~$\\\n") == set()


def test_long_names_and_lists_are_shortened() -> None:
    assert code("x" * 5000) == f"<code>{'x' * 97}...</code>"
    images = [Image(f"{n}.png", "cat", "dog", 0.75, "cat", 0.5) for n in range(1234)]
    text = as_markdown(replace(FOUND, gained=images))
    assert "<summary>Images gained: 1,234</summary>" in text
    assert "and 1,224 more" in text
    assert len(text.encode()) < MOST_BYTES


@pytest.mark.parametrize("char", ["x", "|", "\U0001f642", "\0"])
def test_it_fits_into_a_comment(char: str) -> None:
    """The worst that names can be: long, and with characters of which each becomes a reference."""
    name = char * 32_000
    image = Image(name, name, name, 0.75, name, 0.5)
    many = replace(
        FOUND,
        first=name,
        parameters={f"{n}{name}": (name, name) for n in range(99)},
        classes=[ClassChange(name, 5, 4, 3, 1, 2)] * 99,
        gained=[image] * 99,
        lost=[image] * 99,
    )
    text = as_markdown(many)
    assert len(text.encode()) <= MOST_BYTES
    assert text.count("<details>") == text.count("</details>")
    assert ("Tables were left out" in text) == (char != "x")
