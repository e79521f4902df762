"""Reads the results of `build`, `train` and `evaluate`, for the page of results."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnet.core.errors import damaged_input, missing_input
from resnet.core.tables import HISTORY_COLUMNS, read_table
from resnet.core.words import counted

if TYPE_CHECKING:
    import pandas as pd

    from resnet.pictures.report import Samples

_METRICS = {"accuracy", "accuracy_low", "accuracy_high", "macro_f1", "loss", "loss_before"} | {
    f"calibration_error{suffix}" for suffix in ("", "_by_chance", "_before")
}
_DETAILS = {"images", "classes", "macro_f1_classes", "network", "provenance"}
_PER_CLASS = {"label": "str", "support": "int", "predicted": "int"} | dict.fromkeys(
    ("precision", "recall", "recall_low", "recall_high", "f1"), "float"
)
_OF_SETS = ("threshold", "average_precision", "average_precision_low", "average_precision_high")
_CALIBRATION = {"images": "int"} | dict.fromkeys(
    ("above", "up_to", "confidence", "accuracy", "accuracy_low", "accuracy_high"), "float"
)
_PREDICTIONS = {"path": "str", "label": "str", "predicted": "str", "probability": "float", "label_probability": "float"}


@dataclass(frozen=True)
class Measured:
    """The files with results."""

    model_summary_txt: Path
    history_csv: Path
    metrics_json: Path
    predictions_csv: Path
    evaluation: Path

    def read(self, classes: int) -> dict[str, Any]:
        """Their contents, by the fields of `resnet.pictures.report.Results`.

        Raises:
            UserError: a file is missing or damaged.
        """
        from resnet.pictures.data_labels import are_sets

        details = _read_json(self.evaluation / "details.json", _DETAILS)
        return {
            "metrics": _read_json(self.metrics_json, _METRICS),
            "details": details,
            "gate": _read_json(self.evaluation / "gate.json", {"passed", "checks"}),
            "history": _read_history(self.history_csv),
            "per_class": _read_classes(self.evaluation / "per_class.csv", classes, several=are_sets(details["network"])),
            "calibration": read_table(self.evaluation / "calibration.csv", _CALIBRATION),
            "uncalibrated": read_table(self.evaluation / "uncalibrated.csv", _CALIBRATION),
            "predictions": read_table(self.predictions_csv, _PREDICTIONS, rows=details["images"]),
            "samples": _read_samples(self.evaluation / "samples.npz", details, classes),
            "model_summary": _read_text(self.model_summary_txt),
        }


def _read_classes(path: Path, classes: int, *, several: bool) -> "pd.DataFrame":
    """The table of classes; if images have several labels each, with thresholds and average precisions, NaN where empty."""
    if not several:
        return read_table(path, _PER_CLASS, rows=classes)
    table = read_table(path, _PER_CLASS | dict.fromkeys(_OF_SETS, "str"), rows=classes)
    try:
        return table.assign(**{name: table[name].replace("", "nan").astype("float") for name in _OF_SETS})
    except ValueError as error:
        raise damaged_input(path, error) from error


def _read_history(path: Path) -> "pd.DataFrame":
    history = read_table(path, dict.fromkeys(HISTORY_COLUMNS, "float"))
    if history.empty:
        raise damaged_input(path, "it has no epoch")
    return history


def _read_samples(path: Path, details: Mapping[str, Any], classes: int) -> "Samples":
    import zipfile

    import numpy as np

    from resnet.pictures.data_labels import are_sets
    from resnet.pictures.report import Samples

    images = details["images"]
    maps = ("observed", "probability") if are_sets(details["network"]) else ()
    try:
        with path.open("rb") as file, np.load(file) as archive:
            arrays = [archive[name] for name in ("rows", "images", "fall", "lowest", *maps)]
    except FileNotFoundError as error:
        raise missing_input(path) from error
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise damaged_input(path, error) from error
    samples = Samples(*arrays)
    if samples.observed is not None and samples.observed.max(initial=0) >= classes:
        raise damaged_input(path, f"it has maps of classes that are not among the {classes:,} of the network")
    if len({*map(len, arrays)}) > 1 or samples.rows.max(initial=0) >= images:
        found = f"{counted(len(samples.images), 'image')} of {counted(images, 'prediction')}"
        raise damaged_input(path, f"its rows do not fit {found}")
    return samples


def _read_json(path: Path, names: set[str]) -> dict[str, Any]:
    try:
        tree = json.loads(_read_text(path))
    except ValueError as error:
        raise damaged_input(path, error) from error
    if not isinstance(tree, dict) or not names <= tree.keys():
        raise damaged_input(path, f"{', '.join(sorted(names - {*tree}))} not in it")
    return tree


def _read_text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError as error:
        raise missing_input(path) from error
    except UnicodeDecodeError as error:
        raise damaged_input(path, error) from error
