"""The command of a stage: what it binds, and how it ends."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from resnet.core.errors import UserError
from tasks.stage import command as stage_module
from tasks.stage.command import bind, main
from tasks.stage.graph import read_graph
from tasks.stage.params import Params, Section
from tests.imports import ROOT


class Cook(Section):
    """Parameters of a stage of these tests."""

    salt: float


ENTRY = {"deps": ["data/raw", "tasks/cook.py"], "params": ["cook", "seed", "other.size"], "outs": [{"out/meal.csv": {}}]}


class Other(Section):
    """Another stage's."""

    size: int


PARAMS = Params(7, {"cook": Cook(salt=1.0), "other": Other(size=3)})


def test_keywords_are_bound_to_what_dvc_yaml_lists() -> None:
    def cook(params: Cook, *, seed: int, size: int, raw: Path, meal_csv: Path) -> None: ...

    assert bind(cook, ENTRY, PARAMS) == {"seed": 7, "size": 3, "raw": Path("data/raw"), "meal_csv": Path("out/meal.csv")}


@pytest.mark.parametrize("kind", [Path, int])
def test_what_dvc_yaml_does_not_list_cannot_be_had(kind: type) -> None:
    def cook(params: Cook, *, secret: Any) -> None: ...

    cook.__annotations__["secret"] = kind
    with pytest.raises(LookupError, match="cook asks for secret, but dvc.yaml does not list it"):
        bind(cook, ENTRY, PARAMS)


def test_a_graph_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no .*; run stages in the project's folder"):
        read_graph(tmp_path / "dvc.yaml")
    for text in ("", "stages: [", "vars: []"):
        (tmp_path / "dvc.yaml").write_text(text)
        with pytest.raises(UserError, match="dvc.yaml cannot be read"):
            read_graph(tmp_path / "dvc.yaml")


def test_a_users_mistake_is_a_sentence_and_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["tasks.train"])
    assert main("train") == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("train: there is no dvc.yaml in ")
    assert captured.err.count("\n") == 1


def test_work_is_not_lost_because_it_could_not_be_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: Any) -> None:
        raise UserError("the disk is full")

    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["tasks.ingest"])
    monkeypatch.setattr(stage_module, "record", full)
    monkeypatch.setattr(stage_module, "bind", lambda *_: {"raw": tmp_path / "raw"})
    assert main("ingest") == 0
    assert (tmp_path / "raw" / "manifest.csv").exists()
    assert capsys.readouterr().err == "ingest: done, but not noted in reports/run.json: the disk is full\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signals_have_codes_of_their_own(
    number: signal.Signals, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(path: Path) -> Any:
        os.kill(os.getpid(), number)
        time.sleep(5)

    before = signal.getsignal(number)
    monkeypatch.setattr(sys, "argv", ["tasks.train"])
    monkeypatch.setattr(stage_module, "read_graph", interrupted)
    assert main("train") == code
    assert capsys.readouterr().err == f"train: ended by {number.name}\n"
    assert signal.getsignal(number) is before


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: Path) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(sys, "argv", ["tasks.train"])
    monkeypatch.setattr(stage_module, "read_graph", broken)
    with pytest.raises(ZeroDivisionError):
        main("train")


@pytest.mark.parametrize("name", ["preprocess", "build", "train", "evaluate", "render"])
def test_a_stage_without_its_inputs_says_which_is_missing(name: str, make_project: Callable[[], Any]) -> None:
    result = make_project().run("python", "-m", f"tasks.{name}", code=1)
    assert re.fullmatch(
        rf"{name}: (data|reports)/\S+ is missing; an earlier stage writes it: run `dvc repro`\.\n", result.stderr
    )
    assert result.stdout == ""


def test_a_stage_tells_what_it_does() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "tasks.train", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "Trains the network on the training split" in result.stdout
