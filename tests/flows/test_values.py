"""Parameter values for people, and what differs between two parameter files."""

from commands.results import flat
from flows.values import differences, text


def test_values_have_dotted_names() -> None:
    assert flat({"seed": 1, "train": {"epochs": 3, "phases": {"first": [1]}}}) == {
        "seed": 1,
        "train.epochs": 3,
        "train.phases.first": [1],
    }
    assert flat(None) == flat([1]) == {}


def test_values_are_written_as_in_yaml() -> None:
    written = ["null", "true", "false", "0", "0.01", "[3, 4]", "sgd", r"a\x1b[31m"]
    assert [text(one) for one in (None, True, False, 0, 0.01, [3, 4], "sgd", "a\x1b[31m")] == written


def test_only_what_differs_is_listed_with_both_values() -> None:
    before = "seed: 0\ntrain:\n  epochs: 10\n  flip: false\n  old: 1\n"
    after = "seed: 0\ntrain:\n  epochs: 3\n  flip: false\n  new: null\n"
    assert differences(before, after) == {"train.epochs": ("10", "3"), "train.old": ("1", ""), "train.new": ("", "null")}


def test_a_file_that_is_not_yaml_has_no_values() -> None:
    assert differences("a: [", "a: 1") == {"a": ("", "1")}
