"""Images with several labels each, from a table to predictions: the stages one after another, as `dvc repro` runs them."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from resnet.core.classes import read_classes, read_label_sets
from resnet.core.label_sets import names_in
from resnet.network.archive import read_model_facts
from tests.composed_digits import CLASSES, composed_digits
from tests.project import Project


@pytest.fixture(scope="module")
def finished(make_project: Callable[[], Project], tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = make_project()
    source = composed_digits(tmp_path_factory.mktemp("several") / "composed", 600)
    project.set(source=str(source), epochs="6")
    project.run("dvc", "repro")
    return project


def rows_of(project: Project, path: str) -> list[dict[str, str]]:
    return list(csv.DictReader(project.read(path).splitlines()))


def table(project: Project, column: str) -> np.ndarray:
    """(images, classes) bool, the sets in a column of the predictions."""
    sets = [names_in(row[column]) for row in rows_of(project, "reports/predictions.csv")]
    return np.array([[name in one for name in CLASSES] for one in sets])


def test_every_stage_knows_the_sets(finished: Project) -> None:
    given = {row["file_name"]: set(names_in(row["labels"])) for row in _source(finished)}
    for folder in ("data/raw", "data/prepared"):
        path = finished.folder / folder / "classes.json"
        sets = read_label_sets(path)
        assert read_classes(path) == CLASSES
        assert sets is not None
        assert {frozenset(names_in(text)) for text in sets.texts(CLASSES)} == {frozenset(one) for one in given.values()}
    index = rows_of(finished, "data/prepared/index.csv")
    assert {Path(row["path"]).name: set(names_in(row["label"])) for row in index} == given
    facts = read_model_facts(finished.folder / "models/resnet.keras")
    assert facts.config["multi_label"] is True
    assert facts.thresholds is not None
    assert len(facts.thresholds) == len(CLASSES)
    assert "multi_label" in read_model_facts(finished.folder / "models/initial.keras").config


def test_the_stored_labels_are_those_of_the_table(finished: Project) -> None:
    sets = read_label_sets(finished.folder / "data/prepared/classes.json")
    assert sets is not None
    for split in ("training", "validation", "test"):
        labels = np.load(finished.folder / f"data/prepared/{split}/labels.npy")
        texts = [row["label"] for row in rows_of(finished, "data/prepared/index.csv") if row["split"] == split]
        assert [sets.texts(CLASSES)[label] for label in labels] == texts


def test_the_figures_are_those_of_the_predictions(finished: Project) -> None:
    figures = json.loads(finished.read("reports/metrics.json"))
    truth, predicted = table(finished, "label"), table(finished, "predicted")
    assert figures["accuracy"] == pytest.approx(accuracy_score(truth, predicted), abs=1e-6)
    assert figures["macro_f1"] == pytest.approx(f1_score(truth, predicted, average="macro"), abs=1e-6)
    assert figures["micro_f1"] == pytest.approx(f1_score(truth, predicted, average="micro"), abs=1e-6)
    assert figures["mean_average_precision_low"] < figures["mean_average_precision"] < figures["mean_average_precision_high"]
    # Better than chance, whose average precision is the share of images that have the class.
    assert figures["mean_average_precision"] > truth.mean() + 0.05


def test_the_pages_and_the_command_for_predictions_name_sets(finished: Project) -> None:
    source = Path(_source_path(finished))
    found = finished.run("python", "-m", "commands", "predict", str(source / "0000.png"), str(source / "0001.png")).stdout
    assert "0000.png" in found
    page = finished.read("reports/index.html")
    assert "mean average precision" in page.casefold()


def _source_path(project: Project) -> str:
    line = next(line for line in project.read("params.yaml").splitlines() if line.strip().startswith("source:"))
    return line.partition(":")[2].strip()


def _source(project: Project) -> list[dict[str, str]]:
    return list(csv.DictReader((Path(_source_path(project)) / "labels.csv").read_text("utf-8").splitlines()))
