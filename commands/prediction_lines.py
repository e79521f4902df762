"""How `train-resnet predict` writes the prediction of a network that gives one label to each image, as text, CSV or JSON."""

import csv
import json
import math
import sys
from typing import TYPE_CHECKING

from resnet.images.outcomes import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from resnet.prediction.prediction import Prediction

NONE = "none of these"


def writer(form: str, classes: list[str], top: int, *, unknown: bool) -> "Callable[[Prediction], object]":
    """A function that writes one prediction to standard output.

    Args:
        form: "text", "csv" or "json".
        classes: in the order of the probabilities.
        top: how many of them to name.
        unknown: whether predictions have a known score.
    """
    if form == "csv":
        table = csv.writer(sys.stdout, lineterminator="\n")
        known = ["known", "known_score"] if unknown else []
        table.writerow(["path", *known, *(f"{name}_{rank}" for rank in range(1, top + 1) for name in ("label", "probability"))])
        return lambda one: table.writerow(
            [
                shown(one.path),
                *_known(one).values(),
                *(value for label, share in _ranked(one, classes, top) for value in (label, f"{share:.6f}")),
            ]
        )
    if form == "json":
        return lambda one: print(
            json.dumps({"path": shown(one.path), **_known(one), "predictions": _objects(one, classes, top)})
        )
    return lambda one: print(one_line(one.path), *_answers(one, classes, top), sep="\t")


def _known(one: "Prediction") -> dict[str, int | float | None]:
    """Whether the image shows one of the classes, 1 or 0, and its score, None if not finite; nothing without --unknown."""
    return {} if one.known_score is None else {"known": int(bool(one.known)), "known_score": finite(one.known_score)}


def _answers(one: "Prediction", classes: list[str], top: int) -> list[str]:
    if one.known is False:
        return [NONE]
    return [f"{one_line(label)} {share:.4f}" for label, share in _ranked(one, classes, top)]


def _objects(one: "Prediction", classes: list[str], top: int) -> list[dict[str, str | float | None]]:
    return [{"label": label, "probability": finite(share)} for label, share in _ranked(one, classes, top)]


def _ranked(one: "Prediction", classes: list[str], top: int) -> list[tuple[str, float]]:
    return [(classes[number], float(one.probabilities[number])) for number in ranking(one)[:top]]


def ranking(one: "Prediction") -> list[int]:
    """The numbers of the classes, the most probable first; equal ones in the order of the classes."""
    return (-one.probabilities).argsort(kind="stable").tolist()


def finite(number: float) -> float | None:
    """A number with six decimals; None, which is JSON, for one that is not finite: JSON has no such number."""
    return round(number, 6) if math.isfinite(number) else None


def one_line(name: str) -> str:
    """A name for a terminal, with line ends and other control characters escaped."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in shown(name))
