"""Writes `params.schema.json`, the JSON Schema of `params.yaml`: `python -m tasks.stage.schema`.

Editors read it, as the first line of `params.yaml` asks them to: they complete names, show descriptions and mark mistakes. It
is generated from the classes of the sections. It cannot express checks across parameters; `train-resnet check` does those.
"""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from resnet.core.files import replacing
from tasks.stage.graph import DVC_YAML, read_graph
from tasks.stage.params import SEED_DESCRIPTION, SEEDS, section_class

SCHEMA_JSON = Path("params.schema.json")


def params_schema(stages: Iterable[str]) -> dict[str, Any]:
    """The schema of `params.yaml` with a section for each stage, in JSON Schema draft 2020-12."""
    seed = {"description": SEED_DESCRIPTION, "maximum": SEEDS - 1, "minimum": 0, "type": "integer"}
    sections = {stage: _without_titles(section_class(stage).model_json_schema()) for stage in stages}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "params.yaml",
        "description": "The parameters of the pipeline",
        "type": "object",
        "properties": {"seed": seed, **sections},
        "required": ["seed", *sections],
        "additionalProperties": False,
    }


def schema_text(stages: Iterable[str]) -> str:
    """The contents of `params.schema.json`."""
    return json.dumps(params_schema(stages), indent=2, ensure_ascii=False) + "\n"


def _without_titles(section: dict[str, Any]) -> dict[str, Any]:
    """Drops the titles that pydantic makes of the names: editors would show each name twice."""
    section = {key: value for key, value in section.items() if key != "title"}
    for field in section["properties"].values():
        del field["title"]
    return section


def main() -> int:
    """Writes the file into the current folder; returns the exit code."""
    with replacing(SCHEMA_JSON) as partial:
        partial.write_text(schema_text(read_graph(DVC_YAML)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
