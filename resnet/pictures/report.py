"""The HTML report of the results of a run.

The page depends only on its input, so the same results give the same bytes. It is a single file: images are embedded, there are
no scripts, and nothing is loaded from the network.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from resnet.core.words import counted
from resnet.pictures.confusion import MAX_IN_ORDER, count_confusions, draw_confusion, most_confused
from resnet.pictures.curves import draw_curves, draw_learning_rate
from resnet.pictures.data_labels import are_sets
from resnet.pictures.pages import environment, percent, places_by, plain, share_of
from resnet.pictures.reliability import draw_reliability
from resnet.pictures.report_of_sets import card_of_set, context_of_sets, draw_pairs
from resnet.pictures.samples import BLUE, ORANGE, encode_image, overlay_occlusion, shown_size
from resnet.pictures.svg import inline_svg, text_of_pages

if TYPE_CHECKING:
    import pandas as pd
    from markupsafe import Markup

_MAX_CLASSES = 3000  # a row of the table is 0.3 kB
_MAX_ERRORS = 50
_MAX_CONFUSIONS = 20
_ENOUGH_TO_TELL = 200  # test images; of fewer, a calibrated network has errors of 0.1 and more by chance
_MIRROR = "mean logits of each image and its mirror image; predict and exports look at each image once"
_SMALL_FIGURE = (4.2, 3.2)  # inches; 302 pixels, so that three are side by side and one fits a phone


@dataclass(frozen=True)
class Samples:
    """Some of the test images.

    Attributes:
        rows: (samples,) their row numbers in the predictions.
        images: (samples, height, width, 3) uint8 RGB.
        fall: (samples, rows, columns) by how much the probability of the prediction falls when this place is covered, see
            `resnet.evaluation.occlusion`.
        lowest: (samples,) the lowest probability of the prediction with one place covered.
        observed: (samples,) the number of the class whose probability the maps observe, if images have several labels each.
        probability: (samples,) its probability.
    """

    rows: npt.NDArray[np.int64]
    images: npt.NDArray[np.uint8]
    fall: npt.NDArray[np.float32]
    lowest: npt.NDArray[np.float64]
    observed: npt.NDArray[np.int64] | None = None
    probability: npt.NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Results:
    """The results of a run.

    If images have several labels each, `metrics` and `details` are those of `resnet.evaluation.multi_label`, the labels of the
    predictions are texts of sets, and the details of the network have `multi_label`.

    Attributes:
        classes: the class names in the order of the labels.
        metrics: the figures of `resnet.evaluation.metrics.summarise` and `before_calibration`.
        details: the figures of `resnet.evaluation.metrics.detail`; network, the arguments of `ResNet`; and provenance, with
            model_md5, saved_by_keras, precision and versions.
        gate: passed, and checks, each with name, passed and why; see `resnet.evaluation.gate`.
        history: one row for each epoch, with the columns `resnet.core.tables.HISTORY_COLUMNS`.
        per_class: one row for each class, see `resnet.evaluation.metrics.per_class`.
        calibration: one row for each bin, see `resnet.pictures.reliability`.
        uncalibrated: the same without the temperature.
        predictions: one row for each test image, with the columns path, label, predicted, probability and label_probability.
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
    uncalibrated: "pd.DataFrame"
    predictions: "pd.DataFrame"
    samples: Samples
    model_summary: str
    data: Mapping[str, Any]
    parameters: Mapping[str, Mapping[str, Any]]
    hashes: Mapping[str, str]


def render_report(results: Results) -> str:
    """The page as HTML, with embedded images."""
    if are_sets(results.details["network"]):
        return _render("report_of_sets.html", results, context_of_sets(results, _MAX_CONFUSIONS), draw_pairs(results))
    counts = count_confusions(results.predictions["label"].tolist(), results.predictions["predicted"].tolist(), results.classes)
    of_classes = {
        "guess": _most_frequent(results.per_class),
        "pairs": most_confused(counts, results.classes, _MAX_CONFUSIONS),
        "underconfident": results.predictions["probability"].mean() < results.metrics["accuracy"],
    }
    return _render("report.html", results, of_classes, _draw_confusions(results, counts))


def _render(template: str, results: Results, more: Mapping[str, Any], drawings: Mapping[str, "Markup"]) -> str:
    wrong = results.predictions[results.predictions["label"] != results.predictions["predicted"]]
    cards = _cards(results)
    classes, orders = _orders(results.per_class, results.details["network"])
    return (
        environment()
        .get_template(template)
        .render(
            metrics={**results.metrics, "accuracy": share_of(results.metrics["accuracy"], len(results.predictions))},
            facts=_facts(results),
            details=results.details,
            gate=results.gate,
            history=results.history.to_dict("records"),
            kept=_kept(results),
            per_class=classes,
            orders_of_classes=orders,
            calibration=results.calibration[results.calibration["images"] > 0].to_dict("records"),
            drawings={**_drawings(results), **drawings},
            clustered=len(results.classes) > MAX_IN_ORDER,
            temperature=results.details["network"].get("temperature"),
            spoilt=_spoilt(results.metrics),
            too_few_to_tell=len(results.predictions) < _ENOUGH_TO_TELL,
            errors=[card for card in cards if card["label"] != card["predicted"]],
            hits=[card for card in cards if card["label"] == card["predicted"]],
            input_size="{1} \u00d7 {0}".format(*results.samples.images.shape[1:3]),
            orange=ORANGE,
            blue=BLUE,
            shown=shown_size(*results.samples.images.shape[1:3]),
            small=max(shown_size(*results.samples.images.shape[1:3])) > max(results.samples.images.shape[1:3]),
            others=wrong.sort_values(["probability", "path"], ascending=[False, True]).head(_MAX_ERRORS).to_dict("records"),
            total_errors=len(wrong),
            model_summary=results.model_summary,
            data=results.data,
            parameters=results.parameters,
            hashes=results.hashes,
            **more,
        )
    )


def _kept(results: Results) -> dict[str, float]:
    row = results.history.iloc[int(results.history["val_loss"].argmin())]
    kept = {str(name): float(value) for name, value in row.items()}
    return {**kept, "val_accuracy": share_of(kept["val_accuracy"], results.data["splits"]["validation"])}


def _spoilt(metrics: Mapping[str, float]) -> list[str]:
    """What the temperature made larger on the test images."""
    names = {"calibration_error": "calibration error", "loss": "loss"}
    return [text for name, text in names.items() if metrics[name] > metrics.get(f"{name}_before", metrics[name])]


def _facts(results: Results) -> dict[str, str]:
    """What was trained on what, for the head of the page; a name without a value is left out."""
    network, build = results.details["network"], results.parameters.get("build", {})
    blocks = build.get("blocks")
    kind = f"ResNet {network['variant']} with blocks {blocks}" if blocks else f"ResNet-{network['depth']} {network['variant']}"
    height, width = network["input_shape"][:2]
    weights = f", initial weights {build['weights']}" if "weights" in build else ""
    several = ", multi-label" if are_sets(network) else ""
    kept = int(results.history["epoch"].iloc[int(results.history["val_loss"].argmin())])
    files, splits = results.data["files"], results.data["splits"]
    source = str(results.parameters.get("ingest", {}).get("source", ""))
    of_splits = f"{splits['training']:,} for training, {splits['validation']:,} for validation, {splits['test']:,} for testing"
    classes = counted(results.data["classes_in_all"], "class", "classes")
    images = f"{counted(files['accepted'], 'image')} in {classes}: {of_splits}"
    return {
        "data": f"{source}, {images}" if source else images,
        "network": f"{kind}, {height} \u00d7 {width} pixels{weights}{several}",
        "training": f"{counted(len(results.history), 'epoch')}, weights of epoch {kept}",
        "testing": _MIRROR if results.metrics.get("mirror") else "",
        "gate": "" if results.gate["checks"] else "none set",
    }


@text_of_pages()
def _drawings(results: Results) -> dict[str, "Markup"]:
    history = results.history
    last = history.iloc[-1]
    ends = f"{counted(len(history), 'epoch')}; in the last one {{:.4g}} in training, {{:.4g}} in validation."
    return {
        "loss": inline_svg(
            draw_curves(history, "loss", "nats", _SMALL_FIGURE),
            "loss",
            f"Loss over {ends.format(last['loss'], last['val_loss'])}",
        ),
        "accuracy": inline_svg(
            draw_curves(history, "accuracy", "share", _SMALL_FIGURE),
            "accuracy",
            f"Accuracy over {ends.format(last['accuracy'], last['val_accuracy'])}",
        ),
        "learning_rate": inline_svg(
            draw_learning_rate(history, _SMALL_FIGURE),
            "learning-rate",
            f"Learning rate over {counted(len(history), 'epoch')}, at most {history['learning_rate'].max():.3g}.",
        ),
    }


@text_of_pages()
def _draw_confusions(results: Results, counts: npt.NDArray[np.int64]) -> dict[str, "Markup"]:
    metrics = results.metrics
    return {
        "confusion": inline_svg(
            draw_confusion(counts, results.classes, title=""),
            "confusion",
            f"Confusion matrix of {len(results.classes)} classes, with {percent(metrics['accuracy'])} on its diagonal.",
        ),
        "reliability": inline_svg(
            draw_reliability(results.calibration, before=results.uncalibrated),
            "reliability",
            f"Accuracy against confidence; expected calibration error {metrics['calibration_error']:.4f}, before "
            f"the temperature {metrics['calibration_error_before']:.4f}.",
        ),
    }


def _cards(results: Results) -> list[dict[str, Any]]:
    """The samples with their labels, predictions, images and occlusion maps."""
    samples = results.samples
    rows = results.predictions.iloc[samples.rows].to_dict("records")
    cards = [
        {str(key): value for key, value in row.items()}
        | {
            "picture": encode_image(image),
            "occlusion": overlay_occlusion(image, fall),
            "lowest": float(lowest),
            "alt": f"{plain(row['path'])}: {plain(row['label'])}, predicted as {plain(row['predicted'])}",
        }
        for row, image, fall, lowest in zip(rows, samples.images, samples.fall, samples.lowest, strict=True)
    ]
    if samples.observed is None or samples.probability is None:
        return cards
    maps = zip(samples.observed.tolist(), samples.probability.tolist(), strict=True)
    return [
        card_of_set(card, results.classes[number], probability) for card, (number, probability) in zip(cards, maps, strict=True)
    ]


def _orders(per_class: "pd.DataFrame", network: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """The classes with test images or predictions, and the names of the orders of the table.

    Up to 20 classes keep their order, which may be meaningful; more are ordered by rising F1, or average precision if images
    have several labels each. A row has its places in the other orders.
    """
    worst, lowest = ("average_precision", "lowest average precision") if are_sets(network) else ("f1", "lowest F1")
    rows = per_class[per_class["support"] + per_class["predicted"] > 0]
    rows = rows.assign(lowest_recall=rows["recall"].where(rows["support"] > 0, 2), most_images=-rows["support"])
    few = len(rows) <= MAX_IN_ORDER
    rows = (rows if few else rows.sort_values([worst, "label"])).head(_MAX_CLASSES)
    others = {"lowest recall": ["lowest_recall", "label"], "most images": ["most_images", "label"]}
    others = {lowest: [worst, "label"], **others} if few else {**others, "name": ["label"]}
    places = zip(*(places_by(rows, columns) for columns in others.values()), strict=True)
    records: list[Any] = rows.to_dict("records")
    shown = [{**row, "places": place} for row, place in zip(records, places, strict=True)]
    return shown, ["class" if few else lowest, *others]


def _most_frequent(per_class: "pd.DataFrame") -> dict[str, Any]:
    """The class with the most test images, and the accuracy of always answering it."""
    support = per_class["support"].to_numpy()
    place = int(support.argmax())
    return {"label": str(per_class["label"].iloc[place]), "share": float(support[place] / support.sum())}
