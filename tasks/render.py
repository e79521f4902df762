"""Draws what the other stages found: curves, confusion matrix, samples, and one page with all of it."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from resnet.data.classes import read_classes
from resnet.errors import damaged_input, missing_input
from resnet.files import replacing
from tasks.history import COLUMNS
from tasks.look import look
from tasks.model_card import write_model_card
from tasks.params import Section
from tasks.stage import main
from tasks.tables import read_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Render(Section):
    """Parameters of `render`, see `params.yaml`."""

    dpi: Annotated[int, Field(ge=30, le=600)]


def render(
    params: Render,
    *,
    classes_json: Path,
    model_summary_txt: Path,
    history_csv: Path,
    metrics_json: Path,
    predictions_csv: Path,
    sample_images_npz: Path,
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
    from resnet.pictures.confusion import draw_confusion
    from resnet.pictures.curves import draw_curves
    from resnet.pictures.report import render_report

    look(
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
        data_html=data_html,
    )
    metrics = _figures(metrics_json)
    history = read_table(history_csv, dict.fromkeys(COLUMNS, "float"))
    if history.empty:
        raise damaged_input(history_csv, "it has no epoch")
    predictions = read_table(
        predictions_csv, {"path": "str", "label": "str", "predicted": "str", "probability": "float"}, rows=metrics["images"]
    )
    labels, predicted = predictions["label"].tolist(), predictions["predicted"].tolist()
    _save(draw_curves(history, "loss", "cross-entropy, nats"), loss_png, params.dpi)
    _save(draw_curves(history, "accuracy", "share of images"), accuracy_png, params.dpi)
    _save(draw_confusion(labels, predicted, read_classes(classes_json)), confusion_matrix_png, params.dpi)
    _save(_samples(sample_images_npz, labels, predicted), samples_png, params.dpi)
    page = render_report(
        metrics=metrics,
        history=history,
        predictions=predictions,
        model_summary=_read(model_summary_txt),
        pictures={
            "Loss": loss_png,
            "Accuracy": accuracy_png,
            "Confusion matrix": confusion_matrix_png,
            "Samples of the test images": samples_png,
        },
    )
    with replacing(index_html) as partial:
        partial.write_text(page, encoding="utf-8")
    write_model_card(
        model_card_md,
        resnet_keras=resnet_keras,
        metrics=metrics,
        history=history,
        predictions=predictions,
        index_csv=index_csv,
        manifest_csv=manifest_csv,
    )
    print(f"render: {index_html} shows the results, {data_html} the data")


def _samples(path: Path, labels: list[str], predicted: list[str]) -> "Figure":
    import zipfile

    import numpy as np

    from resnet.pictures.grid import draw_grid

    try:
        with path.open("rb") as file, np.load(file) as archive:
            rows, images = archive["rows"], archive["images"]
    except FileNotFoundError as error:
        raise missing_input(path) from error
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise damaged_input(path, error) from error
    if len(rows) != len(images) or rows.max(initial=0) >= len(labels):
        raise damaged_input(path, f"its rows do not fit {len(images)} images of {len(labels)} predictions")
    shown = [labels[row] for row in rows], [predicted[row] for row in rows]
    mistakes = sum(label != guess for label, guess in zip(*shown, strict=True))
    in_all = sum(label != guess for label, guess in zip(labels, predicted, strict=True))
    title = f"{mistakes} of {in_all} mistakes, then {len(rows) - mistakes} of {len(labels) - in_all} hits"
    return draw_grid(images, *shown, title)


def _figures(path: Path) -> dict[str, Any]:
    try:
        figures = json.loads(_read(path))
    except ValueError as error:
        raise damaged_input(path, error) from error
    if not isinstance(figures, dict) or not {"accuracy", "accuracy_low", "accuracy_high", "images"} <= figures.keys():
        raise damaged_input(path, "the accuracy or the number of images is not in it")
    return figures


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
