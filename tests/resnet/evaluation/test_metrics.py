"""Metrics against definitions written out by hand, and against scikit-learn."""

import tracemalloc
from dataclasses import fields

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.metrics import f1_score

from resnet.core import row_blocks
from resnet.evaluation.metrics import answers, detail, per_class, probabilities_of, refusals, summarise, wilson_interval


def wilson(hits: int, trials: int) -> tuple[float, float]:
    """The formula of Wilson (1927)."""
    z, p = 1.959963984540054, hits / trials
    middle = (p + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * (p * (1 - p) / trials + z**2 / (4 * trials**2)) ** 0.5
    return middle - half, middle + half


@pytest.mark.parametrize(("hits", "trials"), [(9, 10), (355, 359), (10, 10), (0, 5)])
def test_the_interval_is_wilsons(hits: int, trials: int) -> None:
    assert wilson_interval(hits, trials) == pytest.approx(wilson(hits, trials), abs=1e-9)


def test_figures_of_a_small_case() -> None:
    labels = np.array([0, 0, 1, 1, 2, 2], np.uint16)
    predicted = [0, 1, 1, 1, 0, 2]
    logits = np.log(np.full((6, 3), 0.1) + 0.7 * np.eye(3)[predicted]).astype(np.float32)
    figures = summarise(labels, answers(labels, logits))
    # F1 = 2 TP / (2 TP + FP + FN): 2/4, 4/5, 2/3.
    assert figures["macro_f1"] == pytest.approx((2 / 4 + 4 / 5 + 2 / 3) / 3, abs=1e-6)
    assert figures["accuracy"] == pytest.approx(4 / 6, abs=1e-6)
    assert figures["loss"] == pytest.approx(-(4 * np.log(0.8 / 1.0) + 2 * np.log(0.1 / 1.0)) / 6, abs=1e-6)
    assert (figures["accuracy_low"], figures["accuracy_high"]) == pytest.approx(wilson(4, 6), abs=1e-6)
    assert figures["calibration_error"] == pytest.approx(0.8 - 4 / 6, abs=1e-6)  # all in one bin
    errors = ["calibration_error", "calibration_error_by_chance"]
    assert list(figures) == ["accuracy", "accuracy_low", "accuracy_high", "macro_f1", *errors, "loss"]


def test_with_more_than_five_classes_there_is_a_top5_accuracy() -> None:
    labels = np.array([0, 1, 2], np.uint16)
    logits = np.tile(np.arange(6, dtype=np.float32), (3, 1))  # the top five are 5, 4, 3, 2, 1
    assert detail(labels, answers(labels, logits))["top5_accuracy"] == pytest.approx(2 / 3, abs=1e-6)
    assert "top5_accuracy" not in detail(labels, answers(labels, logits[:, :5]))


def test_the_interval_of_the_loss_is_that_of_its_mean() -> None:
    generator = np.random.default_rng(1)
    labels = np.repeat([0, 1], 500).astype(np.uint16)
    logits = generator.normal(size=(1000, 2)).astype(np.float32)
    losses = np.log1p(np.exp(logits[np.arange(1000), 1 - labels] - logits[np.arange(1000), labels]))
    halves = [losses[:500], losses[500:]]  # within the classes, as the resampling is
    deviation = float(np.sqrt(sum(0.25 * half.var() / 500 for half in halves)))
    details = detail(labels, answers(labels, logits))
    expected = losses.mean() + np.array([-1.96, 1.96]) * deviation
    assert [details["loss_low"], details["loss_high"]] == pytest.approx(expected.tolist(), abs=0.2 * deviation)


def test_the_interval_of_macro_f1_agrees_with_resampling_by_scikit_learn() -> None:
    generator = np.random.default_rng(2)
    labels = np.repeat([0, 1, 2], [20, 60, 120]).astype(np.uint16)
    logits = (generator.normal(size=(200, 3)) + 1.5 * np.eye(3)[labels]).astype(np.float32)
    predicted = logits.argmax(axis=1)
    drawn = []
    for _ in range(400):
        rows = np.concatenate(
            [generator.choice(np.flatnonzero(labels == label), (labels == label).sum()) for label in range(3)]
        )
        drawn.append(f1_score(labels[rows], predicted[rows], average="macro"))
    details = detail(labels, answers(labels, logits))
    expected = np.quantile(drawn, [0.025, 0.975])
    assert [details["macro_f1_low"], details["macro_f1_high"]] == pytest.approx(expected.tolist(), abs=0.015)


def test_a_figure_that_all_drawn_test_sets_share_has_no_interval() -> None:
    labels = np.array([0, 1], np.uint16)
    names = {"images", "classes", "macro_f1_classes"}
    assert set(detail(labels, answers(labels, np.eye(2, dtype=np.float32)))) == names


def test_refused_are_those_below_zero() -> None:
    low, high = wilson(1, 4)
    expected = {"refused": 0.25, "refused_low": low, "refused_high": high}
    assert refusals(np.array([-0.1, 0.0, 0.3, 1.0])) == pytest.approx(expected, abs=1e-6)
    assert refusals(np.array([np.nan, 0.0, 0.3, 1.0]))["refused"] == 0.25


def test_figures_of_each_class() -> None:
    table = per_class(np.array([0, 0, 0, 1], np.uint16), np.array([0, 0, 1, 1]), ["a", "b", "c"])
    assert table["label"] == ["a", "b", "c"]
    assert (table["support"], table["predicted"]) == ([3, 1, 0], [2, 2, 0])
    assert table["precision"] == [1.0, 0.5, 0.0]
    assert table["recall"] == pytest.approx([2 / 3, 1.0, 0.0])
    assert table["f1"] == pytest.approx([2 * 2 / (3 + 2), 2 / 3, 0.0])
    assert table["recall_low"] == pytest.approx([wilson(2, 3)[0], wilson(1, 1)[0], 0.0])
    assert table["recall_high"] == pytest.approx([wilson(2, 3)[1], 1.0, 1.0])


def logits_of(predicted: list[int], classes: int) -> npt.NDArray[np.float32]:
    return 20 * np.eye(classes, dtype=np.float32)[predicted]


@pytest.mark.parametrize(
    ("labels", "predicted", "expected", "counted"),
    [
        ([0, 0, 1, 1, 3, 3], [0, 0, 1, 1, 3, 3], 1.0, 3),  # class 2 is neither in the test split nor predicted
        ([0, 0, 1, 1, 3, 3], [0, 0, 1, 1, 3, 2], (1 + 1 + 2 / 3 + 0) / 4, 4),  # it is predicted: an F1 of zero
        ([0, 0, 0, 0], [0, 0, 0, 0], 1.0, 1),
        ([0, 1], [1, 0], 0.0, 2),
        ([2], [3], 0.0, 2),
    ],
)
def test_macro_f1_is_the_mean_over_classes_with_images_or_predictions(
    labels: list[int], predicted: list[int], expected: float, counted: int
) -> None:
    truth, logits = np.array(labels, np.uint16), logits_of(predicted, 4)
    assert summarise(truth, answers(truth, logits))["macro_f1"] == pytest.approx(expected, abs=1e-6)
    assert f1_score(labels, predicted, average="macro") == pytest.approx(expected)  # the same rule
    assert detail(truth, answers(truth, logits))["macro_f1_classes"] == counted


def test_the_interval_of_macro_f1_leaves_out_absent_classes_too() -> None:
    generator = np.random.default_rng(3)
    labels = np.repeat([0, 1], 40).astype(np.uint16)
    logits = (generator.normal(size=(80, 2)) + 1.5 * np.eye(2)[labels]).astype(np.float32)
    wide = np.concatenate([logits, np.full((80, 6), -50, np.float32)], axis=1)  # six more classes, which nobody predicts
    names = ("macro_f1_low", "macro_f1_high", "macro_f1_classes")
    assert [detail(labels, answers(labels, wide))[name] for name in names] == [
        detail(labels, answers(labels, logits))[name] for name in names
    ]
    assert detail(labels, answers(labels, wide))["macro_f1_low"] > 0.6


@pytest.mark.parametrize(("labels", "predicted"), [([0, 1, 0, 1], [1, 0, 1, 0]), ([0], [1]), ([0] * 9, [1] * 9)])
def test_without_a_hit_the_counts_are_whole_numbers_and_f1_has_no_interval(labels: list[int], predicted: list[int]) -> None:
    table = per_class(np.array(labels, np.uint16), np.array(predicted), ["a", "b"])
    assert table["support"] == [labels.count(0), labels.count(1)]
    assert table["predicted"] == [predicted.count(0), predicted.count(1)]
    assert {type(count) for name in ("support", "predicted") for count in table[name]} == {int}
    truth = np.array(labels, np.uint16)
    details = detail(truth, answers(truth, logits_of(predicted, 2)))
    assert not [name for name in details if name.startswith("macro_f1_l")]


def test_a_class_that_is_never_predicted_counts_as_zero() -> None:
    labels = np.array([0, 1], np.uint16)
    figures = summarise(labels, answers(labels, np.array([[1, 0], [1, 0]], np.float32)))
    assert figures["macro_f1"] == pytest.approx((2 / 3 + 0) / 2, abs=1e-6)


def test_blocks_of_rows_change_no_bit_and_bound_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(4)
    images, classes = 3000, 500
    labels = generator.integers(classes, size=images).astype(np.uint16)
    logits = generator.normal(size=(images, classes)).astype(np.float32)
    whole, probabilities = answers(labels, logits, 1.25), probabilities_of(logits)
    monkeypatch.setattr(row_blocks, "_NUMBERS", 70_000)  # the last block is smaller
    tracemalloc.start()
    blocks = answers(labels, logits, 1.25)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    for field in fields(whole):
        np.testing.assert_array_equal(getattr(blocks, field.name), getattr(whole, field.name))
    np.testing.assert_array_equal(probabilities_of(logits), probabilities)
    assert peak < images * classes * 8 / 2  # one copy of all in float64 would be twice as much
