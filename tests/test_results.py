"""The results in Git belong to the code in Git, and the README states them correctly.

Skipped unless `CI` is set: a work tree may hold other results, after a change of a parameter or on another kind of machine.
"""

import csv
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo
from dvc_data.hashfile.build import build
from dvc_objects.fs.local import LocalFileSystem
from ruamel.yaml import YAML

from tasks.stage.graph import is_code
from tests.imports import ROOT

pytestmark = pytest.mark.skipif(not os.environ.get("CI"), reason="the work tree may hold other results")

README = (ROOT / "README.md").read_text("utf-8")
LOCK: dict[str, Any] = YAML(typ="safe").load(ROOT / "dvc.lock")["stages"]


def md5(path: str) -> str:
    return hashlib.md5((ROOT / path).read_bytes(), usedforsecurity=False).hexdigest()


def dvc_hash(repo: Repo, path: str) -> str:
    """The hash that DVC has of a file or folder of the work tree."""
    if (ROOT / path).is_file():
        return md5(path)
    files = LocalFileSystem()  # type: ignore[no-untyped-call]
    _, _, found = build(repo.cache.local, str(ROOT / path), files, "md5", dry_run=True, ignore=repo.dvcignore)
    return str(found.hash_info.value)


@pytest.mark.parametrize("stage", LOCK)
def test_dvc_lock_was_made_by_this_code_and_these_parameters(stage: str) -> None:
    code = {dep["path"]: dep["md5"] for dep in LOCK[stage]["deps"] if is_code(Path(dep["path"]))}
    with Repo(ROOT) as repo:
        assert {path: dvc_hash(repo, path) for path in code} == code, "run `dvc repro` and commit dvc.lock and reports/"
    params = YAML(typ="safe").load(ROOT / "params.yaml")
    for name, value in LOCK[stage]["params"]["params.yaml"].items():
        current = params
        for part in name.split("."):
            current = current[part]
        assert current == value, f"{name} changed: run `dvc repro` and commit dvc.lock and reports/"


def test_metrics_and_history_are_those_of_dvc_lock() -> None:
    outs = {out["path"]: out["md5"] for stage in LOCK.values() for out in stage["outs"]}
    for path in ("reports/metrics.json", "reports/history.csv"):
        assert md5(path) == outs[path]


@pytest.mark.parametrize("name", ["loss.png", "accuracy.png"])
def test_the_curves_in_the_readme_are_those_of_dvc_lock(name: str) -> None:
    outs = {out["path"]: out["md5"] for out in LOCK["render"]["outs"]}
    assert f"(docs/{name})" in README
    assert md5(f"docs/{name}") == outs[f"reports/{name}"], f"cp reports/{name} docs/"


def test_the_readme_tells_what_was_measured() -> None:
    accuracy = json.loads((ROOT / "reports/metrics.json").read_text("utf-8"))["accuracy"]
    assert f"{100 * accuracy:.2f} %" in README
    for name in ("seed", "split_seed"):
        rows = list(csv.DictReader((ROOT / f"docs/{name.removesuffix('_seed')}s.csv").read_text("utf-8").splitlines()))
        figures = [float(row["accuracy"]) for row in rows]
        assert [row[name] for row in rows] == ["0", "1", "2", "3", "4"]
        assert figures[0] == accuracy
        assert f"mean {100 * sum(figures) / 5:.2f} %, least {100 * min(figures):.2f} %" in " ".join(README.split())


# Contenders that train or predict as a user of the peer would, as the README names them.
PEERS = {
    "keras": "Keras",
    "keras-bf16": "Keras",
    "torch": "PyTorch eager",
    "torch-bf16": "PyTorch eager",
    "torch-bf16-compiled": "PyTorch compiled",
    "openvino-bf16": "OpenVINO",
    "openvino-bf16-throughput": "OpenVINO",
}

RUNS: dict[str, Any] = json.loads((ROOT / "benchmarks/results.json").read_text("utf-8"))["runs"]


@pytest.mark.parametrize(
    ("command", "network"),
    [
        ("training --size 224 --batch 32", "resnet50"),
        ("training --size 128 --batch 32", "resnet50"),
        ("training --size 32 --batch 64", "resnet50"),
        ("training --size 32 --batch 64", "resnet18"),
        ("inference --size 224 --batch 32", "resnet50"),
    ],
)
def test_the_speed_in_the_readme_is_that_of_the_benchmarks(command: str, network: str) -> None:
    option = "" if network == "resnet50" else f" --network {network}"
    rates = {row["contender"]: row for row in _rows(command, option) if row["figure"] == "images_per_second"}
    best = min((row["ratio"], PEERS[name]) for name, row in rates.items() if name in PEERS)
    (line,) = [line for line in README.splitlines() if f"benchmarks.{command}{option}`" in line]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert float(cells[1]) == float(f"{rates['ours']['median']:.3g}")
    keras = f"{rates['keras-bf16']['ratio']:.2f}" if "keras-bf16" in rates else ""
    assert cells[2:] == [keras, f"{best[0]:.2f}, {best[1]}"]


def test_int8_memory_and_the_whole_run_in_the_readme_are_those_of_the_benchmarks() -> None:
    inference = {
        row["contender"]: row for row in _rows("inference --size 224 --batch 32") if row["figure"] == "images_per_second"
    }
    openvino = max(row["median"] for name, row in inference.items() if name.startswith("openvino"))
    assert f"infers {inference['ours-int8']['median'] / openvino:.1f} times as fast as OpenVINO in bfloat16" in " ".join(
        README.split()
    )
    memory = {row["contender"]: row for row in _rows("training --size 224 --batch 32") if row["figure"] == "peak_memory_mb"}
    assert f"training needs {memory['torch-bf16']['ratio']:.2f} times the memory of PyTorch eager" in " ".join(README.split())
    ours, _ = RUNS["benchmarks.pipeline"]["parts"][0]["rows"]
    assert f"`make repro` takes {ours['median']:.0f} s without set-up" in " ".join(README.split())


def _rows(command: str, option: str = "") -> list[dict[str, Any]]:
    """The rows of a comparison."""
    found = [
        run["parts"][0]["rows"]
        for name, run in RUNS.items()
        if name.startswith(f"benchmarks.{command} ") and (option in name if option else "--network" not in name)
    ]
    (rows,) = found
    return rows
