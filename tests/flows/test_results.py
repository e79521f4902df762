"""The results of a run, read from the files that `dvc.yaml` declares."""

import json
from pathlib import Path

import pytest

from flows.results import Result, accuracy_column, find_pictures, read_hashes, read_result

DVC_YAML = """
stages:
  train:
    cmd: train
    deps: [images]
    outs: [model]
    plots:
    - history.csv:
        x: epoch
    - loss.png
  evaluate:
    cmd: evaluate
    deps: [model]
    metrics:
    - metrics.json:
        cache: false
    plots:
    - confusion.png
"""
DVC_LOCK = """
schema: '2.0'
stages:
  evaluate:
    cmd: evaluate
    outs:
    - {path: metrics.json, md5: "0c"}
    - {path: confusion.png, md5: "0d"}
  train:
    cmd: train
    outs:
    - {path: model, md5: "0a"}
    - {path: history.csv, md5: "0b"}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "dvc.yaml").write_text(DVC_YAML)
    (tmp_path / "dvc.lock").write_text(DVC_LOCK)
    (tmp_path / "history.csv").write_text("epoch,loss,val_loss\n1,0.1,0.7\n2,0.05,0.25\n3,0.01,0.4\n")
    (tmp_path / "metrics.json").write_text(json.dumps({"accuracy": 0.75, "loss": 0.5}))
    return tmp_path


def test_the_result_has_the_metrics_and_the_lowest_validation_loss(root: Path) -> None:
    assert read_result(root, "amber") == Result("amber", {"accuracy": 0.75, "loss": 0.5}, 0.25)


def test_the_accuracy_is_in_percent_with_its_interval() -> None:
    metrics = {"accuracy": 0.991279, "accuracy_low": 0.98365, "accuracy_high": 0.99454}
    assert Result("amber", metrics, 0.25).accuracy() == "99.1 % (98.4 to 99.5)"
    assert Result("amber", metrics, 0.25).short_accuracy() == "99.1 %"
    mirrored = Result("amber", metrics | {"mirror": True}, 0.25)
    assert mirrored.accuracy() == "99.1 % (98.4 to 99.5), with mirror images"
    assert mirrored.short_accuracy() == "99.1 %, with mirror images"
    assert Result("amber", metrics, 0.25).named_accuracy() == "test accuracy 99.1 % (98.4 to 99.5)"
    of_sets = {"mean_average_precision": 0.812, "mean_average_precision_low": 0.78, "mean_average_precision_high": 0.84}
    several = Result("amber", of_sets | metrics | {"micro_f1": 0.7}, 0.25)
    assert (several.accuracy(), several.short_accuracy()) == ("mAP 81.2 % (78.0 to 84.0)", "mAP 81.2 %")
    assert several.named_accuracy() == "test mAP 81.2 % (78.0 to 84.0)"
    unknown = Result("amber", metrics | {"micro_f1": 0.7}, 0.25)  # no test image has a class
    assert (unknown.accuracy(), unknown.named_accuracy()) == ("", "")
    old = Result("amber", {"accuracy": 0.5, "mirror": True}, 0.25)  # a revision without intervals
    assert (old.accuracy(), old.short_accuracy()) == ("", "")


def test_a_column_of_accuracies_is_not_named_so_if_it_has_mean_average_precisions() -> None:
    one, several = Result("amber", {"accuracy": 0.5}, 0.25), Result("amber", {"micro_f1": 0.7}, 0.25)
    assert accuracy_column([None, one]) == "test accuracy (95 % interval)"
    assert accuracy_column([None, several]) == "test (95 % interval)"


def test_hashes_are_in_the_order_of_the_stages(root: Path) -> None:
    assert list(read_hashes(root).items()) == [
        ("model", "0a"),
        ("history.csv", "0b"),
        ("metrics.json", "0c"),
        ("confusion.png", "0d"),
    ]


def test_pictures_are_the_png_files_among_the_plots(root: Path) -> None:
    assert find_pictures(root) == [root / "loss.png", root / "confusion.png"]
