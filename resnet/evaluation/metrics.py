"""How good predictions are, with what certainty."""

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax
from scipy.stats import binomtest
from sklearn.metrics import f1_score, top_k_accuracy_score

CONFIDENCE = 0.95


def wilson_interval(hits: int, trials: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Interval for a proportion; unlike the normal approximation it keeps its promise near 0 and 1.

    Wilson, "Probable inference, the law of succession, and statistical inference" (1927).
    """
    interval = binomtest(hits, trials).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def summarise(labels: npt.NDArray[np.uint16], logits: npt.NDArray[np.float32]) -> dict[str, float | int]:
    """The headline figures of a classifier on one split.

    Args:
        labels: (images,) true classes.
        logits: (images, classes).

    Returns:
        accuracy, with the bounds accuracy_low and accuracy_high of its 95 % Wilson interval; top5_accuracy if there are more
        than five classes; loss, the mean cross-entropy in nats; macro_f1, the mean of the classes' F1; images. Shares are in
        [0, 1].
    """
    images, classes = logits.shape
    predicted = logits.argmax(axis=1)
    hits = int((predicted == labels).sum())
    low, high = wilson_interval(hits, images)
    figures: dict[str, float | int] = {"accuracy": hits / images, "accuracy_low": low, "accuracy_high": high}
    every_class = np.arange(classes)
    if classes > 5:
        figures["top5_accuracy"] = float(top_k_accuracy_score(labels, logits, k=5, labels=every_class))
    log_probabilities = log_softmax(logits.astype(np.float64), axis=1)
    figures["loss"] = float(-log_probabilities[np.arange(images), labels].mean())
    figures["macro_f1"] = float(f1_score(labels, predicted, average="macro", labels=every_class, zero_division=0.0))
    # Rounded to what float32 carries, so that the file can be read.
    return {name: round(value, 6) for name, value in figures.items()} | {"images": images}
