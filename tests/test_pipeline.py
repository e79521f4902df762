"""`dvc repro` on the digits with a tiny network: its outputs, and the stages that run after a change."""

import csv
import json
import re
import shutil
from itertools import pairwise

import keras
import numpy as np
import pytest

from resnet.network.model import ResNet
from tests.project import METRICS, STAGES, Project


def test_the_outputs_are_complete_and_consistent(project: Project) -> None:
    rows = list(csv.DictReader(project.read("reports/history.csv").splitlines()))
    assert list(rows[0]) == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"]
    assert [row["epoch"] for row in rows] == ["1", "2"]
    metrics = json.loads(project.read("reports/metrics.json"))
    assert list(metrics) == METRICS
    details = json.loads(project.read("reports/evaluation/details.json"))
    predictions = list(csv.DictReader(project.read("reports/predictions.csv").splitlines()))
    assert list(predictions[0]) == ["path", "label", "predicted", "probability", "label_probability"]
    hits = sum(row["label"] == row["predicted"] for row in predictions)
    index = list(csv.DictReader(project.read("data/prepared/index.csv").splitlines()))
    assert [row["path"] for row in predictions] == [row["path"] for row in index if row["split"] == "test"]
    assert details["images"] == len(predictions) > 300
    assert metrics["accuracy"] == pytest.approx(hits / len(predictions), abs=1e-6)
    assert "conv3_block1_out" in project.read("reports/model_summary.txt")
    for name in ("loss", "accuracy", "confusion_matrix", "samples"):
        assert (project.folder / "reports" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert details["provenance"]["model_md5"] == project.hashes()["models/resnet.keras"]
    page = project.read("reports/index.html")
    assert page.count('alt="occlusion map of the prediction"') == 8
    assert all(word in page for word in (details["provenance"]["model_md5"], "learning_rate</th>", 'class="learning-rate"'))
    assert json.loads(project.read("reports/evaluation/gate.json")) == {"passed": True, "checks": []}
    assert project.read("reports/data.html").count("data:image/jpeg;base64,") >= 240  # 24 of each of ten classes


def test_the_splits_are_stratified(project: Project) -> None:
    rows = list(csv.DictReader(project.read("data/prepared/index.csv").splitlines()))
    assert len({row["path"] for row in rows}) == len(rows) == 1797
    for label in "0123456789":
        members = [row["split"] for row in rows if row["label"] == label]
        for split, share in (("test", 0.2), ("validation", 0.1)):  # three standard deviations of a drawn share
            assert abs(members.count(split) - share * len(members)) <= 3 * (share * (1 - share) * len(members)) ** 0.5


def test_no_image_is_in_two_splits(project: Project) -> None:
    splits = [np.load(project.folder / f"data/prepared/{name}/images-00000.npy") for name in ("training", "validation", "test")]
    images = [{image.tobytes() for image in split} for split in splits]
    assert sum(map(len, splits)) == 1797
    assert len(images[0] | images[1] | images[2]) == sum(map(len, images))


def test_run_json_has_time_memory_and_revision_of_each_stage(project: Project) -> None:
    run = json.loads(project.read("reports/run.json"))
    assert list(run["stages"]) == STAGES
    assert len(run["stages"]["train"]["epoch_seconds"]) == 2
    assert all(stage["peak_memory_mb"] < 2500 for stage in run["stages"].values())
    assert all(re.fullmatch("[0-9a-f]{40}", stage["revision"]) for stage in run["stages"].values())


def test_git_tracks_metrics_and_history_and_dvc_the_other_outputs(project: Project) -> None:
    tracked = set(project.run("git", "ls-files", "reports", "models", "data").stdout.split())
    assert {"reports/metrics.json", "reports/history.csv", "reports/training.json"} <= tracked
    assert not [name for name in tracked if name.endswith((".png", ".keras", ".html", ".npy", ".npz", ".parquet"))]
    assert project.run("git", "status", "--porcelain").stdout == ""


def test_a_second_run_runs_no_stage(project: Project) -> None:
    output = project.run("dvc", "repro").stdout
    assert "Data and pipelines are up to date." in output
    assert "Running" not in output


def test_a_changed_parameter_runs_its_stages_and_restoring_it_runs_none(project: Project) -> None:
    before = project.hashes()
    project.set(learning_rate="0.004")
    assert project.repro() == ["train", "evaluate", "render"]
    assert project.hashes()["models/resnet.keras"] != before["models/resnet.keras"]
    assert project.hashes()["models/initial.keras"] == before["models/initial.keras"]
    compared = project.run("dvc", "params", "diff").stdout
    assert "train.learning_rate" in compared
    assert "0.004" in compared
    assert "reports/metrics.json" in project.run("dvc", "metrics", "diff").stdout
    project.run("git", "checkout", "--quiet", "params.yaml")
    assert project.repro() == []
    assert project.hashes() == before
    assert project.run("git", "status", "--porcelain").stdout == ""


def test_a_deleted_output_is_restored_from_the_cache(project: Project) -> None:
    before = project.hashes()
    (project.folder / "models" / "resnet.keras").unlink()
    shutil.rmtree(project.folder / "data" / "prepared")
    assert project.repro() == []
    assert project.hashes() == before
    assert (project.folder / "models" / "resnet.keras").stat().st_size > 10_000


def test_dvc_tracks_the_file_of_the_initial_weights(project: Project) -> None:
    before = project.hashes()
    models = project.folder / "models"
    shutil.copy(models / "resnet.keras", project.folder / "first.keras")
    project.set(weights="first.keras")
    assert "Running stage 'build'" in project.run("dvc", "repro", "build").stdout
    files = (project.folder / "first.keras", models / "initial.keras")
    first, initial = (keras.models.load_model(file, custom_objects={"ResNet": ResNet}) for file in files)
    # The classes are the same, so the head is kept, as it was trained: without the temperature.
    factors = [1.0] * (len(first.weights) - 2) + [first.temperature] * 2
    for one, other, factor in zip(first.get_weights(), initial.get_weights(), factors, strict=True):
        np.testing.assert_allclose(one * factor, other, rtol=1e-6)
    assert initial.temperature == 1
    assert "Running stage" not in project.run("dvc", "repro", "build").stdout
    (project.folder / "first.keras").write_bytes(b"another")
    failed = project.run("dvc", "repro", "build", code=255)
    assert "build: build.weights is first.keras, which cannot be read as a model" in failed.stderr
    (project.folder / "first.keras").unlink()
    project.run("git", "checkout", "--quiet", "params.yaml", "dvc.lock")
    assert project.repro() == []
    assert project.hashes() == before


def test_a_parameter_of_render_runs_render_only(project: Project) -> None:
    project.set(dpi="50")
    assert project.repro() == ["render"]
    project.run("git", "checkout", "--quiet", "params.yaml")
    assert project.repro() == []


def test_the_graph_is_a_chain(project: Project) -> None:
    edges = re.findall(r'"(\w+)" -> "(\w+)"', project.run("dvc", "dag", "--dot").stdout)
    assert set(pairwise(STAGES)) <= set(edges)
