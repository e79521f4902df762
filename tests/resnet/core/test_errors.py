"""Messages of errors for the user."""

from pathlib import Path

import pytest

from resnet.core.errors import UserError, damaged_input, listed, missing_input, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, \u00fc \u65e5 \U0001f431", "plain, \u00fc \u65e5 \U0001f431"),
        ("a\x1b[2Jb", r"a\x1b[2Jb"),
        ("two\nlines\r\t", r"two\nlines\r\t"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("\udcff", r"\udcff"),
    ],
)
def test_what_is_not_printable_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert str(UserError(text)) == shown


def test_a_missing_input_says_how_to_make_it() -> None:
    expected = "data/raw is missing; an earlier stage writes it: run `dvc repro`."
    assert str(missing_input(Path("data/raw"))) == expected


@pytest.mark.parametrize(
    ("why", "reason"), [("too short.", "too short"), (ValueError("first\nsecond"), "first"), (ValueError(), "")]
)
def test_a_damaged_input_has_a_reason_of_one_line(why: object, reason: str) -> None:
    assert str(damaged_input(Path("x.npy"), why)).startswith(f"x.npy is damaged or cut short ({reason}); remove it and run ")


def test_long_lists_of_names_are_cut() -> None:
    assert listed(["a", "b c"]) == "'a', 'b c'"
    assert listed(str(n) for n in range(2_003)) == "'0', '1', '2' and 2,000 more"
    assert listed("abc", most=1) == "'a' and 2 more"
    assert listed([]) == ""
