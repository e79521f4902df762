"""Syntax errors of YAML: the place and what is expected there."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

from tasks.stage.syntax import syntax_sentence

TEXT = """seed: 0
train:
  epochs: 10
  rate: 0.1
build:
  width: 4
"""


@pytest.mark.parametrize(
    ("old", "new", "place", "expected"),
    [
        ("  rate", "\trate", (4, 1), "spaces as indentation"),
        ("rate: 0.1", "rate:0.1", (4, 3), "`name: value`, with a colon and a space"),
        ("rate: 0.1", "rate 0.1", (4, 3), "`name: value`, with a colon and a space"),
        ("  rate", "<<<<<<< HEAD\n  rate", (4, 1), "`name: value`, with a colon and a space"),
        (
            "rate: 0.1",
            "rate: 0.1: 2",
            (4, 12),
            "one `name: value` at the indentation of its section, with quotes if the value has a colon",
        ),
        (
            "  rate",
            "    rate",
            (4, 9),
            "one `name: value` at the indentation of its section, with quotes if the value has a colon",
        ),
        ("  rate", " rate", (4, 2), "a line that is indented as the others of its section"),
        ("0.1", "[1, 2", (5, 6), "a comma or the closing bracket"),
        ("0.1", "[1 2\n  x: 3", (5, 4), "a comma or the closing bracket"),
        ("0.1", '"0.1', (4, 9), "the closing quote"),
        ("rate", "epochs", (4, 3), "each name once"),
        ("0.1", "@x", (4, 9), "quotes around a value that begins with this character"),
        ("0.1", "*x", (4, 9), "quotes around a value that begins with *"),
        ("0.1", '"\\q"', (4, 11), "single quotes around a value with a backslash"),
        ("build", "---\nbuild", (5, 1), "one document, without `---` between its lines"),
        ("0.1", "!!python/x y", (4, 9), "`name: value`"),
    ],
)
def test_the_sentence_names_line_and_column_and_what_is_expected(
    old: str, new: str, place: tuple[int, int], expected: str
) -> None:
    with pytest.raises(MarkedYAMLError) as caught:
        YAML(typ="safe", pure=True).load(TEXT.replace(old, new))
    sentence = syntax_sentence(Path("params.yaml"), caught.value)
    line, column = place
    assert sentence.startswith(
        f"params.yaml, line {line}, column {column}: not valid YAML: expected {expected}, but the parser "
    )
    assert sentence.endswith("; correct the line.")
    assert "\n" not in sentence


def test_a_bracket_that_was_opened_earlier_is_named() -> None:
    with pytest.raises(MarkedYAMLError) as caught:
        YAML(typ="safe", pure=True).load(TEXT.replace("0.1", "[1, 2"))
    assert "that begins in line 4; correct the line." in syntax_sentence(Path("p"), caught.value)
