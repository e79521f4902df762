"""Intervals of figures of images with several labels each, against drawing images and measuring with scikit-learn."""

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.metrics import average_precision_score, f1_score

from resnet.core import row_blocks
from resnet.evaluation.average_precision import average_precisions
from resnet.evaluation.intervals import Intervals, _influences_on_f1, f1_scores, intervals

Table = npt.NDArray[np.bool_]


def answers(images: int, strength: float = 1.5, seed: int = 0) -> tuple[Table, Table, npt.NDArray[np.float32]]:
    """Truth, predictions and logits of four classes, of different frequency, that often come together."""
    generator = np.random.default_rng(seed)
    truth = generator.normal(size=(images, 4)) + generator.normal(size=(images, 1)) > [0.0, 0.5, 1.0, 2.0]
    logits = (strength * (2 * truth - 1) + 2 * generator.normal(size=(images, 4))).astype(np.float32)
    return truth, logits > 0, logits


def found_for(truth: Table, predicted: Table, logits: npt.NDArray[np.float32]) -> Intervals:
    losses = np.logaddexp(0, np.where(truth, -logits, logits).astype(np.float64)).mean(axis=1)
    return intervals(truth, predicted, logits, losses, average_precisions(truth, logits))


def test_they_agree_with_drawing_images() -> None:
    truth, predicted, logits = answers(600)
    generator, drawn = np.random.default_rng(1), []
    for _ in range(500):
        rows = generator.integers(0, 600, 600)
        precisions = average_precision_score(truth[rows], logits[rows], average=None)
        scores = [f1_score(truth[rows], predicted[rows], average=kind) for kind in ("macro", "micro")]
        loss = np.logaddexp(0, np.where(truth[rows], -logits[rows], logits[rows])).mean()
        drawn.append([precisions.mean(), *scores, loss, *precisions])
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    found = found_for(truth, predicted, logits)
    bounds = [*(found.figures[name] for name in ("mean_average_precision", "macro_f1", "micro_f1", "loss"))]
    bounds += [*zip(*found.average_precision.tolist(), strict=True)]
    # The ends of 500 drawn test sets are uncertain by about a tenth of the width.
    for (lower, upper), one, other in zip(bounds, low, high, strict=True):
        assert [lower, upper] == pytest.approx([one, other], abs=0.15 * (other - one))


def test_the_interval_has_the_figure_and_stays_between_0_and_1() -> None:
    truth, predicted, logits = answers(30, strength=3)
    precisions = average_precisions(truth, logits)
    found = found_for(truth, predicted, logits)
    low, high = found.figures["mean_average_precision"]
    assert 0 < low < precisions.mean() < high < 1
    low, high = found.figures["micro_f1"]
    assert 0 < low < f1_score(truth, predicted, average="micro") < high < 1


def test_a_figure_without_a_mistake_has_no_interval() -> None:
    truth, _, _ = answers(20)
    found = found_for(truth, truth, np.where(truth, 2, -2).astype(np.float32))
    assert found.figures == {}
    assert np.isnan(found.average_precision).all()


def test_rounding_is_no_width() -> None:
    """The mean of three average precisions of 1 can be just below 1."""
    truth, predicted, logits = answers(15, strength=5, seed=3)
    assert 1 - 1e-12 < np.nanmean(average_precisions(truth, logits)) < 1
    assert "mean_average_precision" not in found_for(truth, predicted, logits).figures


def test_the_derivatives_of_f1_are_those_of_the_weights() -> None:
    truth, predicted, _ = answers(30)
    step = 1e-6
    for (figure, influence), kind in zip(_influences_on_f1(truth, predicted), ("macro", "micro"), strict=True):
        assert figure == pytest.approx(f1_score(truth, predicted, average=kind))
        for row in range(30):
            weights = np.ones(30)
            weights[row] += step
            moved = f1_score(truth, predicted, average=kind, sample_weight=weights)
            assert influence[row] == pytest.approx((moved - figure) / step, abs=1e-6)


def test_without_any_label_there_is_only_a_loss() -> None:
    truth = np.zeros((8, 3), np.bool_)
    found = found_for(truth, truth, np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32))
    assert [*found.figures] == ["loss"]


def test_blocks_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = found_for(*answers(101))
    monkeypatch.setattr(row_blocks, "_NUMBERS", 40)
    blocks = found_for(*answers(101))
    assert blocks.figures == {name: pytest.approx(bounds, abs=1e-12) for name, bounds in whole.figures.items()}


@pytest.mark.parametrize(
    ("hits", "total", "macro", "micro"),
    [
        ([2, 0, 0], [5, 1, 0], (4 / 5 + 0) / 2, 4 / 6),  # the last class has neither images nor predictions
        ([0, 0, 0], [0, 0, 0], 0.0, 0.0),
        ([3, 1, 2], [6, 2, 4], 1.0, 1.0),
    ],
)
def test_f1_leaves_out_absent_classes(hits: list[int], total: list[int], macro: float, micro: float) -> None:
    assert f1_scores(np.array(hits), np.array(total)) == pytest.approx((macro, micro))
