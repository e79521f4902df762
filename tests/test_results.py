"""The results in Git: made by the code in Git, and told as they are.

They are checked where CI is set, in a clean clone: whoever changes a parameter, or runs the pipeline on another kind of
machine, has results of their own in the work tree, and nothing is wrong with that.
"""

import csv
import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo
from dvc_data.hashfile.build import build
from dvc_objects.fs.local import LocalFileSystem
from ruamel.yaml import YAML

from tasks.stage.graph import is_code
from tests.imports import ROOT

pytestmark = pytest.mark.skipif(not os.environ.get("CI"), reason="the work tree may hold other results: CI checks the clone")

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


@pytest.mark.parametrize(
    "command", ["training --size 224 --batch 32", "training --size 32 --batch 64", "inference --size 224 --batch 32"]
)
def test_the_speed_in_the_readme_is_that_of_the_benchmarks(command: str) -> None:
    runs: dict[str, Any] = json.loads((ROOT / "benchmarks/results.json").read_text("utf-8"))["runs"]
    (rows,) = [run["parts"][0]["rows"] for name, run in runs.items() if name.startswith(f"benchmarks.{command} ")]
    ratios = {row["contender"]: f"{row['ratio']:.2f}" for row in rows if row["figure"] == "images_per_second"}
    (line,) = [line for line in README.splitlines() if f"benchmarks.{command}`" in line]
    peers = [name for name in ("keras-bf16", "keras", "torch-bf16-compiled", "openvino-bf16") if name in ratios]
    assert [cell.strip() for cell in line.split("|")[3:]][: len(peers)] == [ratios[name] for name in peers]


def test_the_readme_names_what_is_there() -> None:
    tree = README.partition("## The tree")[2]
    for name in ("dvc.yaml", "params.yaml", "tasks/", "resnet/", "data/", "reports/", "tests/", "Makefile"):
        assert re.search(rf"(?m)^    .*{re.escape(name)}", tree), name
        assert (ROOT / name).exists()
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / link).exists(), link
