"""Draws what the other stages found: curves, confusion matrix, samples, and one page with all of it."""

import hashlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from resnet.errors import damaged_input, missing_input
from resnet.files import replacing
from tasks.history import COLUMNS
from tasks.last_run import describe_last_run
from tasks.look import look, read_data
from tasks.model_card import write_model_card
from tasks.params import Section
from tasks.stage import main
from tasks.tables import read_table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from resnet.pictures.report import Results, Samples

_METRICS = {"accuracy", "accuracy_low", "accuracy_high", "macro_f1", "calibration_error", "loss"}
_DETAILS = {"images", "classes", "calibration_error_by_chance", "heat_maps_of_layer", "provenance"}
_PER_CLASS = {"label": "str", "support": "int", "predicted": "int"} | dict.fromkeys(
    ("precision", "recall", "recall_low", "recall_high", "f1"), "float"
)
_CALIBRATION = {"images": "int"} | dict.fromkeys(
    ("above", "up_to", "confidence", "accuracy", "accuracy_low", "accuracy_high"), "float"
)
_PREDICTIONS = {"path": "str", "label": "str", "predicted": "str", "probability": "float"}


class Render(Section):
    """Parameters of `render`, see `params.yaml`."""

    dpi: Annotated[int, Field(ge=30, le=600)]


def render(
    params: Render,
    *,
    seed: int,
    ingest: Section,
    preprocess: Section,
    build: Section,
    train: Section,
    evaluate: Section,
    classes_json: Path,
    model_summary_txt: Path,
    history_csv: Path,
    metrics_json: Path,
    evaluation_json: Path,
    per_class_csv: Path,
    calibration_csv: Path,
    predictions_csv: Path,
    sample_images_npz: Path,
    gate_json: Path,
    raw_sha256: Path,
    manifest_csv: Path,
    rejected_csv: Path,
    duplicates_csv: Path,
    ignored_csv: Path,
    prepared_sha256: Path,
    index_csv: Path,
    near_duplicates_csv: Path,
    thumbnails_parquet: Path,
    resnet_keras: Path,
    loss_png: Path,
    accuracy_png: Path,
    confusion_matrix_png: Path,
    samples_png: Path,
    index_html: Path,
    data_html: Path,
    model_card_md: Path,
) -> None:
    """Decides what a person looks at."""
    from resnet.pictures.data_report import summarise_data
    from resnet.pictures.report import Results, render_report

    data = read_data(
        classes_json=classes_json,
        raw_sha256=raw_sha256,
        manifest_csv=manifest_csv,
        rejected_csv=rejected_csv,
        duplicates_csv=duplicates_csv,
        ignored_csv=ignored_csv,
        prepared_sha256=prepared_sha256,
        index_csv=index_csv,
        near_duplicates_csv=near_duplicates_csv,
        thumbnails_parquet=thumbnails_parquet,
    )
    details = _read_json(evaluation_json, _DETAILS)
    sections = {"ingest": ingest, "preprocess": preprocess, "build": build, "train": train, "evaluate": evaluate}
    results = Results(
        classes=data.classes,
        metrics=_read_json(metrics_json, _METRICS),
        details=details,
        gate=_read_json(gate_json, {"passed", "checks"}),
        history=_read_history(history_csv),
        per_class=read_table(per_class_csv, _PER_CLASS, rows=len(data.classes)),
        calibration=read_table(calibration_csv, _CALIBRATION),
        predictions=read_table(predictions_csv, _PREDICTIONS, rows=details["images"]),
        samples=_read_samples(sample_images_npz, details["images"]),
        model_summary=_read(model_summary_txt),
        data=summarise_data(data),
        parameters={"": {"seed": seed}} | {name: section.model_dump() for name, section in sections.items()},
        hashes={f"{path.parent.name}/{path.name}": _md5(path) for path in (manifest_csv, index_csv)},
    )
    _draw(
        results,
        params.dpi,
        loss_png=loss_png,
        accuracy_png=accuracy_png,
        confusion_matrix_png=confusion_matrix_png,
        samples_png=samples_png,
    )
    with replacing(index_html) as partial:
        partial.write_text(render_report(results), encoding="utf-8")
    look(data, data_html)
    write_model_card(
        model_card_md,
        resnet_keras=resnet_keras,
        metrics={**results.metrics, "images": details["images"]},
        history=results.history,
        predictions=results.predictions,
        index_csv=index_csv,
        manifest_csv=manifest_csv,
    )
    print(f"render: {index_html} shows the results, {data_html} the data")
    if run := describe_last_run():
        print(f"render: last runs: {run}")


def _draw(
    results: "Results", dpi: int, *, loss_png: Path, accuracy_png: Path, confusion_matrix_png: Path, samples_png: Path
) -> None:
    """The pictures as files of their own, which `dvc plots` and Prefect show."""
    from resnet.pictures.confusion import count_confusions, draw_confusion
    from resnet.pictures.curves import draw_curves
    from resnet.pictures.grid import draw_grid

    labels, predicted = results.predictions["label"].tolist(), results.predictions["predicted"].tolist()
    rows = results.samples.rows
    shown = [labels[row] for row in rows], [predicted[row] for row in rows]
    mistakes = sum(label != guess for label, guess in zip(*shown, strict=True))
    in_all = sum(label != guess for label, guess in zip(labels, predicted, strict=True))
    title = f"{mistakes} of {in_all} mistakes, then {len(rows) - mistakes} of {len(labels) - in_all} hits"
    _save(draw_curves(results.history, "loss", "cross-entropy, nats"), loss_png, dpi)
    _save(draw_curves(results.history, "accuracy", "share of images"), accuracy_png, dpi)
    _save(draw_confusion(count_confusions(labels, predicted, results.classes), results.classes), confusion_matrix_png, dpi)
    _save(draw_grid(results.samples.images, *shown, title), samples_png, dpi)


def _read_history(path: Path) -> "pd.DataFrame":
    history = read_table(path, dict.fromkeys(COLUMNS, "float"))
    if history.empty:
        raise damaged_input(path, "it has no epoch")
    return history


def _read_samples(path: Path, images: int) -> "Samples":
    import zipfile

    import numpy as np

    from resnet.pictures.report import Samples

    try:
        with path.open("rb") as file, np.load(file) as archive:
            samples = Samples(archive["rows"], archive["images"], archive["heat_maps"])
    except FileNotFoundError as error:
        raise missing_input(path) from error
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise damaged_input(path, error) from error
    if not len(samples.rows) == len(samples.images) == len(samples.heat_maps) or samples.rows.max(initial=0) >= images:
        raise damaged_input(path, f"its rows do not fit {len(samples.images)} images of {images} predictions")
    return samples


def _read_json(path: Path, names: set[str]) -> dict[str, Any]:
    try:
        tree = json.loads(_read(path))
    except ValueError as error:
        raise damaged_input(path, error) from error
    if not isinstance(tree, dict) or not names <= tree.keys():
        raise damaged_input(path, f"{', '.join(sorted(names - {*tree}))} not in it")
    return tree


def _md5(path: Path) -> str:
    """As DVC has it."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except FileNotFoundError as error:
        raise missing_input(path) from error


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError as error:
        raise missing_input(path) from error
    except UnicodeDecodeError as error:
        raise damaged_input(path, error) from error


def _save(figure: "Figure", path: Path, dpi: int) -> None:
    with replacing(path) as partial:
        figure.savefig(partial, format="png", dpi=dpi)


if __name__ == "__main__":
    sys.exit(main("render"))
