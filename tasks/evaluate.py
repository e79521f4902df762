"""Measures the trained network on the test split, which no other stage reads."""

import csv
import json
import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field
from tqdm import tqdm

from resnet.data.arrays import Split
from resnet.data.checksums import verify
from resnet.data.classes import read_classes
from resnet.errors import damaged_input, missing_input
from resnet.files import replacing
from tasks.backend import choose_precision, start_tensorflow
from tasks.params import Section
from tasks.stage import main


class Evaluate(Section):
    """Parameters of `evaluate`, see `params.yaml`."""

    batch_size: Annotated[int, Field(ge=1)]
    samples: Annotated[int, Field(ge=1, le=400)]


def evaluate(
    params: Evaluate,
    *,
    precision: str,
    classes_json: Path,
    index_csv: Path,
    prepared_sha256: Path,
    test: Path,
    resnet_keras: Path,
    metrics_json: Path,
    predictions_csv: Path,
    sample_images_npz: Path,
) -> None:
    """Decides how good the network is, and with what certainty."""
    verify(prepared_sha256, [classes_json.name, index_csv.name])
    classes = read_classes(classes_json)
    split = Split(test, len(classes))
    paths = _test_paths(index_csv, len(split))
    start_tensorflow()
    from scipy.special import softmax

    from resnet.evaluation.folding import fold
    from resnet.evaluation.inference import predict_logits
    from resnet.evaluation.metrics import summarise
    from resnet.saving import load_model

    network = fold(load_model(resnet_keras, classes, split.image_shape), choose_precision(precision))
    with tqdm(total=len(split), unit="image", desc="evaluate", leave=False, disable=None) as bar:
        logits = predict_logits(network, split, params.batch_size, on_batch=bar.update)
    figures = summarise(split.labels, logits)
    probabilities = softmax(logits.astype(np.float64), axis=1)
    with replacing(metrics_json) as partial:
        partial.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    _write_predictions(predictions_csv, paths, split.labels, probabilities, classes)
    rows = choose_samples(split.labels, probabilities, params.samples)
    with replacing(sample_images_npz) as partial, partial.open("wb") as file:
        np.savez(file, rows=rows, images=split.gather(rows))
    print(
        f"evaluate: accuracy {figures['accuracy']:.4f} on {figures['images']:,} test images "
        f"(95 % interval {figures['accuracy_low']:.4f} to {figures['accuracy_high']:.4f}), loss {figures['loss']:.4f}"
    )


def choose_samples(labels: npt.NDArray[np.uint16], probabilities: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.int64]:
    """Rows of images to show: mistakes first, the surest first, in up to half of the places; then hits, evenly spaced."""
    predicted = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    surest_first = wrong[np.argsort(-probabilities[wrong, predicted[wrong]], kind="stable")]
    mistakes = surest_first[: max(count // 2, count - (len(labels) - len(wrong)))]
    right = np.flatnonzero(predicted == labels)
    places = min(count - len(mistakes), len(right))
    hits = right[np.linspace(0, len(right) - 1, places).round().astype(int)] if places else right[:0]
    return np.concatenate([mistakes, hits]).astype(np.int64)


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


def _write_predictions(
    path: Path,
    paths: list[str],
    labels: npt.NDArray[np.uint16],
    probabilities: npt.NDArray[np.float64],
    classes: list[str],
) -> None:
    predicted = probabilities.argmax(axis=1)
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["path", "label", "predicted", "probability"])
        for name, label, guess, row in zip(paths, labels, predicted, probabilities, strict=True):
            writer.writerow([name, classes[label], classes[guess], f"{row[guess]:.6f}"])


if __name__ == "__main__":
    sys.exit(main("evaluate"))
