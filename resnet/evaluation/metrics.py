"""Metrics of predictions with confidence intervals: six headline figures, details, and a table of classes."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax, softmax
from scipy.stats import binomtest
from sklearn.metrics import precision_recall_fscore_support, top_k_accuracy_score

from resnet.core.row_blocks import row_blocks
from resnet.evaluation.calibration import error_by_chance, reliability
from resnet.network.known_score import is_known

CONFIDENCE = 0.95
_RESAMPLES = 1000


@dataclass(frozen=True)
class Answers:
    """What a classifier said about the images of one split.

    Attributes:
        predicted: (images,) int64, the most probable classes.
        confidence: (images,) float64, their probabilities.
        label_probability: (images,) float64, those of the true classes.
        losses: (images,) float64, cross-entropies in nats.
        top5: the number of images whose true class is among the five most probable; None for up to five classes.
        classes: their number.
    """

    predicted: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float64]
    label_probability: npt.NDArray[np.float64]
    losses: npt.NDArray[np.float64]
    top5: int | None
    classes: int


def answers(labels: npt.NDArray[np.uint16], logits: npt.NDArray[np.float32], temperature: float = 1.0) -> Answers:
    """What logits say. Float64 copies are made of some rows at a time: those of all images would need ten times the memory.

    Args:
        labels: (images,) true classes.
        logits: (images, classes).
        temperature: by which the logits had been divided; they are multiplied by it.
    """
    images, classes = logits.shape
    predicted, numbers, top5 = np.empty(images, np.int64), np.empty((3, images)), 0
    for rows in row_blocks(*logits.shape):
        exact, truth = logits[rows].astype(np.float64) * temperature, labels[rows]
        probabilities, order = softmax(exact, axis=1), np.arange(len(truth))
        predicted[rows] = probabilities.argmax(axis=1)
        numbers[:, rows] = (
            probabilities.max(axis=1),
            probabilities[order, truth],
            -log_softmax(exact, axis=1)[order, truth],
        )
        if classes > 5:
            top5 += int(top_k_accuracy_score(truth, logits[rows], k=5, labels=np.arange(classes), normalize=False))
    confidence, label_probability, losses = numbers
    return Answers(predicted, confidence, label_probability, losses, top5 if classes > 5 else None, classes)


def probabilities_of(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The probabilities of all classes, as `logits` (images, classes)."""
    found = np.empty_like(logits)
    for rows in row_blocks(*logits.shape):
        found[rows] = softmax(logits[rows].astype(np.float64), axis=1)
    return found


def wilson_interval(hits: int, trials: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The score interval of a proportion. Unlike the normal approximation, its coverage is also correct near 0 and 1.

    Wilson, "Probable inference, the law of succession, and statistical inference" (1927).
    """
    interval = binomtest(hits, trials).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def summarise(labels: npt.NDArray[np.uint16], found: Answers) -> dict[str, float]:
    """The headline figures of a classifier on one split.

    Args:
        labels: (images,) true classes.
        found: the answers.

    Returns:
        In this order: accuracy, with the bounds accuracy_low and accuracy_high of its 95 % Wilson interval; macro_f1, the mean
        F1 of the classes that have images or are predicted; calibration_error, see `resnet.evaluation.calibration`;
        calibration_error_by_chance, which a calibrated network exceeds on 1 of 20 such test sets, see `error_by_chance` there;
        loss, the mean cross-entropy in nats. All but the loss are in [0, 1].
    """
    correct = found.predicted == labels
    hits = int(correct.sum())
    low, high = wilson_interval(hits, len(labels))
    figures = {
        "accuracy": hits / len(labels),
        "accuracy_low": low,
        "accuracy_high": high,
        "macro_f1": _macro_f1(*_count(labels, found.predicted, found.classes)),
        "calibration_error": reliability(found.confidence, correct).error,
        "calibration_error_by_chance": error_by_chance(found.confidence),
        "loss": float(found.losses.mean()),
    }
    return rounded(figures)


def before_calibration(labels: npt.NDArray[np.uint16], found: Answers) -> dict[str, float]:
    """What the temperature changed: the calibration error and the loss of the answers as they were before it.

    Args:
        labels: (images,) true classes.
        found: the answers of logits that were not yet divided by the temperature.

    Returns:
        calibration_error_before and loss_before, as `calibration_error` and `loss` of `summarise`.
    """
    error = reliability(found.confidence, found.predicted == labels).error
    return rounded({"calibration_error_before": error, "loss_before": float(found.losses.mean())})


def refusals(scores: npt.NDArray[np.floating]) -> dict[str, float]:
    """The share of images that `--unknown` refuses, though they show one of the classes.

    Args:
        scores: (images,) of `resnet.network.known_score`; those that are negative or not finite are refused.

    Returns:
        refused, with the bounds refused_low and refused_high of its 95 % Wilson interval, all in [0, 1].
    """
    count = int((~is_known(scores)).sum())
    low, high = wilson_interval(count, len(scores))
    return rounded({"refused": count / len(scores), "refused_low": low, "refused_high": high})


def rounded(figures: dict[str, float]) -> dict[str, float]:
    """With six decimals, which is about the precision of float32 and keeps the file readable."""
    return {name: round(value, 6) for name, value in figures.items()}


def detail(labels: npt.NDArray[np.uint16], found: Answers) -> dict[str, float | int]:
    """Details behind the headline figures of `summarise`, for the same arguments.

    Returns:
        images and classes, their numbers; macro_f1_classes, the number of classes in the mean `macro_f1`; top5_accuracy if
        there are more than five classes; macro_f1_low, macro_f1_high, loss_low and loss_high, the bounds of 95 % bootstrap
        intervals (Efron 1979). The bootstrap draws images within each class, so that every class keeps its support. A figure
        that is the same for all drawn test sets has no bounds, such as the macro F1 if every prediction is correct, or none is:
        an interval without width would claim certainty.
    """
    figures: dict[str, float | int] = {}
    if found.top5 is not None:
        figures["top5_accuracy"] = found.top5 / len(labels)
    drawn = _bootstrap(labels, found.predicted, found.losses, found.classes)
    bounds = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=0).round(6)
    for name, (low, high) in zip(("macro_f1", "loss"), bounds.T, strict=True):
        if low < high:
            figures |= {f"{name}_low": low, f"{name}_high": high}
    numbers = {"images": len(labels), "classes": found.classes, "macro_f1_classes": len(np.union1d(labels, found.predicted))}
    return numbers | {name: round(float(value), 6) for name, value in figures.items()}


def per_class(
    labels: npt.NDArray[np.uint16], predicted: npt.NDArray[np.int64], classes: list[str]
) -> dict[str, list[str] | list[int] | list[float]]:
    """The columns of a table with one row for each class, in the order of `classes`.

    Args:
        labels: (images,) true classes.
        predicted: (images,) predicted classes.
        classes: the class names.

    Returns:
        label; support, the number of images of the class; predicted, the number of images that were assigned to it; precision,
        recall with the bounds recall_low and recall_high of its 95 % Wilson interval, and f1, all in [0, 1]. Ratios with a
        zero denominator are 0. The interval of a class without images is [0, 1].
    """
    order = np.arange(len(classes))
    precision, recall, f1, _ = precision_recall_fscore_support(labels, predicted, labels=order, zero_division=0.0)
    # Not the support that scikit-learn returns: without any hit it is not a whole number.
    hits, support, guesses = _count(labels, predicted, len(classes))
    bounds = [
        wilson_interval(int(hit), int(images)) if images else (0.0, 1.0) for hit, images in zip(hits, support, strict=True)
    ]
    return {
        "label": classes,
        "support": support.tolist(),
        "predicted": guesses.tolist(),
        "precision": precision.tolist(),
        "recall": recall.tolist(),
        "recall_low": [low for low, _ in bounds],
        "recall_high": [high for _, high in bounds],
        "f1": f1.tolist(),
    }


def _count(
    labels: npt.NDArray[np.uint16], predicted: npt.NDArray[np.int64], classes: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(classes,) each: the correct predictions, the images and the predictions of each class."""
    chosen = labels[labels == predicted], labels, predicted
    hits, support, guesses = (np.bincount(one, minlength=classes).astype(np.int64) for one in chosen)
    return hits, support, guesses


def _macro_f1(hits: npt.NDArray[np.int64], support: npt.NDArray[np.int64], guesses: npt.NDArray[np.int64]) -> float:
    """The mean F1 of the classes that have images or predictions; of the others the F1 is not defined.

    F1 = 2 TP / (2 TP + FP + FN). The denominator is the number of images of the class plus that of images assigned to it.
    """
    total = support + guesses
    return float((2 * hits[total > 0] / total[total > 0]).mean())


def _bootstrap(
    labels: npt.NDArray[np.uint16], predicted: npt.NDArray[np.int64], losses: npt.NDArray[np.float64], classes: int
) -> npt.NDArray[np.float64]:
    """(resamples, 2): macro F1 and loss of test sets drawn with replacement within each class."""
    generator = np.random.default_rng(0)
    order = np.argsort(labels, kind="stable")
    truth, guess, losses = labels[order], predicted[order], losses[order]
    support = np.bincount(truth, minlength=classes)
    start = np.cumsum(support) - support
    drawn = np.empty((_RESAMPLES, 2))
    for number in range(_RESAMPLES):
        rows = start[truth] + (generator.random(len(truth)) * support[truth]).astype(np.int64)
        guesses = guess[rows]
        drawn[number] = _macro_f1(*_count(truth, guesses, classes)), losses[rows].mean()
    return drawn
