"""The forms of the deployments: descriptions and limits, and what Prefect's own check of a schema refuses."""

from pathlib import Path
from typing import Any

import pytest
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools.validation import is_valid_schema, validate
from ruamel.yaml import YAML

from flows import form
from flows.form import fields, filled, filled_overrides, grid_form, overrides_form, ranges_form
from flows.search import search
from flows.sweep import sweep
from flows.train_resnet import train_resnet
from tasks.stage.params import section_class
from tests.imports import ROOT
from tests.project import STAGES

PARAMS: Any = YAML(typ="safe").load(ROOT / "params.yaml")
NAMES = ["seed", *(f"{stage}.{name}" for stage in STAGES for name in PARAMS[stage])]
# What a constraint of pydantic's is called there and in JSON Schema.
LIMITS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}


def schema(flow: Any) -> dict[str, Any]:
    """The schema that Prefect registers for a flow."""
    made: dict[str, Any] = parameter_schema(flow).model_dump(exclude_unset=True)
    is_valid_schema(made)
    return made


def wrong(flow: Any, **given: Any) -> list[str]:
    """What the server finds wrong with the parameters of a run."""
    return [error.message for error in validate(given, schema(flow))]


def test_each_parameter_has_a_field_with_its_description_and_its_present_value() -> None:
    found = fields()
    assert list(found) == NAMES
    assert found["train.epochs"]["description"] == (
        "passes over the training images, each without the rest that fills no batch. In params.yaml: 10"
    )
    assert found["build.blocks"]["description"].endswith(". In params.yaml: null")
    for stage in STAGES:
        for name, field in section_class(stage).model_fields.items():
            assert field.description is not None
            assert found[f"{stage}.{name}"]["description"].startswith(field.description)


def test_each_field_has_the_limits_of_its_pydantic_field() -> None:
    found = fields()
    count = 0
    for stage in STAGES:
        for name, field in section_class(stage).model_fields.items():
            for constraint in field.metadata:
                for short, long in LIMITS.items():
                    if (limit := getattr(constraint, short, None)) is not None and "anyOf" not in found[f"{stage}.{name}"]:
                        assert found[f"{stage}.{name}"][long] == limit
                        count += 1
    assert count > 50
    assert found["train.optimizer"]["enum"] == ["adam", "adamw", "sgd"]


def test_no_field_has_a_default_that_would_override_the_revision() -> None:
    assert [name for name, field in fields().items() if "default" in field] == []


def test_every_parameter_of_every_flow_has_a_description() -> None:
    for flow in (train_resnet, sweep, search):
        properties = schema(flow)["properties"]
        assert [name for name, field in properties.items() if not field.get("description")] == []
        assert list(properties)[-1] in ("overrides", "grid", "among")  # the long part comes last


@pytest.mark.parametrize(
    "overrides",
    [
        {},
        {"train.epochs": 3, "train.learning_rate": 0.01, "train.flip": True, "seed": 0},
        {"build.blocks": [1, 1], "train.restarts": []},
        {"build.blocks": None, "evaluate.minimum_accuracy": None},
        {"ingest.class_level": "auto"},
        {"a.parameter_of_another_revision": "x"},
    ],
)
def test_right_values_are_accepted(overrides: dict[str, Any]) -> None:
    assert wrong(train_resnet, overrides=overrides) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("train.epochs", 0),
        ("train.epochs", "many"),
        ("train.epochs", 1.5),
        ("train.learning_rate", 0),
        ("train.learning_rate", 11),
        ("train.optimizer", "rmsprop"),
        ("train.flip", "yes"),
        ("train.flip", 1),
        ("build.blocks", []),
        ("build.blocks", [0]),
        ("ingest.source", ""),
        ("ingest.class_level", 9),
        ("seed", -1),
    ],
)
def test_a_wrong_value_is_refused(name: str, value: Any) -> None:
    assert len(wrong(train_resnet, overrides={name: value})) == 1
    assert wrong(sweep, grid={name: [value]})


@pytest.mark.parametrize("flow", [train_resnet, sweep, search])
def test_the_defaults_fit_the_schema(flow: Any) -> None:
    """Forms send the default of each field that nobody touched; the old UI also sends a null."""
    defaults = {name: field["default"] for name, field in schema(flow)["properties"].items() if "default" in field}
    assert len(defaults) >= 3
    assert wrong(flow, **{"grid": {"seed": [0]}} if flow is sweep else {}, **defaults) == []


def test_what_the_form_of_the_ui_sends_for_untouched_fields_is_accepted() -> None:
    sent = {"rev": "HEAD", "experiment": "", "in_place": False, "include_changes": False, "keep_checkout": False}
    assert wrong(train_resnet, **sent) == []


def test_the_forms_of_sweeps_and_searches_have_the_limits_too() -> None:
    assert wrong(sweep, grid={"train.epochs": [1, 2], "train.optimizer": ["sgd"], "train.flip": [True, False]}) == []
    assert wrong(sweep, grid={"train.epochs": []})
    assert wrong(sweep, grid={}, parallel=0)
    assert wrong(sweep) == ["'grid' is a required property"]
    assert wrong(search, between={"train.epochs": [1, 9]}, among={"build.stem": ["large"]}, trials=3) == []
    assert wrong(search, between={"train.epochs": [0, 9]})
    assert wrong(search, between_log={"train.learning_rate": [0.1]})
    assert wrong(search, trials=0)
    assert wrong(search, seed=-1)


def test_only_numbers_have_ranges() -> None:
    properties = ranges_form()["properties"]
    assert {"train.epochs", "train.learning_rate", "seed"} <= properties.keys()
    assert not {"train.optimizer", "train.flip", "build.blocks", "ingest.source"} & properties.keys()
    assert properties["train.learning_rate"]["items"] == {"exclusiveMinimum": 0, "maximum": 10, "type": "number"}
    assert properties.keys() < grid_form()["properties"].keys() == overrides_form()["properties"].keys()


def test_code_that_is_being_edited_leaves_a_form_without_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(home: Path = ROOT) -> dict[str, Any]:
        raise SyntaxError

    monkeypatch.setattr(form, "fields", fail)
    assert schema(train_resnet)["properties"]["overrides"]["type"] == "object"
    assert wrong(train_resnet, overrides={"train.epochs": 0}) == []  # the check of the run refuses it


def test_a_parameter_that_is_missing_in_the_file_has_a_field(tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").write_bytes((ROOT / "dvc.yaml").read_bytes())
    (tmp_path / "params.yaml").write_text("seed: 7\n")
    found = fields(tmp_path)
    assert found["seed"]["description"].endswith("In params.yaml: 7")
    assert list(found) == NAMES


def test_a_null_is_an_empty_field_unless_the_parameter_allows_null(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = {"train": {"epochs": 3, "ema": None}, "seed": None, "build.blocks": None, "evaluate": {"baseline": None}}
    assert wrong(train_resnet, overrides={"train.epochs": None}) == []  # so the run has to take it
    assert filled_overrides(sent) == {"train.epochs": 3, "build.blocks": None, "evaluate.baseline": None}
    assert filled_overrides(None) == {}
    assert filled({"seed": None, "build.blocks": None, "train": {"epochs": [1, 2]}}) == {"train.epochs": [1, 2]}
    monkeypatch.setattr(form, "params_schema", lambda _: 1 / 0)  # the code is being edited
    assert filled_overrides({"seed": None, "train.epochs": 3}) == {"train.epochs": 3}
