"""Images with several labels each at the edges: each split gives a whole report, which every reader accepts."""

import csv
import json
import re
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.metrics import accuracy_score, average_precision_score, f1_score

from commands.compare import as_text, compare_results
from commands.gate import judge
from resnet.comparison.page import render_comparison
from resnet.core.checksums import write_sums
from resnet.core.classes import write_classes
from resnet.core.label_sets import LabelSets
from resnet.dataset.arrays import SplitWriter
from tasks.evaluate import Evaluate, evaluate
from tests.resnet.pictures.test_report import words
from tests.tasks.results import TABLES, render_results, write_results
from tests.tasks.test_degenerate_figures import read

SIDE = 32


@dataclass(frozen=True)
class Case:
    """The classes that the test images have, the logits, and what follows from them."""

    truth: npt.NDArray[np.bool_]
    logits: npt.NDArray[np.float32]
    thresholds: float = 0.5


def table(*rows: str) -> npt.NDArray[np.bool_]:
    return np.array([[char == "1" for char in row] for row in rows])


def answers(predicted: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    return np.where(predicted, 4, -4).astype(np.float32)


MANY = np.random.default_rng(0).random((40, 300)) < 0.02
CASES = {
    "all right": Case(table("110", "011", "000"), answers(table("110", "011", "000"))),
    "all wrong": Case(table("110", "011", "000"), answers(table("001", "100", "111"))),
    "no label and none predicted": Case(table("000", "000"), answers(table("000", "000"))),
    "no label and all predicted": Case(table("000", "000"), answers(table("111", "111"))),
    "every label": Case(table("111", "111"), np.array([[1, 2, 3], [-1, 2, -3]], np.float32)),
    "one image": Case(table("101"), np.array([[0.5, 1, -2]], np.float32)),
    "a class without images": Case(table("100", "010", "110"), np.array([[1, -2, 0], [3, 1, -1], [2, 2, 1]], np.float32)),
    "constant logits": Case(table("100", "010", "001"), np.zeros((3, 3), np.float32)),
    "low thresholds": Case(table("100", "010", "001"), np.full((3, 3), -3, np.float32), 0.01),
    "300 classes": Case(MANY, answers(MANY ^ (np.random.default_rng(1).random(MANY.shape) < 0.005))),
}


@pytest.fixture(params=CASES, ids=lambda name: name.replace(" ", "-"))
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture
def folder(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what `evaluate` and `render` read; the network answers with the logits of the case."""
    write_results(tmp_path)
    classes = [f"class {number}" for number in range(case.truth.shape[1])]
    sets, labels = np.unique(case.truth, axis=0, return_inverse=True)
    texts = LabelSets(sets).texts(classes)
    for name in ("classes.json", "raw/classes.json"):
        write_classes(tmp_path / name, classes, LabelSets(sets))
    rows = list(enumerate(labels.ravel().tolist()))
    for name, line in (("raw/manifest.csv", "{0},{1},,,8,8,PNG,0,0,0,\n"), ("index.csv", "{0},{1},test,{0}\n")):
        header = TABLES[name].partition("\n")[0]
        (tmp_path / name).write_text(header + "\n" + "".join(line.format(row, texts[label]) for row, label in rows))
    (tmp_path / "near_duplicates.csv").write_text(TABLES["near_duplicates.csv"].partition("\n")[0] + "\n")
    for name in ("raw/raw.sha256", "prepared.sha256"):
        write_sums(tmp_path / name)
    with SplitWriter(tmp_path / "test", len(rows), SIDE) as writer:
        for row, label in rows:
            writer.add(np.full((SIDE, SIDE, 3), row, np.uint8), label)

    def network(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        return case.logits[images[:, SIDE // 2, SIDE // 2, 0].astype(int) % len(case.logits)]

    thresholds = [case.thresholds] * len(classes)
    model = SimpleNamespace(temperature=2.0, offset=0.5, known_score=None, thresholds=thresholds)
    config = {"input_shape": [SIDE, SIDE, 3], "depth": 50, "variant": "v1.5", "multi_label": True, "thresholds": thresholds}
    monkeypatch.setattr("resnet.network.saving.load_model", lambda *_, multi_label: model if multi_label else None)
    monkeypatch.setattr("resnet.network.folding.folded_network", lambda *_: network)
    monkeypatch.setattr("resnet.network.folding.folded_network_with_features", lambda *_: lambda images: (network(images),) * 2)
    monkeypatch.setattr("tasks.evaluate.read_model_facts", lambda _: SimpleNamespace(config=config, keras_version="3"))
    (tmp_path / "resnet.keras").write_bytes(b"")
    return tmp_path


def test_there_is_a_whole_report(case: Case, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    params = Evaluate(batch_size=128, mirror=False, samples=8, minimum_accuracy=0.5, baseline=None)
    paths = {name.replace(".", "_"): folder / name for name in ("classes.json", "index.csv", "prepared.sha256", "resnet.keras")}
    outputs = {name.replace(".", "_"): folder / name for name in ("metrics.json", "predictions.csv", "evaluation")}
    evaluate(params, fold="1/5", precision="float32", test=folder / "test", **paths, **outputs)
    found, truth = read(folder), case.truth
    predicted = 1 / (1 + np.exp(-case.logits.astype(float))) >= case.thresholds
    assert found.metrics["accuracy"] == pytest.approx(accuracy_score(truth, predicted), abs=1e-6)
    there = (truth | predicted).any(axis=0)
    macro = f1_score(truth[:, there], predicted[:, there], average="macro", zero_division=0) if there.any() else 0.0
    assert found.metrics["macro_f1"] == pytest.approx(macro, abs=1e-6)
    trained = 2.0 * (case.logits.astype(float) - 0.5)  # before the temperature and the offset of `folder`
    loss = np.logaddexp(0, np.where(truth, -trained, trained)).mean()
    assert found.metrics["loss_before"] == pytest.approx(loss, rel=1e-5, abs=1e-6)
    some = truth.any(axis=0)
    precision = average_precision_score(truth[:, some], case.logits[:, some]) if some.any() else None
    assert found.metrics.get("mean_average_precision") == (precision and pytest.approx(precision, abs=1e-6))
    assert found.metrics.get("mean_average_precision_low", -1) < found.metrics.get("mean_average_precision_high", 0)
    sentence = capsys.readouterr().out.splitlines()[-1]
    first = "evaluate: mean average precision" if some.any() else "evaluate: exact-match accuracy"
    assert sentence.startswith(f"{first} ")
    assert not (folder / "evaluation/probabilities.npy").exists()  # there is no audit of sets

    render_results(folder)
    page, card = ((folder / name).read_text("utf-8") for name in ("index.html", "model_card.md"))
    headline = "exact-match accuracy" if precision is None else f"{precision:.4f} mean average precision"
    assert headline in page
    assert f"| exact-match accuracy | {100 * found.metrics['accuracy']:.2f} %" in card
    assert page.count('alt="occlusion map of class ') == min(8, len(truth))
    shown = re.sub(r'base64,[^"]*', "", page) + card
    assert re.findall(r"\b(?:nan|inf|-0\.0+)\b", shown) == []

    share = np.unique(truth, axis=0, return_counts=True)[1].max() / len(truth)
    low, high = (found.metrics[f"accuracy_{end}"] for end in ("low", "high"))
    assert ("No better than always answering" in page) == (low <= share <= high)
    assert ("Worse than always answering" in page) == (high < share)
    text = words(page)
    (most_frequent,) = re.findall(r"The most frequent set, (.*?), predicted for every image", text)
    assert set(re.findall(r"always answering (.*?) \(", text)) <= {most_frequent}

    comparison = compare_results(found, found)
    assert (comparison.paired.difference, comparison.measure) == (0, "exact-match accuracy")
    assert "exact-match accuracy" in as_text(comparison)
    assert "+0.00 points of exact-match accuracy" in render_comparison(comparison)
    (check,) = judge(params, found)
    assert check.passed == (found.metrics["accuracy"] >= 0.5)
    assert check.why == json.loads((folder / "evaluation/gate.json").read_text("utf-8"))["checks"][0]["why"]


@pytest.mark.parametrize("case", [CASES["a class without images"]])
def test_the_tables_are_those_of_the_logits(case: Case, folder: Path) -> None:
    params = Evaluate(batch_size=2, mirror=False, samples=8, minimum_accuracy=None, baseline=None)
    paths = {name.replace(".", "_"): folder / name for name in ("classes.json", "index.csv", "prepared.sha256", "resnet.keras")}
    outputs = {name.replace(".", "_"): folder / name for name in ("metrics.json", "predictions.csv", "evaluation")}
    evaluate(params, fold=None, precision="float32", test=folder / "test", **paths, **outputs)
    with (folder / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == ["class 0", "class 1", "class 0|class 1"]
    assert [row["predicted"] for row in rows] == ["class 0|class 2", "class 0|class 1", "class 0|class 1|class 2"]
    has = 1 / (1 + np.exp(-case.logits.astype(float)))
    assert float(rows[0]["probability"]) == pytest.approx(has[0, 0] * (1 - has[0, 1]) * has[0, 2], abs=1e-6)
    assert float(rows[0]["label_probability"]) == pytest.approx(has[0, 0] * (1 - has[0, 1]) * (1 - has[0, 2]), abs=1e-6)
    with (folder / "evaluation/per_class.csv").open(encoding="utf-8", newline="") as file:
        classes = list(csv.DictReader(file))
    assert [row["average_precision"] for row in classes] == ["0.583333", "1.000000", ""]  # places 2 and 3; 1 and 2; none
    assert [row["threshold"] for row in classes] == ["0.500000"] * 3
    with np.load(folder / "evaluation/samples.npz") as samples:
        # Each image wrongly has a class: the most probable one of these.
        observed = dict(zip(samples["rows"].tolist(), samples["observed"].tolist(), strict=True))
        assert observed == {0: 2, 1: 0, 2: 2}
        expected = [has[row, number] for row, number in observed.items()]
        assert samples["probability"] == pytest.approx(expected)
        assert samples["lowest"] == pytest.approx(expected)  # without details, covering changes nothing
