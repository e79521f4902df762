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


def of_sets(measured: Measured) -> None:
    """Makes the results those of images with several labels each."""
    path = measured.evaluation / "details.json"
    details = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(details | {"network": details["network"] | {"multi_label": True}}))
    (measured.evaluation / "per_class.csv").write_text(
        "label,support,predicted,precision,recall,recall_low,recall_high,f1,"
        "threshold,average_precision,average_precision_low,average_precision_high\n"
        "7,1,2,0.5,1.0,0.2,1.0,0.666667,0.25,0.75,0.5,0.875\nnan,0,0,0,0,0,1,0,0.5,,,\n"
    )
    with np.load(measured.evaluation / "samples.npz") as archive:
        arrays = {**archive, "observed": np.array([1, 0]), "probability": np.array([0.5, 0.25])}
    np.savez(measured.evaluation / "samples.npz", **arrays)


def test_with_several_labels_there_are_thresholds_and_maps_of_classes(measured: Measured) -> None:
    of_sets(measured)
    found = measured.read(2)
    assert found["per_class"]["threshold"].tolist() == [0.25, 0.5]
    assert found["per_class"]["average_precision"].tolist() == pytest.approx([0.75, np.nan], nan_ok=True)
    assert (found["samples"].observed.tolist(), found["samples"].probability.tolist()) == ([1, 0], [0.5, 0.25])


@pytest.mark.parametrize("cell", ["x", "0.7.5"])
def test_with_several_labels_a_cell_that_is_no_number_is_damage(cell: str, measured: Measured) -> None:
    of_sets(measured)
    path = measured.evaluation / "per_class.csv"
    path.write_text(path.read_text("utf-8").replace(",0.75,", f",{cell},"))
    with pytest.raises(UserError, match="per_class.csv is damaged"):
        measured.read(2)


def test_with_several_labels_a_map_is_of_a_class(measured: Measured) -> None:
    of_sets(measured)
    with np.load(measured.evaluation / "samples.npz") as archive:
        arrays = {**archive, "observed": np.array([1, 2])}
    np.savez(measured.evaluation / "samples.npz", **arrays)
    with pytest.raises(UserError, match="samples.npz is damaged.*it has maps of classes that are not among the 2"):
        measured.read(2)
