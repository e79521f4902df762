"""The deployments for containers fit the job templates that Prefect ships for its Docker and Kubernetes workers.

The packages of these workers are not installed, and nothing here starts a container.
"""

import copy
import json
import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import jsonschema
import prefect
import pytest
from prefect.client.schemas.objects import WorkPool
from ruamel.yaml import YAML

from tests.imports import ROOT

REGISTRY = Path(prefect.__file__).parent / "server/api/collections_data/views/aggregate-worker-metadata.json"
OURS: Any = json.loads((ROOT / "containers/kubernetes.json").read_text("utf-8"))
OWN = {"volume_claim", "secret", "gpus"}


def shipped(package: str, kind: str) -> Any:
    """The job template that Prefect ships for a kind of worker."""
    return json.loads(REGISTRY.read_text("utf-8"))[package][kind]["default_base_job_configuration"]


def deployments(name: str) -> dict[str, Any]:
    """The job variables of each deployment in a file, with its other settings."""
    read: Any = YAML(typ="safe").load(ROOT / name)
    return {one["name"]: one for one in read["deployments"]}


TEMPLATES = {
    "train-resnet-docker": shipped("prefect-docker", "docker"),
    "train-resnet-kubernetes": OURS,
    **dict.fromkeys(deployments("prefect.yaml"), shipped("prefect", "process")),
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_job_variables_fit_the_template(name: str) -> None:
    one = (deployments("prefect.yaml") | deployments("containers/deployments.yaml"))[name]
    path, _, function = one["entrypoint"].partition(":")
    assert f"def {function}(" in (ROOT / path).read_text("utf-8")
    schema, given = TEMPLATES[name]["variables"], one["work_pool"]["job_variables"]
    jsonschema.validate(given, schema)
    assert given.keys() <= schema["properties"].keys()  # the schema does not refuse names that it does not know
    assert given["env"]["TRAIN_RESNET_WORKER"]


def test_the_template_for_kubernetes_is_prefects_own_with_a_volume_a_secret_and_gpus() -> None:
    theirs, ours = shipped("prefect-kubernetes", "kubernetes"), copy.deepcopy(OURS)
    for name in OWN:
        del ours["variables"]["properties"][name]
    pod = ours["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    volumes, mounts, secrets = pod.pop("volumes"), container.pop("volumeMounts"), container.pop("envFrom")
    assert container["resources"]["limits"].pop("nvidia.com/gpu") == "{{ gpus }}"
    assert ours["job_configuration"] == theirs["job_configuration"]
    assert ours["variables"]["properties"] == theirs["variables"]["properties"]
    assert [volume["name"] for volume in volumes] == [mount["name"] for mount in mounts]
    assert secrets == [{"secretRef": {"name": "{{ secret }}", "optional": True}}]
    kept = deployments("containers/deployments.yaml")["train-resnet-kubernetes"]["work_pool"]["job_variables"]["env"]
    assert [mount["mountPath"] for mount in mounts] == [kept["TRAIN_RESNET_WORKER"]]
    WorkPool(
        name="x", type="kubernetes", base_job_template=OURS, default_queue_id=uuid4()
    )  # checks that each placeholder is a variable
    assert set(re.findall(r"\{\{ (\w+) \}\}", json.dumps(OURS["job_configuration"]))) >= OWN


def test_the_image_has_the_locked_packages_and_what_runs_need() -> None:
    text = (ROOT / "containers/Dockerfile").read_text("utf-8")
    for copied in re.findall(r"(?m)^COPY (.+) \S+$", text):
        assert all((ROOT / name).exists() for name in copied.split())
    setup = re.findall(r"pip install (.+ -r requirements\.lock)", (ROOT / "Makefile").read_text("utf-8"))[0]
    for option in ("--no-deps", "--require-hashes", "-r requirements.lock"):
        assert option in text
        assert option in setup
    assert {"g++", "git"} <= set(re.findall(r"[\w+-]+", text))
    volumes = deployments("containers/deployments.yaml")["train-resnet-docker"]["work_pool"]["job_variables"]["volumes"]
    assert [volume.partition(":")[2] for volume in volumes] == re.findall(r"(?m)^VOLUME (\S+)$", text)


@pytest.mark.parametrize("name", ["prefect.yaml", "containers/deployments.yaml"])
def test_code_comes_from_the_repository_and_branch_of_the_clone_that_deploys(name: str) -> None:
    read: Any = YAML(typ="safe").load(ROOT / name)
    scripts = {step["id"]: step["script"] for one in read["build"] for step in one.values()}
    assert scripts["origin"].startswith("git remote get-url origin | sed ")  # tests/flows/test_worker_home.py runs it
    assert scripts["branch"] == "git branch --show-current"
    ((step, inputs),) = read["pull"][0].items()
    assert step == "prefect.deployments.steps.git_clone"
    assert inputs == {"repository": "{{ origin.stdout }}", "branch": "{{ branch.stdout }}"}
