"""Metrics of images with several labels each, against scikit-learn and against a case that is counted by hand."""

import tracemalloc

import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import logit
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, log_loss, precision_recall_fscore_support

from resnet.core import row_blocks
from resnet.evaluation.multi_label import (
    SetAnswers,
    detail_sets,
    most_telling,
    per_class_of_sets,
    precisions_of,
    set_answers,
    sets_before_calibration,
    summarise_sets,
)
from tests.resnet.evaluation.test_metrics import wilson

PROBABILITIES = np.array([[0.9, 0.2, 0.4], [0.6, 0.7, 0.1], [0.3, 0.8, 0.3], [0.1, 0.1, 0.2]])
TRUTH = np.array([[1, 0, 0], [1, 1, 0], [1, 1, 0], [0, 0, 0]], np.bool_)
THRESHOLDS = [0.5, 0.7, 0.35]
LOGITS = logit(PROBABILITIES).astype(np.float32)


@pytest.fixture
def found() -> SetAnswers:
    return set_answers(TRUTH, logit(PROBABILITIES + 1e-6).astype(np.float32), THRESHOLDS)


def random(images: int, classes: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float32]]:
    generator = np.random.default_rng(images)
    truth = generator.random((images, classes)) < np.linspace(0.1, 0.5, classes)
    return truth, (2 * truth - 1 + 1.5 * generator.normal(size=(images, classes))).astype(np.float32)


def test_an_image_has_the_classes_that_reach_their_thresholds(found: SetAnswers) -> None:
    assert found.predicted.tolist() == [[True, False, True], [True, True, False], [False, True, False], [False] * 3]
    assert found.correct.tolist() == [False, True, False, True]
    assert found.confidence == pytest.approx([0.9 * 0.8 * 0.4, 0.6 * 0.7 * 0.9, 0.7 * 0.8 * 0.7, 0.9 * 0.9 * 0.8], rel=1e-4)
    assert found.label_probability == pytest.approx(
        [0.9 * 0.8 * 0.6, 0.6 * 0.7 * 0.9, 0.3 * 0.8 * 0.7, 0.9 * 0.9 * 0.8], rel=1e-4
    )
    assert found.losses == pytest.approx(-np.log(found.label_probability) / 3)


def test_a_threshold_that_is_reached_exactly_counts() -> None:
    logits = np.array([[0.0, -1e-6]], np.float32)
    assert set_answers(np.array([[True, True]]), logits, [0.5, 0.5]).predicted.tolist() == [[True, False]]


def test_figures_of_a_small_case(found: SetAnswers) -> None:
    figures = summarise_sets(found, precisions_of(found, LOGITS))
    # Class 0: its three images have the highest probabilities; class 1 too; class 2 has no images.
    assert figures["mean_average_precision"] == 1.0
    assert figures["accuracy"] == 0.5
    assert (figures["accuracy_low"], figures["accuracy_high"]) == pytest.approx(wilson(2, 4), abs=1e-6)
    # F1 = 2 TP / (images + predictions): 4/5, 4/4, 0/1.
    assert figures["macro_f1"] == pytest.approx((4 / 5 + 1 + 0) / 3, abs=1e-6)
    assert figures["micro_f1"] == pytest.approx(8 / 10, abs=1e-6)
    assert figures["loss"] == pytest.approx(log_loss(TRUTH.ravel(), PROBABILITIES.ravel()), abs=1e-5)
    details = detail_sets(found, precisions_of(found, LOGITS))
    assert {name: details[name] for name in details if not name.endswith(("_low", "_high"))} == {
        "images": 4,
        "classes": 3,
        "macro_f1_classes": 3,
        "average_precision_classes": 2,
    }


def test_the_figures_are_those_of_scikit_learn_in_their_order() -> None:
    truth, logits = random(300, 6)
    found = set_answers(truth, logits, [0.4] * 6)
    figures = summarise_sets(found, precisions_of(found, logits))
    predicted = 1 / (1 + np.exp(-logits.astype(np.float64))) >= 0.4
    expected = {
        "mean_average_precision": average_precision_score(truth, logits, average="macro"),
        "accuracy": accuracy_score(truth, predicted),
        "macro_f1": f1_score(truth, predicted, average="macro"),
        "micro_f1": f1_score(truth, predicted, average="micro"),
        "loss": np.mean([log_loss(truth[:, c], 1 / (1 + np.exp(-logits[:, c].astype(float)))) for c in range(6)]),
    }
    assert {name: figures[name] for name in expected} == pytest.approx(expected, abs=1e-6)
    intervals = [f"{name}{end}" for name in ("mean_average_precision", "accuracy") for end in ("", "_low", "_high")]
    errors = ["calibration_error", "calibration_error_by_chance"]
    assert list(figures) == [*intervals, "macro_f1", "micro_f1", *errors, "loss"]


def test_before_the_calibration_the_logits_were_others() -> None:
    truth, logits = random(200, 3)
    before = sets_before_calibration(set_answers(truth, logits, [0.5] * 3, 2.5, 0.7))
    trained = 2.5 * (logits - 0.7)
    assert before["loss_before"] == pytest.approx(np.logaddexp(0, np.where(truth, -1, 1) * trained).mean(), abs=1e-5)
    larger = set_answers(truth, trained.astype(np.float32), [0.5] * 3)
    assert before["calibration_error_before"] == pytest.approx(larger.calibration.error, abs=1e-5)


def test_figures_of_each_class() -> None:
    truth, logits = random(300, 4)
    truth[:, 3] = False
    found = set_answers(truth, logits, [0.5, 0.4, 0.3, 0.2])
    table = per_class_of_sets(found, precisions_of(found, logits), [0.5, 0.4, 0.3, 0.2], ["a", "b", "c", "d"])
    precision, recall, f1, support = precision_recall_fscore_support(truth, found.predicted, zero_division=0.0)
    for name, column in {"precision": precision, "recall": recall, "f1": f1, "support": support}.items():
        assert table[name] == pytest.approx(column.tolist())
    assert table["predicted"] == found.predicted.sum(axis=0).tolist()
    assert table["recall_low"][3:] + table["recall_high"][3:] == [0.0, 1.0]
    assert table["recall_low"][0] == pytest.approx(wilson(int((truth & found.predicted)[:, 0].sum()), int(support[0]))[0])
    assert table["threshold"] == [0.5, 0.4, 0.3, 0.2]
    expected = [average_precision_score(truth[:, c], logits[:, c]) for c in range(3)]
    assert table["average_precision"][:3] == pytest.approx(expected)
    for low, figure, high in zip(table["average_precision_low"], expected, table["average_precision_high"], strict=False):
        assert low < figure < high
    assert [table[f"average_precision{end}"][3] for end in ("", "_low", "_high")] == ["", "", ""]
    assert [*table][-4:] == ["threshold", "average_precision", "average_precision_low", "average_precision_high"]


def test_without_labels_there_is_no_average_precision() -> None:
    truth = np.zeros((3, 2), np.bool_)
    logits = np.array([[-3, -2], [-3, -2], [-3, 2]], np.float32)
    found = set_answers(truth, logits, [0.5, 0.5])
    figures = summarise_sets(found, precisions_of(found, logits))
    assert not [name for name in figures if "precision" in name]
    assert [figures[name] for name in ("accuracy", "macro_f1", "micro_f1")] == pytest.approx([2 / 3, 0, 0], abs=1e-6)


def test_the_most_telling_class_is_the_most_wrong_one_or_the_most_probable_one(found: SetAnswers) -> None:
    # Image 0 wrongly has class 2, image 2 lacks class 0; the others are right.
    assert most_telling(found, LOGITS).tolist() == [2, 1, 0, 2]


def test_of_several_mistakes_the_largest_is_the_most_telling() -> None:
    truth = np.array([[True, False, False, True]])
    for probabilities, expected in (([0.3, 0.8, 0.6, 0.99], 1), ([0.1, 0.8, 0.6, 0.99], 0)):
        logits = logit(np.array([probabilities])).astype(np.float32)
        assert most_telling(set_answers(truth, logits, [0.5] * 4), logits).tolist() == [expected]


def test_blocks_of_rows_change_nothing_and_bound_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, logits = random(9000, 400)
    whole = set_answers(truth, logits, [0.5] * 400, 1.25)
    monkeypatch.setattr(row_blocks, "_NUMBERS", 70_000)
    tracemalloc.start()
    blocks = set_answers(truth, logits, [0.5] * 400, 1.25)
    precisions_of(blocks, logits)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    for name in ("predicted", "confidence", "label_probability", "losses"):
        np.testing.assert_array_equal(getattr(blocks, name), getattr(whole, name))
    np.testing.assert_array_equal(blocks.calibration.hits, whole.calibration.hits)
    np.testing.assert_array_equal(most_telling(blocks, logits), most_telling(whole, logits))
    assert peak < 9000 * 400 * 8 / 2  # one copy of all in float64 would be twice as much
