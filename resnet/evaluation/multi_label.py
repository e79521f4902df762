"""Metrics of images with several labels each: every class is a question of its own, and an answer is a set of classes."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from resnet.core.row_blocks import row_blocks
from resnet.evaluation.average_precision import average_precisions
from resnet.evaluation.calibration import Reliability
from resnet.evaluation.intervals import Intervals, f1_scores, intervals
from resnet.evaluation.metrics import rounded, wilson_interval
from resnet.evaluation.pair_calibration import PairCalibration


@dataclass(frozen=True)
class SetAnswers:
    """What a classifier said about the images of one split.

    Attributes:
        truth: (images, classes) bool, whether an image has a class.
        predicted: (images, classes) bool, whether it is predicted to have it.
        confidence: (images,) float64, the probability of the predicted set: the product over classes of the probability that
            the image has the class, or that it has not.
        label_probability: (images,) float64, that of the true set.
        losses: (images,) float64, binary cross-entropies in nats, means over the classes.
        calibration: the bins over all pairs of image and class.
        error_by_chance: see `resnet.evaluation.pair_calibration`.
    """

    truth: npt.NDArray[np.bool_]
    predicted: npt.NDArray[np.bool_]
    confidence: npt.NDArray[np.float64]
    label_probability: npt.NDArray[np.float64]
    losses: npt.NDArray[np.float64]
    calibration: Reliability
    error_by_chance: float

    @property
    def correct(self) -> npt.NDArray[np.bool_]:
        """(images,) whether the predicted set is the true one."""
        right: npt.NDArray[np.bool_] = (self.truth == self.predicted).all(axis=1)
        return right


def set_answers(
    truth: npt.NDArray[np.bool_],
    logits: npt.NDArray[np.float32],
    thresholds: list[float],
    temperature: float = 1.0,
    offset: float = 0.0,
) -> SetAnswers:
    """What logits say. Float64 copies are made of some rows at a time.

    Args:
        truth: (images, classes) whether an image has a class.
        logits: (images, classes).
        thresholds: the probability of each class from which on an image has it.
        temperature: by which the logits had been divided; this is undone.
        offset: that had been added to them then; this is undone first.
    """
    images, classes = logits.shape
    predicted, costs = np.empty((images, classes), np.bool_), np.empty((2, images))
    pairs = PairCalibration()
    for rows in row_blocks(*logits.shape):
        exact = (logits[rows].astype(np.float64) - offset) * temperature
        probabilities = expit(exact)
        predicted[rows] = probabilities >= thresholds
        # The cross-entropy of having a class is log(1 + exp(-logit)), of not having it log(1 + exp(logit)).
        costs[:, rows] = [
            np.logaddexp(0.0, np.where(sets, -exact, exact)).sum(axis=1) for sets in (predicted[rows], truth[rows])
        ]
        pairs.add(truth[rows], probabilities)
    of_predicted, of_labels = costs
    return SetAnswers(
        truth=truth,
        predicted=predicted,
        confidence=np.exp(-of_predicted),
        label_probability=np.exp(-of_labels),
        losses=of_labels / classes,
        calibration=pairs.reliability(),
        error_by_chance=pairs.error_by_chance(),
    )


@dataclass(frozen=True)
class Precisions:
    """The average precisions of the classes, and the intervals of all figures.

    Attributes:
        of_classes: (classes,) the average precision of each class; NaN if no image has it.
        intervals: of all figures.
    """

    of_classes: npt.NDArray[np.float64]
    intervals: Intervals


def precisions_of(found: SetAnswers, logits: npt.NDArray[np.float32]) -> Precisions:
    """The average precisions of the classes, and the intervals of all figures, from the logits of the answers."""
    of_classes = average_precisions(found.truth, logits)
    return Precisions(of_classes, intervals(found.truth, found.predicted, logits, found.losses, of_classes))


def summarise_sets(found: SetAnswers, precisions: Precisions) -> dict[str, float]:
    """The headline figures of a classifier on one split.

    Returns:
        In this order: mean_average_precision, the mean over the classes that an image has, with the bounds
        mean_average_precision_low and mean_average_precision_high of its 95 % interval, see
        `resnet.evaluation.intervals`; accuracy, the share of images whose whole set is right, with the bounds of its
        Wilson interval; macro_f1, the mean F1 of the classes that have images or are predicted; micro_f1, the F1 of all pairs
        of image and class; calibration_error and calibration_error_by_chance, see `resnet.evaluation.pair_calibration`; loss,
        the mean binary cross-entropy over images and classes in nats. All but the loss are in [0, 1]. There is no average
        precision if no image has any class, and no interval of it for a network without a mistake.
    """
    figures: dict[str, float] = {}
    some = ~np.isnan(precisions.of_classes)
    if some.any():
        figures["mean_average_precision"] = float(precisions.of_classes[some].mean())
        figures |= _bounds(precisions, "mean_average_precision")
    hits, images = int(found.correct.sum()), len(found.truth)
    low, high = wilson_interval(hits, images)
    true_positives, support, guesses = _count(found)
    macro, micro = f1_scores(true_positives, support + guesses)
    figures |= {
        "accuracy": hits / images,
        "accuracy_low": low,
        "accuracy_high": high,
        "macro_f1": macro,
        "micro_f1": micro,
        "calibration_error": found.calibration.error,
        "calibration_error_by_chance": found.error_by_chance,
        "loss": float(found.losses.mean()),
    }
    return rounded(figures)


def sets_before_calibration(before: SetAnswers) -> dict[str, float]:
    """What the calibration changed: calibration_error_before and loss_before, of the logits before it."""
    return rounded({"calibration_error_before": before.calibration.error, "loss_before": float(before.losses.mean())})


def detail_sets(found: SetAnswers, precisions: Precisions) -> dict[str, float | int]:
    """Details behind the figures of `summarise_sets`, for the same arguments.

    Returns:
        images and classes, their numbers; macro_f1_classes and average_precision_classes, the numbers of classes in the means
        `macro_f1` and `mean_average_precision`; macro_f1_low, macro_f1_high, micro_f1_low, micro_f1_high, loss_low and
        loss_high, the bounds of 95 % intervals, see `resnet.evaluation.intervals`.
    """
    _, support, guesses = _count(found)
    images, classes = found.truth.shape
    numbers = {
        "images": images,
        "classes": classes,
        "macro_f1_classes": int((support + guesses > 0).sum()),
        "average_precision_classes": int((support > 0).sum()),
    }
    figures: dict[str, float] = {}
    for name in ("macro_f1", "micro_f1", "loss"):
        figures |= _bounds(precisions, name)
    return numbers | rounded(figures)


def per_class_of_sets(
    found: SetAnswers, precisions: Precisions, thresholds: list[float], classes: list[str]
) -> dict[str, list[str] | list[int] | list[float] | list[float | str]]:
    """The columns of a table with one row for each class, in the order of `classes`.

    Returns:
        The columns of `resnet.evaluation.metrics.per_class`; then threshold, the probability from which on an image has the
        class; average_precision, with the bounds average_precision_low and average_precision_high of its 95 % interval. A cell
        is empty where a class has no average precision or no interval.
    """
    hits, support, guesses = _count(found)
    intervals = [
        wilson_interval(int(hit), int(images)) if images else (0.0, 1.0) for hit, images in zip(hits, support, strict=True)
    ]
    low, high = precisions.intervals.average_precision
    return {
        "label": classes,
        "support": support.tolist(),
        "predicted": guesses.tolist(),
        "precision": (hits / np.maximum(guesses, 1)).tolist(),
        "recall": (hits / np.maximum(support, 1)).tolist(),
        "recall_low": [bound for bound, _ in intervals],
        "recall_high": [bound for _, bound in intervals],
        "f1": (2 * hits / np.maximum(support + guesses, 1)).tolist(),
        "threshold": thresholds,
        "average_precision": _or_empty(precisions.of_classes),
        "average_precision_low": _or_empty(low),
        "average_precision_high": _or_empty(high),
    }


def most_telling(found: SetAnswers, logits: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """(images,) the class that says most about the answer for an image.

    Where the set is wrong, it is the class that is most wrong: the one with the largest gap between truth and probability of
    those that are missing or too many. Where the set is right, it is the class with the highest probability.
    """
    chosen = np.empty(len(logits), np.int64)
    for rows in row_blocks(*logits.shape):
        probabilities, truth = expit(logits[rows].astype(np.float64)), found.truth[rows]
        differs = truth != found.predicted[rows]
        # Above 1 where the answer differs, so a class without a mistake is chosen only of a set without one.
        chosen[rows] = np.where(differs, 1 + np.abs(truth - probabilities), probabilities).argmax(axis=1)
    return chosen


def _count(found: SetAnswers) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(classes,) each: the correct predictions, the images and the predictions of each class."""
    counted = found.truth & found.predicted, found.truth, found.predicted
    hits, support, guesses = (np.count_nonzero(table, axis=0).astype(np.int64) for table in counted)
    return hits, support, guesses


def _bounds(precisions: Precisions, name: str) -> dict[str, float]:
    if name not in precisions.intervals.figures:
        return {}
    low, high = precisions.intervals.figures[name]
    return {f"{name}_low": low, f"{name}_high": high}


def _or_empty(column: npt.NDArray[np.float64]) -> list[float | str]:
    return ["" if np.isnan(value) else value for value in column.tolist()]
