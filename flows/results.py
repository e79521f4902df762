"""The results of a run, read from its work tree."""

import csv
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tasks.stage.graph import DVC_YAML, read_graph

MIRRORED = ", with mirror images"  # after an accuracy
MAP = "mAP "  # before a mean average precision


@dataclass(frozen=True)
class Result:
    """The result of a run.

    Attributes:
        experiment: the name of its DVC experiment.
        metrics: figures on the test split.
        val_loss: the lowest validation loss of all epochs, which selected the weights.
    """

    experiment: str
    metrics: dict[str, float]
    val_loss: float

    def accuracy(self) -> str:
        """The test accuracy with its 95 % interval, as in `99.1 % (98.4 to 99.5)`; empty if it is not known.

        With several labels an image it is the mean average precision, as in `mAP 81.2 % (78.0 to 84.0)`. It says if each test
        image was judged together with its mirror image, by `evaluate.mirror`.
        """
        name, start = ("mean_average_precision", MAP) if self.of_sets else ("accuracy", "")
        try:
            found, low, high = (100 * self.metrics[f"{name}{end}"] for end in ("", "_low", "_high"))
        except (KeyError, TypeError):  # a revision with other metrics
            return ""
        return f"{start}{found:.1f} % ({low:.1f} to {high:.1f}){self._mirrored()}"

    def named_accuracy(self) -> str:
        """The same as the end of a sentence, as in `test accuracy 99.1 % (98.4 to 99.5)`; empty if it is not known."""
        accuracy = self.accuracy()
        return accuracy and f"{'test' if self.of_sets else 'test accuracy'} {accuracy}"

    @property
    def of_sets(self) -> bool:
        """Whether images have several labels each."""
        return "micro_f1" in self.metrics

    def short_accuracy(self) -> str:
        """The same without the interval."""
        accuracy = self.accuracy()
        return f"{accuracy.partition(' (')[0]}{self._mirrored()}" if accuracy else ""

    def _mirrored(self) -> str:
        return MIRRORED if self.metrics.get("mirror") else ""


def accuracy_column(results: Iterable[Result | None]) -> str:
    """The head of a column of `Result.accuracy`, whose cells name a mean average precision themselves."""
    of_sets = any(result.of_sets for result in results if result)
    return "test (95 % interval)" if of_sets else "test accuracy (95 % interval)"


def read_result(root: Path, experiment: str) -> Result:
    """Reads the metrics and the lowest validation loss from the files that `dvc.yaml` declares.

    Args:
        root: the work tree of the run.
        experiment: the name of its experiment.
    """
    metrics: dict[str, float] = {}
    for path in _files(root, "metrics", ".json"):
        metrics |= json.loads(path.read_text("utf-8"))
    return Result(experiment, metrics, lowest_loss(read_history(root)))


def lowest_loss(history: Iterable[Mapping[str, float]]) -> float:
    """The lowest validation loss, as of the weights that are kept. Infinite if none is a number: Optuna takes no NaN."""
    return min((row["val_loss"] for row in history if not math.isnan(row["val_loss"])), default=math.inf)


def read_history(root: Path) -> list[dict[str, float]]:
    """Reads the epochs so far: their columns by name, `val_loss` among them.

    Args:
        root: the work tree of the run. Training may not have ended there.
    """
    rows: list[dict[str, float]] = []
    for path in _files(root, "plots", ".csv"):
        if not path.exists():
            continue
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if "val_loss" in (reader.fieldnames or ()):
                rows += [{name: float(value) for name, value in row.items()} for row in reader]
    return rows


def read_hashes(root: Path) -> dict[str, str]:
    """Returns the MD5 of every output by its path, read from `dvc.lock`, in the order of the stages."""
    lock = YAML(typ="safe", pure=True).load(root / "dvc.lock")
    return {out["path"]: out["md5"] for name in read_graph(root / DVC_YAML) for out in lock["stages"][name].get("outs", [])}


def find_pictures(root: Path) -> list[Path]:
    """Lists the PNG files that `dvc.yaml` declares as plots."""
    return list(_files(root, "plots", ".png"))


def _files(root: Path, kind: str, suffix: str) -> Iterator[Path]:
    for entry in read_graph(root / DVC_YAML).values():
        for item in entry.get(kind, []):
            path = root / _path(item)
            if path.suffix == suffix:
                yield path


def _path(item: str | dict[str, Any]) -> str:
    return item if isinstance(item, str) else next(iter(item))
