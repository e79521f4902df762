"""Overrides as a user types them, and in `params.yaml`."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from flows.overrides import apply_overrides, check_overrides, parse, parse_lists
from resnet.core.errors import UserError
from tests.imports import ROOT
from tests.project import STAGES

TEXT = (ROOT / "params.yaml").read_text("utf-8")


def test_values_are_read_as_yaml() -> None:
    given = ["a.b=3", "c=1e-5", "d=[1, 1]", "e=sgd", "f=true", "g='3'", "h=x=y", "i="]
    expected = {"a.b": 3, "c": 1e-5, "d": [1, 1], "e": "sgd", "f": True, "g": "3", "h": "x=y", "i": None}
    assert parse(given) == expected


def test_lists_may_hold_lists() -> None:
    assert parse_lists(["seed=0,1", "build.blocks=[1, 1],[3, 4, 6, 3]"]) == {
        "seed": [0, 1],
        "build.blocks": [[1, 1], [3, 4, 6, 3]],
    }


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("train.epochs", "an override is NAME=VALUE, as in train.epochs=3, but this is 'train.epochs'."),
        ("=3", "an override is NAME=VALUE, as in train.epochs=3, but this is '=3'."),
        ("a=[1", "the value '[1' cannot be read as YAML; write it as in params.yaml."),
    ],
)
def test_an_invalid_assignment_is_refused(given: str, sentence: str) -> None:
    with pytest.raises(UserError) as error:
        parse([given])
    assert str(error.value) == sentence


def test_only_the_value_changes_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(TEXT, encoding="utf-8")
    nasty = "$(rm -rf ~) ${HOME} 'x' \"y\" {a, b} # no comment"
    apply_overrides(path, {"train.epochs": 3, "ingest.source": nasty})
    before, after = TEXT.splitlines(), path.read_text("utf-8").splitlines()
    changed = [(old.split(":")[0].strip(), old.partition("#")[2]) for old, new in zip(before, after, strict=True) if old != new]
    assert [name for name, _ in changed] == ["source", "epochs"]
    assert YAML(typ="safe", pure=True).load(path)["ingest"]["source"] == nasty
    assert "# passes over the training images" in path.read_text("utf-8")


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("train.epoch", 3, "there is no parameter train.epoch; did you mean train.epochs?"),
        ("train.epochs", 0, "train.epochs should be greater than or equal to 1, but it is 0."),
        ("train.epochs", "many", "train.epochs should be a valid integer, but it is 'many'."),
        ("seed.first", 1, "there is no parameter seed.first, because seed is a value, 0; see params.yaml."),
        ("", 3, "there is no parameter ''; write a name of params.yaml with its section, as in train.epochs."),
        ("..", 3, "there is no parameter '..'; write a name of params.yaml with its section, as in train.epochs."),
        ("train. ", 3, "there is no parameter 'train. '; write a name of params.yaml with its section, as in train.epochs."),
        ("train", {"epoch": 3}, "there is no parameter train.epoch; did you mean train.epochs?"),
        ("trains.epochs", 3, "there is no parameter trains; did you mean train?"),
    ],
)
def test_an_invalid_override_is_refused(name: str, value: object, sentence: str) -> None:
    with pytest.raises(UserError) as error:
        check_overrides(TEXT, {name: value}, STAGES)
    assert str(error.value) == sentence


def test_valid_overrides_are_accepted() -> None:
    check_overrides(TEXT, {"train.epochs": 3, "build.blocks": [1, 1]}, STAGES)


def test_a_mapping_changes_only_the_parameters_in_it(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("seed: 0\ntrain:\n  epochs: 9  # passes\n  flip: true\n")
    apply_overrides(path, {"train": {"epochs": 3}})
    assert path.read_text() == "seed: 0\ntrain:\n  epochs: 3  # passes\n  flip: true\n"
