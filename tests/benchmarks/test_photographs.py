"""The recipes for photographs: equal time, folders of stages, and a benchmark that goes on after an interruption."""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.photographs import _CODE, Results, Workshop, epochs_in, groups, photographs, sizes_of
from benchmarks.recipe_parts import BASE, photograph_parts
from benchmarks.recipes import table
from commands.advice.forecast import Timing
from commands.advice.parameters import with_values
from resnet.core.errors import UserError
from tests.imports import ROOT
from tests.pictures import two_classes

TEXT = (ROOT / "params.yaml").read_text("utf-8")


@pytest.fixture(autouse=True)
def in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("part", photograph_parts(96))
def test_every_row_passes_the_checks_of_the_stages(part: str) -> None:
    params = with_values(
        TEXT, {"ingest.source": "photos", "preprocess.image_size": 96, "train.epochs": 20, **photograph_parts(96)[part]}
    )
    assert sizes_of(params)[-1] == 96


def test_the_sizes_follow_that_of_the_images() -> None:
    parts = photograph_parts(128)
    assert parts["the same, growing sizes"]["train.size_schedule"] == [64, 96, 128]
    assert parts["the same, larger training images"]["preprocess.training_size"] == 160
    # 0.8 of 128 is 102.4: the next multiple of 8.
    assert parts["the same, FixRes"]["train.size_schedule"] == [104, 104, 104, 104, 128]


def test_as_many_epochs_as_fit_at_the_sizes_of_the_row() -> None:
    small, large = Timing(4.0, 1.0, 5.0, 0.1, 0.0), Timing(4.0, 1.0, 7.0, 0.4, 0.0)
    # 10 steps: 4 s an epoch, and 7 s to compile.
    assert epochs_in(100, [large], [325, 10, 10], 32) == 23
    # Two of three epochs take 1 s: 2 s in the mean, and 12 s to compile.
    assert epochs_in(101, [small, small, large], [325, 10, 10], 32) == 44
    assert epochs_in(1, [large], [325, 10, 10], 32) == 1
    assert epochs_in(1, [small, small, large], [325, 10, 10], 32) == 3


def test_rows_that_differ_only_in_the_evaluation_share_a_network() -> None:
    found = list(groups({"a": {}, "b": {"train.flip": True}, "c": {"train.flip": True, "evaluate.samples": 4}}))
    assert [(trained, list(members)) for trained, members in found] == [({}, ["a"]), ({"train.flip": True}, ["b", "c"])]


def test_results_go_on_and_do_not_mix_settings(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    first = Results(path, {"minutes": 5})
    assert first.epochs("a", lambda: 12) == 12
    first.add({"part": "a", "seed": 0, "accuracy": 0.5, "seconds": 10.0, "epochs": 12})
    again = Results(path, {"minutes": 5})
    assert (again.has("a", 0), again.has("a", 1)) == (True, False)
    assert again.epochs("a", lambda: pytest.fail("measured again")) == 12
    with pytest.raises(SystemExit, match="other settings than minutes"):
        Results(path, {"minutes": 6})


def test_the_table_leaves_out_seeds_that_the_first_row_lacks() -> None:
    figures = [("a", 0, 0.5, 10.0), ("b", 0, 0.6, 15.0), ("b", 1, 0.9, 99.0)]
    lines = table([dict(zip(("part", "seed", "accuracy", "seconds"), row, strict=True)) | {"epochs": 4} for row in figures])
    assert lines.splitlines()[0].endswith("| time of training |")
    assert "| b | 4 | 60.0 | +10.0 | 1.50 |" in lines


class Stages:
    """Stands for the processes of the stages: notes them, and writes what the benchmark reads."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.failing: set[tuple[str, int]] = set()

    def __call__(self, room: Path, stage: str) -> None:
        params = with_values((room / "params.yaml").read_text("utf-8"), {})
        if (stage, params.seed) in self.failing:
            raise subprocess.CalledProcessError(1, stage)
        assert (room / "data/decisions.csv").read_text("utf-8").startswith("pixel_hash,")  # which `ingest` needs
        self.ran.append(stage)
        epochs = params.value("train.epochs", int)
        (room / "reports").mkdir(exist_ok=True)
        (room / "reports/metrics.json").write_text(json.dumps({"accuracy": params.seed / 10}), "utf-8")
        (room / "reports/run.json").write_text(json.dumps({"stages": {"train": {"epoch_seconds": epochs * [2.0]}}}), "utf-8")


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> Stages:
    made = Stages()
    monkeypatch.setattr("benchmarks.photographs._run", made)
    monkeypatch.setattr("benchmarks.photographs._hash_of_code", lambda: "code")
    monkeypatch.setattr(
        "benchmarks.photographs._CODE", [name for name in _CODE if (ROOT / name).is_file()]
    )  # folders are large
    monkeypatch.setattr(Workshop, "epochs", lambda *_: 7)
    return made


def options(tmp_path: Path, **changes: Any) -> argparse.Namespace:
    given = {
        "data": str(two_classes(tmp_path / "photos", 3)),
        "seeds": [1, 2],
        "minutes": 1.0,
        "depth": 18,
        "width": 8,
        "stem": "large",
        "image_size": 64,
        "parts": [BASE, "crops of at least 0.35 and flips"],
        "work": tmp_path / "work",
        "json": tmp_path / "results.json",
    }
    return argparse.Namespace(**given | changes)


def test_data_are_prepared_once_and_finished_runs_are_skipped(stages: Stages, tmp_path: Path) -> None:
    rows = photographs(options(tmp_path))
    assert stages.ran == ["ingest", "preprocess", *4 * ["build", "train", "evaluate"]]
    assert [(row["part"], row["seed"], row["accuracy"], row["epochs"], row["seconds"]) for row in rows[:2]] == [
        (BASE, 1, 0.1, 7, 14.0),
        (BASE, 2, 0.2, 7, 14.0),
    ]
    stages.ran.clear()
    assert photographs(options(tmp_path, seeds=[1, 2, 3], parts=[BASE])) == [
        *rows[:2],
        json.loads((tmp_path / "results.json").read_text("utf-8"))["rows"][-1],
    ]
    assert stages.ran == ["build", "train", "evaluate"]


def test_a_run_that_fails_does_not_stop_the_others(stages: Stages, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stages.failing = {("train", 1)}
    assert {row["seed"] for row in photographs(options(tmp_path))} == {2}
    assert "crops of at least 0.35 and flips with seed 1 failed" in capsys.readouterr().err
    stages.failing = set()
    assert {row["seed"] for row in photographs(options(tmp_path))} == {1, 2}


def test_a_row_whose_parameters_do_not_fit_stops_before_anything_runs(stages: Stages, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="build.width"):
        photographs(options(tmp_path, width=1))
    assert stages.ran == []


def test_the_command_lists_its_rows() -> None:
    command = [sys.executable, "-m", "benchmarks.recipes", "photographs", "--help"]
    assert "--minutes" in subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
