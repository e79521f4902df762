"""How `train-resnet predict` writes the labels of a network for several labels an image, as text, CSV or JSON.

An image has the classes whose probabilities are at least their thresholds, so it may have none of them.
"""

import csv
import json
import sys
from typing import TYPE_CHECKING, NamedTuple

from commands.prediction_lines import finite, one_line, ranking
from resnet.core.label_sets import SEPARATOR
from resnet.images.outcomes import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from resnet.prediction.prediction import Prediction

    Write = Callable[[str, list["_Class"], list["_Class"]], None]  # of the path, and the classes in their order and ranked

EMPTY = "none of the classes"  # in a text; in CSV and JSON it is an empty set
_MARK = " *"


class _Class(NamedTuple):
    """A class and what the prediction says of it."""

    name: str
    probability: float
    is_label: bool


def label_set_writer(
    form: str, classes: list[str], thresholds: list[float], top: int | None
) -> "Callable[[Prediction], object]":
    """A function that writes one prediction to standard output.

    Args:
        form: "text", "csv" or "json".
        classes: in the order of the probabilities.
        thresholds: in the same order.
        top: how many of the most probable classes to name; None names only the labels.
    """
    write = _WRITERS[form](classes, top)

    def write_one(one: "Prediction") -> None:
        found = [
            _Class(name, share, share >= threshold)
            for name, share, threshold in zip(classes, one.probabilities.tolist(), thresholds, strict=True)
        ]
        write(one.path, found, [found[number] for number in ranking(one)])

    return write_one


def _csv_writer(classes: list[str], top: int | None) -> "Write":
    """The labels are in the order of the classes, as in the column `labels` of a table that `ingest` reads."""
    table = csv.writer(sys.stdout, lineterminator="\n")
    count = min(top or 0, len(classes))
    ranks = (f"{name}_{rank}" for rank in range(1, count + 1) for name in ("label", "probability", "is_label"))
    table.writerow(["path", "labels", "probabilities", *ranks])

    def write(path: str, found: list[_Class], ranked: list[_Class]) -> None:
        labels = _labels(found)
        texts = SEPARATOR.join(one.name for one in labels), SEPARATOR.join(f"{one.probability:.6f}" for one in labels)
        more = (value for one in ranked[:count] for value in (one.name, f"{one.probability:.6f}", int(one.is_label)))
        table.writerow([shown(path), *texts, *more])

    return write


def _json_writer(_: list[str], top: int | None) -> "Write":
    def write(path: str, found: list[_Class], ranked: list[_Class]) -> None:
        labels = _labels(found)
        made: dict[str, object] = {
            "path": shown(path),
            "labels": [one.name for one in labels],
            "probabilities": [finite(one.probability) for one in labels],
        }
        if top is not None:
            made["predictions"] = [
                {"label": one.name, "probability": finite(one.probability), "is_label": int(one.is_label)}
                for one in ranked[:top]
            ]
        print(json.dumps(made))

    return write


def _text_writer(_: list[str], top: int | None) -> "Write":
    def write(path: str, _: list[_Class], ranked: list[_Class]) -> None:
        labels = _labels(ranked)
        answers = [] if labels else [EMPTY]
        for one in labels if top is None else ranked[:top]:
            mark = _MARK if one.is_label and top is not None else ""
            answers.append(f"{one_line(one.name)} {one.probability:.4f}{mark}")
        print(one_line(path), *answers, sep="\t")

    return write


def _labels(found: list[_Class]) -> list[_Class]:
    return [one for one in found if one.is_label]


_WRITERS: "dict[str, Callable[[list[str], int | None], Write]]" = {
    "text": _text_writer,
    "csv": _csv_writer,
    "json": _json_writer,
}
