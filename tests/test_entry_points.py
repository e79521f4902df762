"""Other entry points of the pipeline than `dvc repro`: experiments, plots, single stages, a terminal; and invalid input."""

import fcntl
import json
import os
import pty
import re
import shutil
import struct
import subprocess
import termios
import time

import pytest

from tests.project import METRICS, Project


def test_experiments_run_outside_the_work_tree(project: Project) -> None:
    project.run("dvc", "exp", "run", "--temp", "--name", "beside", "-S", "train.epochs=1", "-S", "train.weight_decay=1e-5")
    project.run("dvc", "exp", "run", "--queue", "--name", "queued", "-S", "render.dpi=50")
    project.run("dvc", "queue", "start")
    deadline = time.monotonic() + 120
    # A worker process of DVC runs it. Until that says Success, `dvc exp show` may meet a folder that is being removed.
    while "Success" not in (status := project.run("dvc", "queue", "status").stdout):
        assert time.monotonic() < deadline, status
        time.sleep(0.2)
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
    assert list(rows["beside"]["metrics"]["reports/metrics.json"]["data"]) == METRICS
    compared = project.run("python", "-m", "commands", "compare", "HEAD", "beside", "--html", "reports/compared.html").stdout
    assert "second  beside (" in compared
    assert "  train.epochs: 2 -> 1" in compared
    assert "code that differs" not in compared
    assert "train.weight_decay" in project.read("reports/compared.html")
    project.run("python", "-m", "commands", "compare", "HEAD", *rows, "--html", "reports/compared.html")
    assert project.read("reports/compared.html").count("<polyline") == 3 * 3  # three runs in loss, accuracy and parameters
    (project.folder / "reports/compared.html").unlink()
    passed = project.run("python", "-m", "commands", "gate", "--minimum-accuracy", "0.01", "--baseline", "HEAD").stdout
    assert re.fullmatch(r"gate: passed: accuracy .+ is at least 0.01.\ngate: passed: against HEAD \(.+\n", passed)
    failed = project.run("python", "-m", "commands", "gate", "--minimum-accuracy", "1", code=1)
    assert failed.stdout.startswith("gate: FAILED: accuracy ")


def test_an_experiment_in_the_work_tree_changes_it(project: Project) -> None:
    project.run("dvc", "exp", "run", "--name", "here", "-S", "render.dpi=55")
    assert re.search(r"dpi: +55", project.read("params.yaml"))
    assert "here" in project.run("dvc", "exp", "list").stdout
    project.run("git", "checkout", "--quiet", ".")
    assert project.repro() == []


def test_plots_can_be_compared(project: Project) -> None:
    project.run("dvc", "plots", "diff", "--out", "plots", "HEAD")
    assert "val_accuracy" in project.read("plots/index.html")
    shutil.rmtree(project.folder / "plots")


def test_plots_can_be_shown(project: Project) -> None:
    project.run("dvc", "plots", "show", "--out", "plots")
    page = project.read("plots/index.html")
    shutil.rmtree(project.folder / "plots")
    assert all(word in page for word in ("Loss", "Accuracy", "val_loss", "confusion_matrix.png", "samples.png"))


def test_a_stage_without_dvc_writes_the_same_outputs(project: Project) -> None:
    for stage in ("preprocess", "render"):
        project.run("python", "-m", f"tasks.{stage}")
    assert project.run("dvc", "status").stdout.strip() == "Data and pipelines are up to date."


@pytest.mark.parametrize(
    ("change", "stage", "sentence"),
    [
        (
            {"learning_rate": "fast"},
            "train",
            "train: params.yaml: train.learning_rate should be a valid number or 'auto', but it is 'fast'.",
        ),
        ({"dpi": "120\n  dpj: 1"}, "render", "render: params.yaml: there is no parameter render.dpj; did you mean render.dpi?"),
    ],
)
def test_an_invalid_parameter_is_reported_in_one_sentence(
    project: Project, change: dict[str, str], stage: str, sentence: str
) -> None:
    before = project.hashes()
    project.set(**change)
    result = project.run("dvc", "repro", code=255)  # DVC's exit code if a stage fails
    assert sentence in result.stderr.splitlines()
    assert "Traceback" not in result.stderr + result.stdout
    assert project.run("python", "-m", f"tasks.{stage}", code=1).stderr == f"{sentence}\n"
    assert project.run("python", "-m", "commands", "check", code=1).stderr == f"check: {sentence.partition(': ')[2]}\n"
    project.run("git", "checkout", "--quiet", "params.yaml")
    assert project.repro() == []
    assert project.hashes() == before


@pytest.mark.parametrize(
    ("stage", "path"),
    [
        ("preprocess", "data/raw/images-00000.parquet"),
        ("train", "models/initial.keras"),
        ("train", "data/prepared/training/images-00000.npy"),
        ("evaluate", "models/resnet.keras"),
        ("evaluate", "data/prepared/index.csv"),
        ("evaluate", "data/prepared/test/labels.npy"),
    ],
)
def test_a_truncated_input_is_named_and_the_results_stay(project: Project, stage: str, path: str) -> None:
    file = project.folder / path
    metrics = project.read("reports/metrics.json")
    content = file.read_bytes()
    file.unlink()  # it may be a link into DVC's cache
    file.write_bytes(content[: len(content) // 2])
    result = project.run("python", "-m", f"tasks.{stage}", code=1)
    shown = path if stage != "preprocess" else "data/raw"
    assert result.stderr.startswith(f"{stage}: {shown}")
    assert "is damaged or cut short" in result.stderr
    assert result.stderr.count("\n") == 1
    assert project.read("reports/metrics.json") == metrics
    assert project.repro() == []
    assert file.read_bytes() == content


def test_progress_is_a_bar_on_a_terminal_and_lines_in_a_pipe(project: Project) -> None:
    # The checkpoint of a finished run would leave nothing to train.
    project.run("python", "-m", "commands", "checkpoints", "--all")
    piped = project.run("python", "-m", "tasks.train")
    assert re.findall(r"(?m)^epoch (\d)/2: loss [\d.]+, accuracy [\d.]+, .* images/s, [\d.]+ s$", piped.stdout) == ["1", "2"]
    assert piped.stderr == ""
    project.run("python", "-m", "commands", "checkpoints", "--all")
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
    except OSError:  # Linux reports the closed end of a terminal as an error
        pass
    assert process.wait(timeout=60) == 0
    os.close(ours)
    assert re.search(rb"epoch 1/2: +\d+%.*\| \d+/39 .*loss [\d.]+, accuracy [\d.]+, \d+ images/s", shown)
    assert project.run("dvc", "status").stdout.strip() == "Data and pipelines are up to date."
