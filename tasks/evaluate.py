"""Evaluates the trained network on the test split, which no other stage reads."""

import csv
import json
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field
from tqdm import tqdm

from resnet.core.checksums import md5, sha256, verify
from resnet.core.classes import read_classes, read_label_sets
from resnet.core.errors import UserError, damaged_input, missing_input
from resnet.core.files import replacing
from resnet.dataset.arrays import Split
from resnet.evaluation.gate import Check, accuracy_name, check_minimum, verdict
from resnet.network.archive import read_model_facts
from resnet.network.huge_pages import use_huge_pages
from resnet.network.memory import enough_memory
from resnet.network.precision import choose_precision
from resnet.network.startup import start_tensorflow
from tasks.stage.command import main
from tasks.stage.params import MOST, Params, Section
from tasks.stage.signals import at_once

if TYPE_CHECKING:
    from resnet.evaluation.calibration import Reliability
    from resnet.evaluation.findings import Findings


class Evaluate(Section):
    """Parameters of the stage `evaluate`."""

    batch_size: int = Field(ge=1, le=MOST, description="images in a batch")
    mirror: bool = Field(
        description="average the logits of each test image and its mirror image, in twice the time; predict does not"
    )
    samples: int = Field(
        ge=1, le=400, description="test images in the report: the most confident mistakes, then the least confident hits"
    )
    minimum_accuracy: Annotated[float, Field(gt=0, le=1)] | None = Field(
        description="`train-resnet gate` fails below this share of correct test images; null disables the check"
    )
    baseline: Annotated[str, Field(min_length=1)] | None = Field(
        description="`train-resnet gate` fails if this revision or experiment is significantly better; null: none"
    )

    def check(self, whole: Params) -> None:
        """The mirror image of a test image means the same."""
        if self.mirror and whole.value("ingest.source", str) == "builtin/digits":
            raise UserError(
                "evaluate.mirror is true, but the mirror image of a digit is not the same digit: set it to false for "
                "ingest.source builtin/digits."
            )


def evaluate(
    params: Evaluate,
    *,
    fold: str | None,
    precision: str,
    classes_json: Path,
    index_csv: Path,
    prepared_sha256: Path,
    test: Path,
    resnet_keras: Path,
    metrics_json: Path,
    predictions_csv: Path,
    evaluation: Path,
) -> None:
    """Writes the metrics of the network with their confidence intervals, its predictions, and details for the report.

    If the test split is a fold, `probabilities.npy` has the probabilities of all classes, (images, classes) float32, in the
    order of the predictions: an audit of labels needs them. There is no audit of images with several labels each.
    """
    verify(prepared_sha256, [classes_json.name, index_csv.name])
    classes, label_sets = read_classes(classes_json), read_label_sets(classes_json)
    split = Split(test, len(classes) if label_sets is None else len(label_sets))
    paths = _test_paths(index_csv, len(split))
    with at_once():
        start_tensorflow()
    from resnet.evaluation.findings import of_classes, of_sets, probabilities_of_observed
    from resnet.evaluation.metrics import probabilities_of, refusals
    from resnet.evaluation.occlusion import occlude
    from resnet.network.folding import folded_network, folded_network_with_features
    from resnet.network.inference import mirrored, predict_with_features
    from resnet.network.saving import load_model

    several = label_sets is not None
    model = load_model(resnet_keras, classes, split.image_shape, multi_label=several)
    precision = choose_precision(precision)
    both = folded_network_with_features(model, precision)
    if params.mirror:
        both = mirrored(both)
    batch = f"a batch of {params.batch_size} images", "lower evaluate.batch_size"
    with enough_memory(*batch), tqdm(total=len(split), unit="image", desc="evaluate", leave=False, disable=None) as bar:
        logits, features = predict_with_features(both, split, params.batch_size, on_batch=bar.update)
    if label_sets is None:
        found = of_classes(split.labels, logits, classes, temperature=model.temperature)
    else:
        assert model.thresholds is not None
        calibration = {"temperature": model.temperature, "offset": model.offset}
        found = of_sets(split.labels, label_sets, logits, classes, **calibration, thresholds=model.thresholds)
    figures = dict(found.figures)
    if model.known_score is not None:
        figures |= refusals(model.known_score(features))
    rows = choose_samples(found.correct, found.confidence, params.samples)
    images, observed = split.gather(rows), found.observed[rows]
    with enough_memory(*batch), tqdm(total=len(rows), unit="image", desc="occlusion maps", leave=False, disable=None) as bar:
        occlusion = occlude(
            folded_network(model, precision), images, observed, params.batch_size, on_batch=bar.update, multi_label=several
        )
    samples: dict[str, npt.NDArray[Any]] = {"rows": rows, "images": images, "fall": occlusion.fall, "lowest": occlusion.lowest}
    if several:
        samples |= {"observed": observed, "probability": probabilities_of_observed(logits[rows], observed)}
    with replacing(evaluation) as folder:
        folder.mkdir()
        _write_details(folder, found, samples, _model_facts(resnet_keras, precision))
        _write_json(folder / "gate.json", verdict(*_checks(params, figures["accuracy"], several)))
        if fold and not several:
            np.save(folder / "probabilities.npy", probabilities_of(logits))
    with replacing(predictions_csv) as partial:
        _write_predictions(partial, paths, found)
    with replacing(metrics_json) as partial:
        _write_json(partial, figures | ({"mirror": True} if params.mirror else {}))
    print(f"evaluate: {_sentence(figures, len(split), several)}{', each with its mirror image' if params.mirror else ''}")


def _sentence(figures: Mapping[str, float], images: int, several: bool) -> str:
    """The figures for the terminal; with several labels to an image, the mean average precision comes first."""
    names = {"mean_average_precision": "mean average precision", "accuracy": accuracy_name(several)}
    parts: list[str] = []
    for key, name in names.items():
        if key in figures:  # there is no average precision without an image of a class
            where = "" if parts else f" on {images:,} test images"
            parts.append(f"{name} {figures[key]:.4f}{where}{_interval(figures, key)}")
    return ", ".join([*parts, f"loss {figures['loss']:.4f}"])


def _interval(figures: Mapping[str, float], key: str) -> str:
    if f"{key}_low" not in figures:
        return ""
    return f" (95 % interval {figures[f'{key}_low']:.4f} to {figures[f'{key}_high']:.4f})"


def choose_samples(correct: npt.NDArray[np.bool_], confidence: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.int64]:
    """Rows of images to show: the most confident mistakes, at most half of `count`, then the least confident hits.

    There are more mistakes if there are not enough hits, and the other way round.

    Args:
        correct: (images,) whether a prediction is right.
        confidence: (images,) its probability.
        count: of the rows.
    """
    wrong, right = np.flatnonzero(~correct), np.flatnonzero(correct)
    surest = wrong[np.argsort(-confidence[wrong], kind="stable")]
    least_sure = right[np.argsort(confidence[right], kind="stable")]
    mistakes = surest[: max(count // 2, count - len(right))]
    return np.concatenate([mistakes, least_sure[: count - len(mistakes)]])


def _checks(params: Evaluate, accuracy: float, several: bool) -> list[Check]:
    """The checks of the gate that do not depend on other revisions: a name such as `main` can change its meaning later."""
    checks = []
    if params.minimum_accuracy is not None:
        checks.append(check_minimum(accuracy, params.minimum_accuracy, of_sets=several))
    if params.baseline is not None:
        checks.append(Check("baseline", None, f"against {params.baseline}: `train-resnet gate` checks it."))
    return checks


def _model_facts(path: Path, precision: str) -> dict[str, Any]:
    """The arguments of the `ResNet`, and what else the figures depend on besides data, code and parameters."""
    model = read_model_facts(path)
    packages = ("tensorflow", "keras", "numpy", "scipy", "scikit-learn")
    return {
        # The class names are in classes.json.
        "network": {name: value for name, value in model.config.items() if name not in ("name", "class_names")},
        "provenance": {
            "model_md5": md5(path),  # as in dvc.lock
            "model_sha256": sha256(path),
            "saved_by_keras": model.keras_version,
            "precision": precision,
            "versions": {package: version(package) for package in packages},
        },
    }


def _bins(found: "Reliability") -> dict[str, list[Any]]:
    from resnet.evaluation.calibration import BINS
    from resnet.evaluation.metrics import wilson_interval

    images, hits = found.images.tolist(), found.hits.tolist()
    bounds = [wilson_interval(hit, number) if number else (0.0, 1.0) for hit, number in zip(hits, images, strict=True)]
    return {
        "above": [number / BINS for number in range(BINS)],
        "up_to": [(number + 1) / BINS for number in range(BINS)],
        "images": images,
        "confidence": found.confidence.tolist(),
        "accuracy": [hit / max(number, 1) for hit, number in zip(hits, images, strict=True)],
        "accuracy_low": [low for low, _ in bounds],
        "accuracy_high": [high for _, high in bounds],
    }


def _test_paths(index: Path, count: int) -> list[str]:
    try:
        with index.open(encoding="utf-8", newline="") as file:
            paths = [row["path"] for row in csv.DictReader(file) if row["split"] == "test"]
    except FileNotFoundError as error:
        raise missing_input(index) from error
    except (KeyError, csv.Error, UnicodeDecodeError) as error:
        raise damaged_input(index, error) from error
    if len(paths) != count:
        raise damaged_input(index, f"it lists {len(paths)} test images, but there are {count}")
    return paths


def _write_details(
    folder: Path, found: "Findings", samples: Mapping[str, npt.NDArray[Any]], model_facts: Mapping[str, Any]
) -> None:
    with (folder / "samples.npz").open("wb") as file:
        np.savez(file, allow_pickle=False, **samples)
    _write_json(folder / "details.json", {**found.details, **model_facts})
    _write_table(folder / "per_class.csv", found.per_class)
    _write_table(folder / "calibration.csv", _bins(found.calibration))
    _write_table(folder / "uncalibrated.csv", _bins(found.uncalibrated))


def _write_predictions(path: Path, paths: list[str], found: "Findings") -> None:
    columns = {
        "path": paths,
        "label": found.labels,
        "predicted": found.predicted,
        "probability": found.confidence.tolist(),
        "label_probability": found.label_probability.tolist(),
    }
    _write_table(path, columns)


def _write_table(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for row in zip(*columns.values(), strict=True):
            writer.writerow([f"{cell:.6f}" if isinstance(cell, float) else cell for cell in row])


def _write_json(path: Path, tree: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(tree, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    use_huge_pages()
    sys.exit(main("evaluate"))
