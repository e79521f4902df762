"""What `predict` prints of a network for several labels an image."""

import csv
import json

import numpy as np
import pytest

from commands.label_set_lines import label_set_writer
from resnet.core.label_sets import names_in
from resnet.prediction.prediction import Prediction

CLASSES, THRESHOLDS = ["cat", "d,og", "x\ny"], [0.4, 0.25, 0.5]
IMAGES = [
    Prediction("two.png", np.array([0.5, 0.25, 0.125])),  # the second is exactly at its threshold
    Prediction("none.png", np.array([0.3125, 0.125, 0.4375])),
    Prediction("last.png", np.array([0.0, 0.0, 0.75])),
]


def printed(form: str, top: int | None, capsys: pytest.CaptureFixture[str], images: list[Prediction] = IMAGES) -> str:
    write = label_set_writer(form, CLASSES, THRESHOLDS, top)
    for one in images:
        write(one)
    return capsys.readouterr().out


def test_a_line_has_the_labels_and_says_if_there_are_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed("text", None, capsys).splitlines() == [
        "two.png\tcat 0.5000\td,og 0.2500",
        "none.png\tnone of the classes",
        "last.png\tx\\ny 0.7500",
    ]


def test_the_most_probable_classes_have_a_mark_if_they_are_labels(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed("text", 2, capsys).splitlines() == [
        "two.png\tcat 0.5000 *\td,og 0.2500 *",
        "none.png\tnone of the classes\tx\\ny 0.4375\tcat 0.3125",
        "last.png\tx\\ny 0.7500 *\tcat 0.0000",
    ]
    # One class is asked for, and the image has a label of lower rank: that is another answer than none.
    assert printed("text", 1, capsys).splitlines()[0] == "two.png\tcat 0.5000 *"


def test_csv_has_the_sets_as_tables_for_ingest_have_them(capsys: pytest.CaptureFixture[str]) -> None:
    rows = list(csv.DictReader(printed("csv", None, capsys).splitlines(keepends=True)))
    assert list(rows[0]) == ["path", "labels", "probabilities"]
    assert [names_in(row["labels"]) for row in rows] == [["cat", "d,og"], [], ["x\ny"]]
    assert [row["probabilities"] for row in rows] == ["0.500000|0.250000", "", "0.750000"]


def test_csv_has_columns_for_as_many_classes_as_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    rows = list(csv.DictReader(printed("csv", 9, capsys).splitlines(keepends=True)))
    ranks = [f"{name}_{rank}" for rank in (1, 2, 3) for name in ("label", "probability", "is_label")]
    assert list(rows[0]) == ["path", "labels", "probabilities", *ranks]
    assert [rows[0][name] for name in ranks] == ["cat", "0.500000", "1", "d,og", "0.250000", "1", "x\ny", "0.125000", "0"]
    assert [rows[1][f"is_label_{rank}"] for rank in (1, 2, 3)] == ["0", "0", "0"]


def test_json_has_lists(capsys: pytest.CaptureFixture[str]) -> None:
    assert [json.loads(line) for line in printed("json", None, capsys).splitlines()] == [
        {"path": "two.png", "labels": ["cat", "d,og"], "probabilities": [0.5, 0.25]},
        {"path": "none.png", "labels": [], "probabilities": []},
        {"path": "last.png", "labels": ["x\ny"], "probabilities": [0.75]},
    ]
    ranked = json.loads(printed("json", 2, capsys).splitlines()[2])["predictions"]
    assert ranked == [
        {"label": "x\ny", "probability": 0.75, "is_label": 1},
        {"label": "cat", "probability": 0.0, "is_label": 0},
    ]


def test_a_probability_that_is_not_finite_is_no_label(capsys: pytest.CaptureFixture[str]) -> None:
    found = printed("json", 3, capsys, [Prediction("a.png", np.array([np.nan, 0.5, 0.5]))])
    one = json.loads(found, parse_constant=pytest.fail)
    assert one["labels"] == ["d,og", "x\ny"]
    assert {"label": "cat", "probability": None, "is_label": 0} in one["predictions"]
