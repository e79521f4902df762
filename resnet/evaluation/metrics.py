"""Metrics of predictions with confidence intervals: six headline figures, details, and a table of classes."""

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax, softmax
from scipy.stats import binomtest
from sklearn.metrics import f1_score, precision_recall_fscore_support, top_k_accuracy_score

from resnet.evaluation.calibration import error_by_chance, reliability

CONFIDENCE = 0.95
_RESAMPLES = 1000


def wilson_interval(hits: int, trials: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The score interval of a proportion. Unlike the normal approximation, its coverage is also correct near 0 and 1.

    Wilson, "Probable inference, the law of succession, and statistical inference" (1927).
    """
    interval = binomtest(hits, trials).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def summarise(labels: npt.NDArray[np.uint16], logits: npt.NDArray[np.float32]) -> dict[str, float]:
    """The headline figures of a classifier on one split.

    Args:
        labels: (images,) true classes.
        logits: (images, classes).

    Returns:
        In this order: accuracy, with the bounds accuracy_low and accuracy_high of its 95 % Wilson interval; macro_f1, the mean
        of the classes' F1; calibration_error, see `resnet.evaluation.calibration`; loss, the mean cross-entropy in nats. All
        but the loss are in [0, 1].
    """
    predicted, confidence = _decide(logits)
    correct = predicted == labels
    hits = int(correct.sum())
    low, high = wilson_interval(hits, len(labels))
    figures = {
        "accuracy": hits / len(labels),
        "accuracy_low": low,
        "accuracy_high": high,
        "macro_f1": float(f1_score(labels, predicted, average="macro", labels=np.arange(logits.shape[1]), zero_division=0.0)),
        "calibration_error": reliability(confidence, correct).error,
        "loss": float(_losses(labels, logits).mean()),
    }
    # Six decimals are about the precision of float32, and keep the file readable.
    return {name: round(value, 6) for name, value in figures.items()}


def detail(labels: npt.NDArray[np.uint16], logits: npt.NDArray[np.float32]) -> dict[str, float | int]:
    """Details behind the headline figures of `summarise`, for the same arguments.

    Returns:
        images and classes, their numbers; top5_accuracy if there are more than five classes; macro_f1_low, macro_f1_high,
        loss_low and loss_high, the bounds of 95 % bootstrap intervals (Efron 1979); and calibration_error_by_chance, see
        `resnet.evaluation.calibration.error_by_chance`. The bootstrap draws images within each class, so that every class keeps
        its support. There are no bounds if every prediction is correct, because the interval of macro F1 would have no width.
    """
    images, classes = logits.shape
    predicted, confidence = _decide(logits)
    figures: dict[str, float | int] = {}
    if classes > 5:
        figures["top5_accuracy"] = float(top_k_accuracy_score(labels, logits, k=5, labels=np.arange(classes)))
    if (predicted != labels).any():
        drawn = _bootstrap(labels, predicted, _losses(labels, logits), classes)
        low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=0)
        figures |= {"macro_f1_low": low[0], "macro_f1_high": high[0], "loss_low": low[1], "loss_high": high[1]}
    figures["calibration_error_by_chance"] = error_by_chance(confidence)
    return {"images": images, "classes": classes} | {name: round(float(value), 6) for name, value in figures.items()}


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
    precision, recall, f1, support = precision_recall_fscore_support(labels, predicted, labels=order, zero_division=0.0)
    hits = np.bincount(labels[labels == predicted], minlength=len(classes))
    bounds = [
        wilson_interval(int(hit), int(images)) if images else (0.0, 1.0) for hit, images in zip(hits, support, strict=True)
    ]
    return {
        "label": classes,
        "support": support.tolist(),
        "predicted": np.bincount(predicted, minlength=len(classes)).tolist(),
        "precision": precision.tolist(),
        "recall": recall.tolist(),
        "recall_low": [low for low, _ in bounds],
        "recall_high": [high for _, high in bounds],
        "f1": f1.tolist(),
    }


def _decide(logits: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The predicted classes and their probabilities."""
    probabilities = softmax(logits.astype(np.float64), axis=1)
    return probabilities.argmax(axis=1), probabilities.max(axis=1)


def _losses(labels: npt.NDArray[np.uint16], logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    return -log_softmax(logits.astype(np.float64), axis=1)[np.arange(len(labels)), labels]


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
        hits = np.bincount(truth[guesses == truth], minlength=classes)
        # F1 = 2 TP / (2 TP + FP + FN). The denominator is the number of images of the class plus that of images assigned to it.
        f1 = 2 * hits / np.maximum(support + np.bincount(guesses, minlength=classes), 1)
        drawn[number] = f1.mean(), losses[rows].mean()
    return drawn
