"""What a run came to, read from its work tree."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tasks.stage.graph import DVC_YAML, read_graph


@dataclass(frozen=True)
class Result:
    """What a run came to.

    Attributes:
        experiment: its name.
        metrics: the figures on the test split.
        val_loss: the least of the epochs, by which the weights were chosen.
    """

    experiment: str
    metrics: dict[str, float]
    val_loss: float


def read_result(root: Path, experiment: str) -> Result:
    """The result of the run in a work tree."""
    metrics: dict[str, float] = {}
    losses: list[float] = []
    for path in _files(root, "metrics", ".json"):
        metrics |= json.loads(path.read_text("utf-8"))
    for path in _files(root, "plots", ".csv"):
        with path.open(encoding="utf-8", newline="") as file:
            losses += [float(row["val_loss"]) for row in csv.DictReader(file) if "val_loss" in row]
    return Result(experiment, metrics, min(losses))


def read_hashes(root: Path) -> dict[str, str]:
    """The MD5 of every output of the run in a work tree, as `dvc.lock` has it, in the order of the stages."""
    lock = YAML(typ="safe", pure=True).load(root / "dvc.lock")
    return {out["path"]: out["md5"] for name in read_graph(root / DVC_YAML) for out in lock["stages"][name].get("outs", [])}


def find_pictures(root: Path) -> list[Path]:
    """The pictures of the run in a work tree."""
    return list(_files(root, "plots", ".png"))


def _files(root: Path, kind: str, suffix: str) -> Iterator[Path]:
    for entry in read_graph(root / DVC_YAML).values():
        for item in entry.get(kind, []):
            path = root / _path(item)
            if path.suffix == suffix:
                yield path


def _path(item: str | dict[str, Any]) -> str:
    return item if isinstance(item, str) else next(iter(item))
