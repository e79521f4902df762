"""The descriptions of the deployments agree with the pipeline, the commands and `prefect.yaml`."""

import json
import re
from itertools import pairwise
from typing import Any

import pytest
from ruamel.yaml import YAML

from flows.descriptions import SEARCH, SWEEP, TRAIN
from flows.form import fields
from flows.search import search
from flows.sweep import sweep
from flows.train_resnet import train_resnet
from tasks.stage.graph import read_graph
from tests.imports import ROOT
from tests.project import STAGES

PREFECT_YAML: Any = YAML(typ="safe").load(ROOT / "prefect.yaml")


def test_the_diagram_has_all_stages_and_only_dependencies_of_dvc_yaml() -> None:
    diagram = re.findall(r"```mermaid\n(.+?)```", TRAIN, re.DOTALL)[0]
    edges = set()
    for line in diagram.splitlines()[1:]:
        chain = line.split(" --> ")
        edges |= {(one.strip(), other.strip()) for one, other in pairwise(chain)}
    graph = read_graph(ROOT / "dvc.yaml")
    outputs = {
        stage: {
            item if isinstance(item, str) else next(iter(item)) for kind in ("outs", "plots") for item in entry.get(kind, [])
        }
        for stage, entry in graph.items()
    }
    for one, other in edges:
        assert any(dep == out or dep.startswith(f"{out}/") for dep in graph[other]["deps"] for out in outputs[one]), (
            one,
            other,
        )
    assert {stage for edge in edges for stage in edge} == set(STAGES)
    assert re.findall(r"(?m)^\| ([a-z]+) \| [a-z]", TRAIN)[1:] == STAGES


@pytest.mark.parametrize(("text", "flow"), [(TRAIN, train_resnet), (SWEEP, sweep), (SEARCH, search)])
def test_each_flow_has_its_description_and_an_example_that_works(text: str, flow: Any) -> None:
    assert flow.description == text
    name, arguments = re.findall(r"(?m)^    prefect deployment run (\S+) (.+)$", text)[0]
    assert name == flow.name
    for parameter, value in re.findall(r"-p (\w+)=(?:'(.+?)'|\d+)", arguments):
        assert parameter in flow.parameters.properties
        assert set(json.loads(value or "{}")) <= set(fields())


def test_prefect_yaml_has_a_deployment_of_each_flow_and_an_inactive_schedule() -> None:
    found = {one["name"]: one for one in PREFECT_YAML["deployments"]}
    assert {"train-resnet", "sweep", "search", "train-resnet-gpu", "train-resnet-nightly"} == found.keys()
    entries = {f"flows/{module}.py:{module}" for module in ("train_resnet", "sweep", "search")}
    assert {one["entrypoint"] for one in found.values()} == entries
    # An example that ran by itself after `prefect deploy --all` would train at night without having been asked to.
    assert [schedule["active"] for one in found.values() for schedule in one.get("schedules", [])] == [False]
