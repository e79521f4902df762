"""The forms of the deployments in Prefect's UI: one typed field for each parameter of `params.yaml`.

A form is a JSON Schema, made from the pydantic classes of the parameters. Prefect's UI draws it, and its server refuses values
that do not fit before a run exists. No field has a default: a field that stays empty leaves the parameter to the revision that
runs. The description shows the value in the `params.yaml` of the folder that serves.

The names have dots, as in `train.epochs`, so that a form and `-p overrides='{"train.epochs": 3}'` send the same. Other names
are left to the check of the run, because the revision that runs may have other parameters than this folder.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import GetJsonSchemaHandler, WithJsonSchema
from pydantic_core import CoreSchema
from ruamel.yaml import YAML

from commands.results import flat
from flows.values import text
from flows.workspace import PROJECT
from tasks.stage.graph import DVC_YAML, read_graph
from tasks.stage.params import PARAMS_YAML
from tasks.stage.schema import params_schema

Schema = dict[str, Any]


def fields(home: Path = PROJECT) -> dict[str, Schema]:
    """The schema of each parameter by its dotted name, in the order of `params.yaml`."""
    present = flat(YAML(typ="safe", pure=True).load(home / PARAMS_YAML))
    found = {}
    for name, schema in _leaves(params_schema(read_graph(home / DVC_YAML))):
        description = f"{schema['description']}. In params.yaml: {text(present.get(name))}"
        found[name] = {**_drawn(schema), "title": name, "description": description}
    return found


def overrides_form(home: Path = PROJECT) -> Schema:
    """A field for each parameter."""
    return _form(fields(home))


def grid_form(home: Path = PROJECT) -> Schema:
    """A list of values for each parameter."""
    return _form({name: _list_of(field, minItems=1) for name, field in fields(home).items()})


def ranges_form(home: Path = PROJECT) -> Schema:
    """The two ends of a range for each parameter that is a number."""
    numbers = {name: number for name, field in fields(home).items() if (number := _number(field))}
    return _form({name: _list_of(field, minItems=2, maxItems=2) for name, field in numbers.items()})


def filled(sent: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a form or the API sent, by dotted names. The server takes a null for an empty field, so it is left out."""
    return {name: value for name, value in flat(sent or {}).items() if value is not None}


def filled_overrides(sent: Mapping[str, Any] | None) -> dict[str, Any]:
    """The same for overrides, in which null is a value of the parameters that allow it."""
    found = flat(sent or {})
    nullable = _nullable() if None in found.values() else ()
    return {name: value for name, value in found.items() if value is not None or name in nullable}


def _nullable() -> set[str]:
    try:
        return {name for name, field in fields().items() if {"type": "null"} in field.get("anyOf", ())}
    except Exception:  # an edit of the code or of params.yaml is half done
        return set()


def _leaves(schema: Schema, prefix: str = "") -> Iterator[tuple[str, Schema]]:
    for name, inner in schema["properties"].items():
        if "properties" in inner:
            yield from _leaves(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", inner


def _drawn(schema: Schema) -> Schema:
    """A switch in the UI could not be left empty, so true and false are a choice."""
    return {"enum": [True, False]} if schema.get("type") == "boolean" else schema


def _number(field: Schema) -> Schema | None:
    """The field without the words that it allows besides numbers, such as "auto"; None if it is no number."""
    kinds = field.get("anyOf", [field])
    if any(kind.get("type") not in ("integer", "number", "string") for kind in kinds):
        return None
    numbers = [kind for kind in kinds if kind.get("type") != "string"]
    return {key: value for key, value in field.items() if key != "anyOf"} | numbers[0] if numbers else None


def _list_of(field: Schema, **limits: int) -> Schema:
    item = {key: value for key, value in field.items() if key not in ("title", "description")}
    return {"type": "array", "items": item, **limits, "title": field["title"], "description": field["description"]}


def _form(properties: dict[str, Schema]) -> Schema:
    return {"type": "object", "properties": properties, "additionalProperties": True}


@dataclass(frozen=True)
class _Drawn:
    """An annotation that gives a parameter of a flow its schema, made only when a deployment is registered."""

    make: Callable[[], Schema]

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> Schema:
        try:
            return self.make()
        except Exception:  # an edit of the code or of params.yaml is half done; the runs of other revisions are still served
            return {"type": "object"}


# Schemas only, no validation by pydantic, which would convert integers in a list of numbers to floats. The flow itself refuses
# in one sentence what a server that does not enforce them lets through.
NOTHING: dict[str, Any] = {}  # the default of a part of a form: for None, the old UI would send a null, which is no object
Overrides = Annotated[dict[str, Any] | None, _Drawn(overrides_form)]
Grid = Annotated[dict[str, list[Any]], _Drawn(grid_form)]
Ranges = Annotated[dict[str, list[Any]] | None, _Drawn(ranges_form)]
Choices = Annotated[dict[str, list[Any]] | None, _Drawn(grid_form)]
Count = Annotated[int, WithJsonSchema({"type": "integer", "minimum": 1})]
Seed = Annotated[int, WithJsonSchema({"type": "integer", "minimum": 0, "maximum": 2**32 - 1})]
Text = Annotated[str | None, WithJsonSchema({"type": "string"})]
