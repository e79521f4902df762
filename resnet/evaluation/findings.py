"""All that `evaluate` writes about the answers of a network, for images with one label each or with several."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from resnet.core.label_sets import LabelSets, texts_of
from resnet.core.row_blocks import row_blocks
from resnet.evaluation.calibration import Reliability, reliability
from resnet.evaluation.metrics import answers, before_calibration, detail, per_class, summarise
from resnet.evaluation.multi_label import (
    detail_sets,
    most_telling,
    per_class_of_sets,
    precisions_of,
    set_answers,
    sets_before_calibration,
    summarise_sets,
)


@dataclass(frozen=True)
class Findings:
    """The figures, tables and answers.

    Attributes:
        figures: of `metrics.json`.
        details: of `details.json`.
        per_class: the columns of `per_class.csv`.
        calibration: the bins of probabilities.
        uncalibrated: the bins before the logits were divided by the temperature.
        labels: what is true of each image, as text.
        predicted: what is predicted, as text.
        correct: (images,) bool, whether both are the same.
        confidence: (images,) float64, the probability of what is predicted.
        label_probability: (images,) float64, that of what is true.
        observed: (images,) int64, the class whose probability an occlusion map observes.
    """

    figures: Mapping[str, float]
    details: Mapping[str, float | int]
    per_class: Mapping[str, Sequence[Any]]
    calibration: Reliability
    uncalibrated: Reliability
    labels: Sequence[str]
    predicted: Sequence[str]
    correct: npt.NDArray[np.bool_]
    confidence: npt.NDArray[np.float64]
    label_probability: npt.NDArray[np.float64]
    observed: npt.NDArray[np.int64]


def of_classes(
    labels: npt.NDArray[np.uint16], logits: npt.NDArray[np.float32], classes: list[str], *, temperature: float
) -> Findings:
    """The findings about images with one label each.

    Args:
        labels: (images,) true classes.
        logits: (images, classes).
        classes: the class names.
        temperature: by which the logits have been divided.
    """
    found, before = answers(labels, logits), answers(labels, logits, temperature)
    correct = found.predicted == labels
    return Findings(
        figures=summarise(labels, found) | before_calibration(labels, before),
        details=detail(labels, found),
        per_class=per_class(labels, found.predicted, classes),
        calibration=reliability(found.confidence, correct),
        uncalibrated=reliability(before.confidence, before.predicted == labels),
        labels=[classes[label] for label in labels],
        predicted=[classes[guess] for guess in found.predicted],
        correct=correct,
        confidence=found.confidence,
        label_probability=found.label_probability,
        observed=found.predicted,
    )


def of_sets(
    labels: npt.NDArray[np.uint16],
    label_sets: LabelSets,
    logits: npt.NDArray[np.float32],
    classes: list[str],
    *,
    temperature: float,
    offset: float,
    thresholds: list[float],
) -> Findings:
    """The findings about images with several labels each.

    Args:
        labels: (images,) the numbers of the true sets.
        label_sets: the sets.
        logits: (images, classes).
        classes: the class names.
        temperature: by which the logits have been divided.
        offset: that has been added to them then.
        thresholds: the probability of each class from which on an image has it.
    """
    truth = label_sets.of(labels)
    uncalibrated, earlier = _before(truth, logits, thresholds, temperature, offset)
    found = set_answers(truth, logits, thresholds)
    precisions = precisions_of(found, logits)
    texts = label_sets.texts(classes)
    return Findings(
        figures=summarise_sets(found, precisions) | earlier,
        details=detail_sets(found, precisions),
        per_class=per_class_of_sets(found, precisions, thresholds, classes),
        calibration=found.calibration,
        uncalibrated=uncalibrated,
        labels=[texts[label] for label in labels],
        predicted=_texts(found.predicted, classes),
        correct=found.correct,
        confidence=found.confidence,
        label_probability=found.label_probability,
        observed=most_telling(found, logits),
    )


def probabilities_of_observed(logits: npt.NDArray[np.float32], observed: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """(images,) the probability that an image has its observed class, from (images, classes) logits."""
    chosen = np.take_along_axis(logits, observed[:, None], axis=1)[:, 0]
    found: npt.NDArray[np.float64] = expit(chosen.astype(np.float64))
    return found


def _before(
    truth: npt.NDArray[np.bool_], logits: npt.NDArray[np.float32], thresholds: list[float], temperature: float, offset: float
) -> tuple[Reliability, dict[str, float]]:
    """The bins and figures before the calibration; the answers themselves are let go, as they are as large as the labels."""
    before = set_answers(truth, logits, thresholds, temperature, offset)
    return before.calibration, sets_before_calibration(before)


def _texts(members: npt.NDArray[np.bool_], classes: list[str]) -> list[str]:
    """Each row of (images, classes) bool as text; equal rows share one text, as millions of images may have a few sets."""
    known: dict[bytes, str] = {}
    found = []
    for rows in row_blocks(*members.shape):
        for place, packed in zip(range(len(members))[rows], np.packbits(members[rows], axis=1), strict=True):
            key = packed.tobytes()
            if key not in known:
                known[key] = texts_of(members[place : place + 1], classes)[0]
            found.append(known[key])
    return found
