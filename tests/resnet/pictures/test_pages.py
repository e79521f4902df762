"""The formatting of numbers and names, and the escaping in templates."""

import pytest

from resnet.pictures.pages import count, environment, percent, plain


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0.0"),
        (1e-9, "< 0.1"),
        (0.000499, "< 0.1"),
        (0.0005, "0.1"),
        (0.5, "50.0"),
        (0.9994, "99.9"),
        (0.9996, "> 99.9"),
        (1, "100.0"),
    ],
)
def test_only_none_and_all_are_0_and_100_percent(share: float, text: str) -> None:
    assert percent(share).replace("\u00a0", " ") == f"{text} %"


def test_numbers_have_separators_and_their_noun_has_its_plural() -> None:
    assert [count(number, "class", "classes") for number in (0, 1, 2)] == ["0 classes", "1 class", "2 classes"]
    assert count(12345, "image") == "12,345 images"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain, \u00fc \u65e5 \U0001f431", "plain, \u00fc \u65e5 \U0001f431"),
        ("a\nb\x00", r"a\nb\x00"),
        ("\x7f\x9f", r"\x7f\x9f"),
        ("\u2028\u202egpj.exe\u2069", r"\u2028\u202egpj.exe\u2069"),
    ],
)
def test_invisible_characters_and_marks_of_direction_are_escaped(name: str, shown: str) -> None:
    assert plain(name) == shown


def test_templates_escape_text_and_isolate_names() -> None:
    template = environment().from_string("{{ text }} {{ text|name }} {{ 12345|number }} {{ picture|base64 }}")
    expected = "&lt;b&gt;&amp; <bdi>&lt;b&gt;&amp;</bdi> 12,345 TWFu"  # RFC 4648: "TWFu" stands for "Man"
    assert template.render(text="<b>&", picture=b"Man") == expected


def test_templates_refuse_undefined_names() -> None:
    from jinja2 import UndefinedError

    with pytest.raises(UndefinedError):
        environment().from_string("{{ absent }}").render()
