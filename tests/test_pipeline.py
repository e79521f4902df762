"""The whole pipeline on real digits with a tiny network, through the doors that people use."""

import csv
import fcntl
import json
import os
import pty
import re
import shutil
import struct
import subprocess
import termios
from collections.abc import Callable
from itertools import pairwise

import pytest
from ruamel.yaml import YAML

from tests.conftest import Project

STAGES = ["ingest", "preprocess", "build", "train", "evaluate", "render"]


@pytest.fixture(scope="module")
def project(make_project: Callable[[], Project]) -> Project:
    """A project whose six stages ran once, from nothing."""
    made = make_project()
    assert made.repro() == STAGES
    made.run("git", "add", "--all")
    made.run("git", "commit", "--quiet", "--message", "first results")
    return made


def hashes(project: Project) -> dict[str, str]:
    lock = YAML(typ="safe").load(project.folder / "dvc.lock")
    return {out["path"]: out["md5"] for stage in lock["stages"].values() for out in stage.get("outs", [])}


def test_it_writes_what_it_promises(project: Project) -> None:
    rows = list(csv.DictReader(project.read("reports/history.csv").splitlines()))
    assert list(rows[0]) == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"]
    assert [row["epoch"] for row in rows] == ["1", "2"]
    metrics = json.loads(project.read("reports/metrics.json"))
    assert list(metrics) == ["accuracy", "accuracy_low", "accuracy_high", "top5_accuracy", "loss", "macro_f1", "images"]
    predictions = list(csv.DictReader(project.read("reports/predictions.csv").splitlines()))
    assert list(predictions[0]) == ["path", "label", "predicted", "probability"]
    hits = sum(row["label"] == row["predicted"] for row in predictions)
    assert metrics["images"] == len(predictions) == 359
    assert metrics["accuracy"] == pytest.approx(hits / 359, abs=1e-6)
    assert "conv3_block1_out" in project.read("reports/model_summary.txt")
    for name in ("loss", "accuracy", "confusion_matrix", "samples"):
        assert (project.folder / "reports" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert project.read("reports/index.html").count("data:image/png;base64,") == 4


def test_the_splits_are_disjoint_and_stratified(project: Project) -> None:
    rows = list(csv.DictReader(project.read("data/prepared/index.csv").splitlines()))
    assert len({row["path"] for row in rows}) == len(rows) == 1797
    for label in "0123456789":
        members = [row["split"] for row in rows if row["label"] == label]
        assert abs(members.count("test") - 0.2 * len(members)) <= 0.5
        assert abs(members.count("validation") - 0.1 * len(members)) <= 0.5


def test_what_differs_from_run_to_run_is_in_run_json(project: Project) -> None:
    run = json.loads(project.read("reports/run.json"))
    assert list(run["stages"]) == STAGES
    assert len(run["stages"]["train"]["epoch_seconds"]) == 2
    assert all(stage["peak_memory_mb"] < 2500 for stage in run["stages"].values())
    assert re.fullmatch("[0-9a-f]{40}", run["revision"])


def test_git_has_metrics_and_history_and_dvc_the_rest(project: Project) -> None:
    tracked = set(project.run("git", "ls-files", "reports", "models", "data").stdout.split())
    assert {"reports/metrics.json", "reports/history.csv"} <= tracked
    assert not [name for name in tracked if name.endswith((".png", ".keras", ".html", ".npy", ".npz", ".parquet"))]
    assert project.run("git", "status", "--porcelain").stdout == ""


def test_a_second_run_does_nothing(project: Project) -> None:
    output = project.run("dvc", "repro").stdout
    assert "Data and pipelines are up to date." in output
    assert "Running" not in output


def test_a_changed_parameter_runs_the_right_stages_and_back_nothing_trains(project: Project) -> None:
    before = hashes(project)
    project.set(learning_rate="0.004")
    assert project.repro() == ["train", "evaluate", "render"]
    assert hashes(project)["models/resnet.keras"] != before["models/resnet.keras"]
    assert hashes(project)["models/initial.keras"] == before["models/initial.keras"]
    compared = project.run("dvc", "params", "diff").stdout
    assert "train.learning_rate" in compared
    assert "0.004" in compared
    assert "reports/metrics.json" in project.run("dvc", "metrics", "diff").stdout
    project.run("git", "checkout", "--quiet", "params.yaml")
    assert project.repro() == []
    assert hashes(project) == before
    assert project.run("git", "status", "--porcelain").stdout == ""


def test_a_deleted_output_is_brought_back(project: Project) -> None:
    before = hashes(project)
    (project.folder / "models" / "resnet.keras").unlink()
    shutil.rmtree(project.folder / "data" / "prepared")
    assert project.repro() == []
    assert hashes(project) == before
    assert (project.folder / "models" / "resnet.keras").stat().st_size > 10_000


def test_a_parameter_of_render_does_not_retrain(project: Project) -> None:
    project.set(dpi="50")
    assert project.repro() == ["render"]
    project.run("git", "checkout", "--quiet", "params.yaml")
    assert project.repro() == []


def test_the_graph_is_a_chain(project: Project) -> None:
    edges = re.findall(r'"(\w+)" -> "(\w+)"', project.run("dvc", "dag", "--dot").stdout)
    assert set(pairwise(STAGES)) <= set(edges)


def test_from_nothing_the_same_bytes_come_out(project: Project, make_project: Callable[[], Project]) -> None:
    other = make_project()
    assert other.repro() == STAGES
    assert hashes(other) == hashes(project)


def test_experiments_run_beside_the_work_tree(project: Project) -> None:
    project.run("dvc", "exp", "run", "--temp", "--name", "beside", "-S", "train.epochs=1", "-S", "train.weight_decay=1e-5")
    project.run("dvc", "exp", "run", "--queue", "--name", "queued", "-S", "render.dpi=50")
    project.run("dvc", "queue", "start")
    project.run("dvc", "queue", "logs", "--follow", "queued")
    assert project.run("git", "status", "--porcelain").stdout == ""
    shown = json.loads(project.run("dvc", "exp", "show", "--json").stdout)
    rows = {
        revision["name"]: revision["data"]
        for branch in shown
        for experiment in branch["experiments"] or []
        for revision in experiment["revs"]
    }
    assert set(rows) == {"beside", "queued"}
    assert rows["beside"]["params"]["params.yaml"]["data"]["train"]["epochs"] == 1
    assert rows["beside"]["params"]["params.yaml"]["data"]["train"]["weight_decay"] == 1e-5
    assert 0 < rows["beside"]["metrics"]["reports/metrics.json"]["data"]["accuracy"] < 1
    assert rows["queued"]["params"]["params.yaml"]["data"]["render"]["dpi"] == 50


def test_plots_can_be_shown(project: Project) -> None:
    project.run("dvc", "plots", "show", "--out", "plots")
    page = project.read("plots/index.html")
    shutil.rmtree(project.folder / "plots")
    assert all(word in page for word in ("Loss", "Accuracy", "val_loss", "confusion_matrix.png", "samples.png"))


def test_a_stage_runs_alone_and_makes_the_same(project: Project) -> None:
    for stage in ("preprocess", "render"):
        project.run("python", "-m", f"tasks.{stage}")
    assert project.run("dvc", "status").stdout.strip() == "Data and pipelines are up to date."


@pytest.mark.parametrize(
    ("change", "stage", "sentence"),
    [
        (
            {"learning_rate": "fast"},
            "train",
            "train: params.yaml: train.learning_rate should be a valid number, but it is 'fast'.",
        ),
        ({"dpi": "120\n  dpj: 1"}, "render", "render: params.yaml: there is no parameter render.dpj; did you mean render.dpi?"),
    ],
)
def test_dvc_repro_shows_one_sentence_for_a_mistake(
    project: Project, change: dict[str, str], stage: str, sentence: str
) -> None:
    before = hashes(project)
    project.set(**change)
    result = project.run("dvc", "repro", code=255)  # DVC's own code for a stage that failed with 1
    assert sentence in result.stderr.splitlines()
    assert "Traceback" not in result.stderr + result.stdout
    assert project.run("python", "-m", f"tasks.{stage}", code=1).stderr == f"{sentence}\n"
    assert f"{project.run('python', '-m', 'tasks.params', code=1).stderr}" == f"{sentence.partition(': ')[2]}\n"
    project.run("git", "checkout", "--quiet", "params.yaml")
    assert project.repro() == []
    assert hashes(project) == before


@pytest.mark.parametrize("path", ["models/initial.keras", "data/prepared/training/images-00000.npy"])
def test_a_truncated_input_is_named_and_nothing_is_lost(project: Project, path: str) -> None:
    file = project.folder / path
    model = (project.folder / "models" / "resnet.keras").read_bytes()
    content = file.read_bytes()
    file.unlink()  # it may be a link into DVC's cache
    file.write_bytes(content[: len(content) // 2])
    result = project.run("python", "-m", "tasks.train", code=1)
    assert result.stderr.startswith(f"train: {path} is damaged or cut short")
    assert result.stderr.count("\n") == 1
    assert (project.folder / "models" / "resnet.keras").read_bytes() == model
    assert project.repro() == []
    assert file.read_bytes() == content


def test_progress_is_a_bar_on_a_terminal_and_lines_in_a_pipe(project: Project) -> None:
    piped = project.run("python", "-m", "tasks.train")
    assert re.findall(r"(?m)^epoch (\d)/2: loss [\d.]+, accuracy [\d.]+, .* images/s, [\d.]+ s$", piped.stdout) == ["1", "2"]
    assert piped.stderr == ""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    process = subprocess.Popen(
        ["python", "-m", "tasks.train"], cwd=project.folder, env=project.environment, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
    except OSError:  # how Linux says that the other end is closed
        pass
    assert process.wait(timeout=60) == 0
    os.close(ours)
    assert re.search(rb"epoch 1/2: +\d+%.*\| \d+/39 .*loss [\d.]+, accuracy [\d.]+, \d+ images/s", shown)
    assert project.run("dvc", "status").stdout.strip() == "Data and pipelines are up to date."
