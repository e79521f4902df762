"""`params.schema.json`."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError
from ruamel.yaml import YAML

from tasks.stage.graph import read_graph
from tasks.stage.params import Section, _whole, section_class
from tasks.stage.schema import main, schema_text
from tests.imports import ROOT

STAGES = read_graph(ROOT / "dvc.yaml")
SCHEMA = json.loads((ROOT / "params.schema.json").read_text("utf-8"))
PARAMS = (ROOT / "params.yaml").read_text("utf-8")


def values() -> dict[str, Any]:
    tree: dict[str, Any] = YAML(typ="safe", pure=True).load(PARAMS)
    return tree


def mistakes(tree: dict[str, Any]) -> list[str]:
    return [error.json_path for error in jsonschema.Draft202012Validator(SCHEMA).iter_errors(tree)]


def test_the_file_is_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "params.schema.json").read_text("utf-8")
    assert text == schema_text(STAGES), "run `python -m tasks.stage.schema`"
    (tmp_path / "dvc.yaml").write_bytes((ROOT / "dvc.yaml").read_bytes())
    monkeypatch.chdir(tmp_path)
    assert main() == 0
    assert (tmp_path / "params.schema.json").read_text("utf-8") == text


def test_params_yaml_names_it_and_is_valid() -> None:
    assert PARAMS.startswith("# yaml-language-server: $schema=params.schema.json\n")
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert mistakes(values()) == []


def test_every_parameter_has_a_description_and_a_type() -> None:
    for section in [SCHEMA, *(SCHEMA["properties"][stage] for stage in STAGES)]:
        assert section["required"] == list(section["properties"])
        assert section["additionalProperties"] is False
        for field in section["properties"].values():
            assert field["description"]
            assert {"type", "anyOf", "enum"} & field.keys()
            assert not {"title", "default"} & field.keys()


@pytest.mark.parametrize(
    ("section", "name", "value", "path"),
    [
        ("train", "epochs", 0, "$.train.epochs"),
        ("train", "epochs", 1.5, "$.train.epochs"),
        ("train", "learning_rate", 0, "$.train.learning_rate"),
        ("train", "optimizer", "adma", "$.train.optimizer"),
        ("train", "flip", 1, "$.train.flip"),
        ("train", "restarts", [0], "$.train.restarts[0]"),
        ("train", "epoch", 3, "$.train"),
        ("build", "depth", 20, "$.build.depth"),
        ("ingest", "class_level", 0, "$.ingest.class_level"),
        ("build", "blocks", [], "$.build.blocks"),
        ("preprocess", "image_size", 7, "$.preprocess.image_size"),
        ("ingest", "source", "", "$.ingest.source"),
    ],
)
def test_mistakes_are_found(section: str, name: str, value: object, path: str) -> None:
    tree = values()
    tree[section][name] = value
    assert mistakes(tree) == [path]


def _accepts(kind: type[Section], tree: dict[str, Any]) -> bool:
    try:
        kind.model_validate(_whole(tree))
    except ValidationError:
        return False
    return True


def test_it_accepts_what_the_classes_accept() -> None:
    """For JSON Schema, 1.0 is an integer; pydantic's strict mode alone refuses it."""
    samples: list[Any] = [
        0,
        1,
        1.0,
        0.5,
        1.5,
        -1,
        -1.0,
        2,
        50,
        50.0,
        64.0,
        500,
        10**7,
        True,
        None,
        "",
        "1",
        "adam",
        "v1",
        [],
        [2],
        [2.0],
        {},
    ]
    differing, whole = [], values()
    for stage in STAGES:
        kind, good = section_class(stage), whole[stage]
        schema = jsonschema.Draft202012Validator(SCHEMA["properties"][stage])
        for name in good:
            for sample in samples:
                tree = {**good, name: sample}
                if _accepts(kind, tree) != schema.is_valid(tree):
                    differing.append((stage, name, sample))
    assert differing == []


@pytest.mark.parametrize("seed", [-1, 2**31, 0.5, "1"])
def test_the_seed_has_its_range(seed: object) -> None:
    assert mistakes({**values(), "seed": seed}) == ["$.seed"]


def test_what_is_missing_is_found() -> None:
    tree = values()
    del tree["render"], tree["train"]["epochs"]
    assert sorted(mistakes(tree)) == ["$", "$.train"]
