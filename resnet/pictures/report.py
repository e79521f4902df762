"""One page that shows a run's results, and opens from disk without a network.

It decides what is shown and how much of it. The page is a function of what it is given alone, so the same results give the same
bytes, and it loads nothing: pictures are inside, and there is no script.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from resnet.pictures.confusion import MOST_IN_ORDER, count_confusions, draw_confusion, most_confused
from resnet.pictures.curves import draw_curves, draw_learning_rate
from resnet.pictures.data_warnings import percent
from resnet.pictures.pages import environment, plain
from resnet.pictures.reliability import draw_reliability
from resnet.pictures.samples import SMALL, as_picture, lay_over
from resnet.pictures.svg import inline_svg

if TYPE_CHECKING:
    import pandas as pd
    from markupsafe import Markup

_MOST_CLASSES = 3000  # a row of the table is 0.3 kB
_MOST_MISTAKES = 50
_MOST_PAIRS = 20
_SMALL_FIGURE = (4.4, 3.2)  # inches; three stand side by side, and their text must be read


@dataclass(frozen=True)
class Samples:
    """Some of the test images.

    Attributes:
        rows: (samples,) their places among the predictions.
        images: (samples, height, width, 3) uint8 RGB.
        heat_maps: (samples, rows, columns) uint8, where the network looked, 255 where it found most.
    """

    rows: npt.NDArray[np.int64]
    images: npt.NDArray[np.uint8]
    heat_maps: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Results:
    """What a run came to.

    Attributes:
        classes: the names, in the order of the labels.
        metrics: the headline figures by name, see `resnet.evaluation.metrics.summarise`.
        details: what stands behind them, see `resnet.evaluation.metrics.detail`; with heat_maps_of_layer, and provenance:
            model_md5, saved_by_keras, precision, versions.
        gate: passed, and checks, each with name, passed and why; see `resnet.evaluation.gate`.
        history: a row an epoch.
        per_class: a row a class, see `resnet.evaluation.metrics.per_class`.
        calibration: a row a bin, see `resnet.pictures.reliability`.
        predictions: a row a test image, with the columns path, label, predicted, probability.
        samples: of the test images.
        model_summary: as Keras prints it.
        data: see `resnet.pictures.data_report.summarise_data`.
        parameters: by section; values of any kind.
        hashes: MD5 by file, of what the data are known by.
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
    """The page as HTML, with the pictures inside."""
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
            pairs=most_confused(counts, results.classes, _MOST_PAIRS),
            clustered=len(results.classes) > MOST_IN_ORDER,
            cautious=results.predictions["probability"].mean() < results.metrics["accuracy"],
            mistakes=[card for card in cards if card["label"] != card["predicted"]],
            hits=[card for card in cards if card["label"] == card["predicted"]],
            small=max(results.samples.images.shape[1:3]) <= SMALL,
            others=wrong.sort_values(["probability", "path"], ascending=[False, True]).head(_MOST_MISTAKES).to_dict("records"),
            mistakes_in_all=len(wrong),
            model_summary=results.model_summary,
            data=results.data,
            parameters=results.parameters,
            hashes=results.hashes,
        )
    )


def _drawings(results: Results, counts: npt.NDArray[np.int64]) -> dict[str, "Markup"]:
    history, metrics = results.history, results.metrics
    last = history.iloc[-1]
    ends = f"{len(history)} epochs; at the end training {{:.4g}}, validation {{:.4g}}."
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
    """The samples with what they are, what they were taken for, and where the network looked."""
    samples = results.samples
    rows = results.predictions.iloc[samples.rows].to_dict("records")
    return [
        {str(key): value for key, value in row.items()}
        | {
            "picture": as_picture(image),
            "looked": lay_over(image, heat),
            "alt": f"{plain(row['path'])}: {plain(row['label'])}, taken for {plain(row['predicted'])}",
        }
        for row, image, heat in zip(rows, samples.images, samples.heat_maps, strict=True)
    ]


def _weakest_first(per_class: "pd.DataFrame") -> list[dict[str, Any]]:
    """The classes with test images, from the least F1 to the greatest; few classes keep their order."""
    tested = per_class[per_class["support"] > 0]
    if len(tested) > MOST_IN_ORDER:
        tested = tested.sort_values(["f1", "label"])
    rows: list[Any] = tested.head(_MOST_CLASSES).to_dict("records")
    return rows
