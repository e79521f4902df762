"""Reading the results of `build`, `train` and `evaluate`."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from resnet.core.errors import UserError
from tasks.report.measured import Measured
from tests.tasks.results import bundle, write_results


@pytest.fixture
def measured(tmp_path: Path) -> Measured:
    write_results(tmp_path)
    files: Measured = replace(bundle(Measured, tmp_path), evaluation=tmp_path / "evaluation")
    return files


def test_all_files_are_read(measured: Measured) -> None:
    found = measured.read(2)
    assert found["metrics"]["accuracy"] == 0.5
    assert found["details"]["images"] == 2
    assert found["gate"] == {"passed": True, "checks": []}
    assert found["history"]["val_loss"].tolist() == [2.1, 1.1]
    assert found["per_class"]["label"].tolist() == ["7", "nan"]
    assert found["calibration"]["confidence"].tolist() == [0.85]
    assert found["predictions"]["predicted"].tolist() == ["7", "7"]
    assert found["samples"].rows.tolist() == [1, 0]
    assert found["model_summary"] == "layers"


def test_tables_must_fit_the_number_of_classes_and_images(measured: Measured) -> None:
    with pytest.raises(UserError, match="per_class.csv is damaged"):
        measured.read(3)
    path = measured.evaluation / "details.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {"images": 3}))
    with pytest.raises(UserError, match="predictions.csv is damaged"):
        measured.read(2)


def test_a_file_without_an_expected_name_is_damaged(measured: Measured) -> None:
    measured.metrics_json.write_text('{"accuracy": 0.5}')
    with pytest.raises(UserError, match="metrics.json is damaged.*loss, loss_before, macro_f1 not in it"):
        measured.read(2)


def test_a_history_needs_an_epoch(measured: Measured) -> None:
    measured.history_csv.write_text("epoch,loss,accuracy,val_loss,val_accuracy,learning_rate\n")
    with pytest.raises(UserError, match="history.csv is damaged.*it has no epoch"):
        measured.read(2)


def test_samples_must_be_test_images(measured: Measured) -> None:
    images, fall, lowest = np.zeros((2, 8, 8, 3), np.uint8), np.zeros((2, 8, 8)), np.zeros(2)
    for rows in ([0, 2], [0]):
        np.savez(measured.evaluation / "samples.npz", rows=np.array(rows), images=images, fall=fall, lowest=lowest)
        with pytest.raises(UserError, match="samples.npz is damaged.*its rows do not fit 2 images of 2 predictions"):
            measured.read(2)
