"""The formatting of numbers and names, and the escaping in templates."""

import pandas as pd
import pytest
from ruamel.yaml import YAML

from resnet.pictures.pages import as_yaml, enlarged, environment, percent, places_by, plain, share_of
from tests.pictures import picture


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


def test_a_share_from_a_file_is_rounded_like_one_from_counts() -> None:
    assert f"{100 * share_of(0.98895, 181):.2f}" == "98.90"  # 179 of 181 are 98.8950276 %
    assert share_of(0.992248, 387) == 384 / 387
    assert share_of(0.5, 181) == 0.5  # of other images
    assert share_of(0.25, 0) == 0.25


@pytest.mark.parametrize(
    ("value", "text"), [(None, "null"), (True, "true"), (1e-05, "1e-05"), ([10, 20], "[10, 20]"), ([], "[]"), ("a/ü", "a/ü")]
)
def test_parameters_are_written_as_in_params_yaml(value: object, text: str) -> None:
    assert as_yaml(value) == text
    assert YAML(typ="safe", pure=True).load(f"x: {text}") == {"x": value}


@pytest.mark.parametrize(
    ("size", "box", "crisp"),
    [((36, 36), (72, 72), True), ((37, 36), (72, 72), False), ((8, 8), (144, 72), True), ((96, 20), (144, 72), False)],
)
def test_an_image_is_crisp_where_it_is_shown_twice_as_large(size: tuple[int, int], box: tuple[int, int], crisp: bool) -> None:
    assert enlarged(picture(0, size=size), *box) == crisp


def test_what_is_no_image_is_not_enlarged() -> None:
    assert not enlarged(b"not an image", 72, 72)


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


def test_places_are_those_of_the_sorted_rows() -> None:
    frame = pd.DataFrame({"f1": [0.5, 0.25, 0.5, 0.75], "label": ["b", "z", "a", "c"]}, index=[9, 8, 7, 6])
    assert places_by(frame, ["f1", "label"]) == [2, 0, 1, 3]
    assert places_by(frame, ["label"]) == [1, 3, 0, 2]


def test_templates_escape_text_and_isolate_names() -> None:
    template = environment().from_string("{{ text }} {{ text|name }} {{ 12345|number }} {{ picture|base64 }}")
    expected = "&lt;b&gt;&amp; <bdi>&lt;b&gt;&amp;</bdi> 12,345 TWFu"  # RFC 4648: "TWFu" stands for "Man"
    assert template.render(text="<b>&", picture=b"Man") == expected


def test_templates_refuse_undefined_names() -> None:
    from jinja2 import UndefinedError

    with pytest.raises(UndefinedError):
        environment().from_string("{{ absent }}").render()
