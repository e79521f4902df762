"""Test splits and networks at the edges: each gives a whole report, which every reader of `evaluate`'s files accepts."""

import csv
import json
import re
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import log_softmax

from commands.compare import as_text, compare_results
from commands.gate import judge
from commands.results import Prediction, RevisionResults
from resnet.comparison.page import render_comparison
from resnet.core.checksums import write_sums
from resnet.dataset.arrays import SplitWriter
from tasks.evaluate import Evaluate, evaluate
from tests.tasks.results import TABLES, render_results, write_results

SIDE = 32


@dataclass(frozen=True)
class Case:
    """Labels and logits of the test images, and what follows from them by hand."""

    labels: list[int]
    logits: npt.NDArray[np.float32]
    accuracy: float
    macro_f1: float
    counted: int  # classes in the mean of macro F1
    equal_images: bool = False


def answers(predicted: list[int], classes: int) -> npt.NDArray[np.float32]:
    return 4 * np.eye(classes, dtype=np.float32)[predicted]


CASES = {
    "no hit": Case([0, 0, 1, 1], answers([1, 1, 0, 0], 2), 0.0, 0.0, 2),
    "all hits": Case([0, 0, 1, 1], answers([0, 0, 1, 1], 2), 1.0, 1.0, 2),
    "one class is predicted": Case([0, 0, 1, 2], answers([0] * 4, 3), 0.5, (2 * 2 / 6) / 3, 3),
    "classes without test images": Case([0, 1, 3], answers([0, 1, 3], 4), 1.0, 1.0, 3),
    "only an absent class is predicted": Case([0, 1], answers([2, 2], 4), 0.0, 0.0, 3),
    "one test image, a hit": Case([1], answers([1], 2), 1.0, 1.0, 1),
    "one test image, a mistake": Case([1], answers([0], 2), 0.0, 0.0, 2),
    "all images are equal": Case([0, 1, 0, 1], answers([0] * 4, 2), 0.5, (2 * 2 / 6) / 2, 2, equal_images=True),
    "constant logits": Case([0, 1, 2], np.zeros((3, 3), np.float32), 1 / 3, (2 / 4) / 3, 3),
    "300 classes": Case([*range(300)], answers([*range(299), 0], 300), 299 / 300, (298 + 2 / 3) / 300, 300),
}


@pytest.fixture(params=CASES, ids=lambda name: name.replace(" ", "-"))
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture
def folder(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what `evaluate` and `render` read; the network answers with the logits of the case."""
    write_results(tmp_path)
    classes = [f"class {number}" for number in range(case.logits.shape[1])]
    (tmp_path / "classes.json").write_text(json.dumps(classes))
    rows = list(enumerate(case.labels))
    for name, line in (("raw/manifest.csv", "{0},class {1},,,8,8,PNG,0,0,0,\n"), ("index.csv", "{0},class {1},test,{0}\n")):
        header = TABLES[name].partition("\n")[0]
        (tmp_path / name).write_text(header + "\n" + "".join(line.format(row, label) for row, label in rows))
    (tmp_path / "near_duplicates.csv").write_text(TABLES["near_duplicates.csv"].partition("\n")[0] + "\n")
    for name in ("raw/raw.sha256", "prepared.sha256"):
        write_sums(tmp_path / name)
    with SplitWriter(tmp_path / "test", len(rows), SIDE) as writer:
        for row, label in rows:
            code = 0 if case.equal_images else row
            writer.add(np.full((SIDE, SIDE, 3), (code // 256, code % 256, 0), np.uint8), label)

    def network(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        middle = images[:, SIDE // 2, SIDE // 2].astype(int)
        return case.logits[(256 * middle[:, 0] + middle[:, 1]) % len(case.logits)]

    shape = {"input_shape": [SIDE, SIDE, 3], "depth": 50, "variant": "v1.5"}
    monkeypatch.setattr("resnet.network.saving.load_model", lambda *_, **__: SimpleNamespace(temperature=2.0, known_score=None))
    monkeypatch.setattr("resnet.network.folding.folded_network", lambda *_: network)
    monkeypatch.setattr("resnet.network.folding.folded_network_with_features", lambda *_: lambda images: (network(images),) * 2)
    monkeypatch.setattr("tasks.evaluate.read_model_facts", lambda _: SimpleNamespace(config=shape, keras_version="3"))
    (tmp_path / "resnet.keras").write_bytes(b"")
    return tmp_path


def read(folder: Path) -> RevisionResults:
    """The results as `compare` and `gate` read them from a revision."""
    with (folder / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found: Any = SimpleNamespace(name="run", parameters={}, code={}, data="0")
    found.metrics = json.loads((folder / "metrics.json").read_text("utf-8"))
    found.of_sets = "micro_f1" in found.metrics
    found.predictions = {row["path"]: Prediction(row["label"], row["predicted"], float(row["probability"])) for row in rows}
    return cast("RevisionResults", found)


def test_there_is_a_whole_report(case: Case, folder: Path) -> None:
    params = Evaluate(batch_size=128, mirror=False, samples=8, minimum_accuracy=0.5, baseline=None)
    paths = {name.replace(".", "_"): folder / name for name in ("classes.json", "index.csv", "prepared.sha256", "resnet.keras")}
    outputs = {name.replace(".", "_"): folder / name for name in ("metrics.json", "predictions.csv", "evaluation")}
    evaluate(params, fold="1/5", precision="float32", test=folder / "test", **paths, **outputs)
    found = read(folder)
    probabilities = np.load(folder / "evaluation/probabilities.npy")
    assert probabilities.dtype == np.float32
    odds = np.exp(case.logits.astype(float))
    assert probabilities == pytest.approx(odds / odds.sum(axis=1, keepdims=True), abs=1e-6)
    details = json.loads((folder / "evaluation/details.json").read_text("utf-8"))
    assert found.metrics["accuracy"] == pytest.approx(case.accuracy, abs=1e-6)
    assert found.metrics["macro_f1"] == pytest.approx(case.macro_f1, abs=1e-6)
    assert details["macro_f1_classes"] == case.counted
    rows = np.arange(len(case.labels))
    losses = -log_softmax(2.0 * case.logits.astype(np.float64), axis=1)[rows, case.labels]
    assert found.metrics["loss_before"] == pytest.approx(losses.mean(), abs=1e-6)
    for name in ("macro_f1", "loss"):
        assert details.get(f"{name}_low", -1) < details.get(f"{name}_high", 0)

    render_results(folder)
    page, card = ((folder / name).read_text("utf-8") for name in ("index.html", "model_card.md"))
    assert f"{100 * case.accuracy:.2f}&nbsp;% accuracy" in page
    assert f"| accuracy | {100 * case.accuracy:.2f} %" in card
    assert page.count('alt="occlusion map of the prediction"') == min(8, len(case.labels))
    shown = re.sub(r'base64,[^"]*', "", page) + card
    assert re.findall(r"\b(?:nan|inf|-0\.0+)\b", shown) == []

    comparison = compare_results(found, found)
    assert comparison.paired.difference == 0
    assert comparison.paired.low <= 0 <= comparison.paired.high
    assert "There is no significant difference" in as_text(comparison)
    assert "+0.00 points of accuracy" in render_comparison(comparison)
    (check,) = judge(params, found)
    assert check.passed == (case.accuracy >= 0.5)
    assert ("Gate passed" in page.replace('<b class="good">', "").replace("</b>", "")) == check.passed
