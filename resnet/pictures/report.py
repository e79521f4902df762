"""The HTML report of the results of a run.

The page depends only on its input, so the same results give the same bytes. It is a single file: images are embedded, there are
no scripts, and nothing is loaded from the network.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from resnet.pictures.confusion import MAX_IN_ORDER, count_confusions, draw_confusion, most_confused
from resnet.pictures.curves import draw_curves, draw_learning_rate
from resnet.pictures.pages import environment, percent, plain
from resnet.pictures.reliability import draw_reliability
from resnet.pictures.samples import SMALL, encode_image, overlay_heat_map
from resnet.pictures.svg import inline_svg

if TYPE_CHECKING:
    import pandas as pd
    from markupsafe import Markup

_MAX_CLASSES = 3000  # a row of the table is 0.3 kB
_MAX_ERRORS = 50
_MAX_CONFUSIONS = 20
_SMALL_FIGURE = (4.4, 3.2)  # inches; small enough for three side by side, large enough to read their text


@dataclass(frozen=True)
class Samples:
    """Some of the test images.

    Attributes:
        rows: (samples,) their row numbers in the predictions.
        images: (samples, height, width, 3) uint8 RGB.
        heat_maps: (samples, rows, columns) uint8 Grad-CAM maps, 255 where the support for the prediction is largest.
    """

    rows: npt.NDArray[np.int64]
    images: npt.NDArray[np.uint8]
    heat_maps: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Results:
    """The results of a run.

    Attributes:
        classes: the class names in the order of the labels.
        metrics: the headline figures, see `resnet.evaluation.metrics.summarise`.
        details: the figures of `resnet.evaluation.metrics.detail`; heat_maps_of_layer; and provenance, with model_md5,
            saved_by_keras, precision and versions.
        gate: passed, and checks, each with name, passed and why; see `resnet.evaluation.gate`.
        history: one row for each epoch, with the columns `resnet.core.tables.HISTORY_COLUMNS`.
        per_class: one row for each class, see `resnet.evaluation.metrics.per_class`.
        calibration: one row for each bin, see `resnet.pictures.reliability`.
        predictions: one row for each test image, with the columns path, label, predicted, probability.
        samples: some of the test images.
        model_summary: the summary that Keras prints.
        data: see `resnet.pictures.data_report.summarise_data`.
        parameters: values by section and name.
        hashes: the MD5 of the files that identify the data.
    """

    classes: list[str]
    metrics: Mapping[str, float]
    details: Mapping[str, Any]
    gate: Mapping[str, Any]
    history: "pd.DataFrame"
    per_class: "pd.DataFrame"
    calibration: "pd.DataFrame"
    predictions: "pd.DataFrame"
    samples: Samples
    model_summary: str
    data: Mapping[str, Any]
    parameters: Mapping[str, Mapping[str, Any]]
    hashes: Mapping[str, str]


def render_report(results: Results) -> str:
    """The page as HTML, with embedded images."""
    counts = count_confusions(results.predictions["label"].tolist(), results.predictions["predicted"].tolist(), results.classes)
    wrong = results.predictions[results.predictions["label"] != results.predictions["predicted"]]
    cards = _cards(results)
    return (
        environment()
        .get_template("report.html")
        .render(
            metrics=results.metrics,
            details=results.details,
            gate=results.gate,
            history=results.history.to_dict("records"),
            kept=results.history.iloc[int(results.history["val_loss"].argmin())].to_dict(),
            per_class=_weakest_first(results.per_class),
            calibration=results.calibration[results.calibration["images"] > 0].to_dict("records"),
            drawings=_drawings(results, counts),
            pairs=most_confused(counts, results.classes, _MAX_CONFUSIONS),
            clustered=len(results.classes) > MAX_IN_ORDER,
            underconfident=results.predictions["probability"].mean() < results.metrics["accuracy"],
            errors=[card for card in cards if card["label"] != card["predicted"]],
            hits=[card for card in cards if card["label"] == card["predicted"]],
            small=max(results.samples.images.shape[1:3]) <= SMALL,
            others=wrong.sort_values(["probability", "path"], ascending=[False, True]).head(_MAX_ERRORS).to_dict("records"),
            total_errors=len(wrong),
            model_summary=results.model_summary,
            data=results.data,
            parameters=results.parameters,
            hashes=results.hashes,
        )
    )


def _drawings(results: Results, counts: npt.NDArray[np.int64]) -> dict[str, "Markup"]:
    history, metrics = results.history, results.metrics
    last = history.iloc[-1]
    ends = f"{len(history)} epochs; in the last one {{:.4g}} in training, {{:.4g}} in validation."
    return {
        "loss": inline_svg(
            draw_curves(history, "loss", "cross-entropy, nats", _SMALL_FIGURE),
            "loss",
            f"Loss over {ends.format(last['loss'], last['val_loss'])}",
        ),
        "accuracy": inline_svg(
            draw_curves(history, "accuracy", "share of images", _SMALL_FIGURE),
            "accuracy",
            f"Accuracy over {ends.format(last['accuracy'], last['val_accuracy'])}",
        ),
        "learning_rate": inline_svg(
            draw_learning_rate(history, _SMALL_FIGURE),
            "learning-rate",
            f"Learning rate over {len(history)} epochs, at most {history['learning_rate'].max():.3g}.",
        ),
        "confusion": inline_svg(
            draw_confusion(counts, results.classes),
            "confusion",
            f"Confusion matrix of {len(results.classes)} classes, with {percent(metrics['accuracy'])} on its diagonal.",
        ),
        "reliability": inline_svg(
            draw_reliability(results.calibration),
            "reliability",
            f"Accuracy against confidence; expected calibration error {metrics['calibration_error']:.4f}.",
        ),
    }


def _cards(results: Results) -> list[dict[str, Any]]:
    """The samples with their labels, predictions, images and heat maps."""
    samples = results.samples
    rows = results.predictions.iloc[samples.rows].to_dict("records")
    return [
        {str(key): value for key, value in row.items()}
        | {
            "picture": encode_image(image),
            "heat_map": overlay_heat_map(image, heat),
            "alt": f"{plain(row['path'])}: {plain(row['label'])}, predicted as {plain(row['predicted'])}",
        }
        for row, image, heat in zip(rows, samples.images, samples.heat_maps, strict=True)
    ]


def _weakest_first(per_class: "pd.DataFrame") -> list[dict[str, Any]]:
    """The classes with test images, by rising F1; up to 20 classes keep their order."""
    tested = per_class[per_class["support"] > 0]
    if len(tested) > MAX_IN_ORDER:
        tested = tested.sort_values(["f1", "label"])
    rows: list[Any] = tested.head(_MAX_CLASSES).to_dict("records")
    return rows
