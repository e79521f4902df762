"""What the list of runs shows about a run that has ended."""

import importlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prefect.states import Completed

from flows import outcome
from flows.results import Result

module = importlib.import_module("flows.train_resnet")  # the flow has the same name
RESULT = Result("epochs-3", {"accuracy": 0.991279, "accuracy_low": 0.98365, "accuracy_high": 0.99454}, val_loss=0.2)
MIRRORED = Result("pairs", {**RESULT.metrics, "mirror": True}, val_loss=0.2)
UNKNOWN = Result("old", {"f1": 1.0}, val_loss=0.2)


def test_the_message_has_the_accuracy_and_the_next_command() -> None:
    start = "Experiment epochs-3: test accuracy 99.1 % (98.4 to 99.5). Next: "
    assert outcome.message(RESULT, in_place=False) == (
        f"{start}`dvc exp apply epochs-3` for its files, or `train-resnet compare HEAD epochs-3`"
    )
    assert outcome.message(RESULT, in_place=True) == (
        f"{start}open reports/index.html, or compare with the last commit by `train-resnet compare HEAD epochs-3`"
    )
    assert outcome.message(UNKNOWN, in_place=False).startswith("Experiment old: no test accuracy. Next: ")


def test_files_of_a_run_elsewhere_are_pulled_first() -> None:
    assert outcome.command_for_files("low-rate") == "dvc exp apply low-rate"
    assert outcome.command_for_files("low-rate", elsewhere=True) == "dvc exp pull origin low-rate && dvc exp apply low-rate"


@pytest.mark.parametrize(
    ("state", "record", "tag"),
    [
        ("Completed", {"stages": {"train": {"gpus": []}}}, "cpu"),
        ("Completed", {"stages": {"train": {"gpus": ["NVIDIA H100"]}}}, "gpu"),
        ("Completed", {"stages": []}, "cpu"),
        ("Completed", None, "cpu"),
        ("Cached", {"stages": {"train": {"gpus": ["NVIDIA H100"]}}}, "cached"),  # of an earlier run in place
    ],
)
def test_the_tags_are_the_experiment_the_accuracy_and_where_it_trained(
    tmp_path: Path, state: str, record: Any, tag: str
) -> None:
    if record is not None:
        (tmp_path / "reports").mkdir()
        (tmp_path / "reports/run.json").write_text(json.dumps(record))
    assert outcome.tags(tmp_path, RESULT, Completed(name=state)) == ["epochs-3", "99.1 %", tag]
    assert outcome.tags(tmp_path, MIRRORED, Completed(name=state)) == ["pairs", "99.1 %, with mirror images", tag]
    assert outcome.tags(tmp_path, UNKNOWN, Completed(name=state)) == ["old", tag]


@pytest.fixture
def updates(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, list[str]]]:
    """What the server was told: the run, its name and its tags."""
    told: list[tuple[str, str, list[str]]] = []

    @contextmanager
    def client(sync_client: bool) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(update_flow_run=lambda run, name, tags: told.append((run, name, tags)))

    monkeypatch.setattr(outcome, "get_client", client)
    return told


def running(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run = SimpleNamespace(id="id", name=name, tags=["cpu", "nightly"])
    context = SimpleNamespace(flow_run=run, parameters={"overrides": {"seed": 1}})
    monkeypatch.setattr(outcome, "FlowRunContext", SimpleNamespace(get=lambda: context))


@pytest.mark.parametrize(
    ("name", "result", "shown"),
    [
        ("seed=1", RESULT, "seed=1: 99.1 %"),
        ("seed=1", MIRRORED, "seed=1: 99.1 %, with mirror images"),
        ("mine", RESULT, "mine"),
        ("seed=1", UNKNOWN, "seed=1"),
    ],
)
def test_the_accuracy_is_added_to_a_name_that_no_person_gave(
    name: str, result: Result, shown: str, updates: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    running(name, monkeypatch)
    outcome.show(result, ["x", "cpu"])
    assert updates == [("id", shown, ["cpu", "nightly", "x"])]


def test_outside_of_a_run_nothing_is_told(updates: list[Any]) -> None:
    outcome.show(RESULT, ["x"])
    assert updates == []


def test_a_server_that_is_away_does_not_make_a_finished_run_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ConnectionError("no server")

    warnings: list[str] = []
    logger = SimpleNamespace(warning=lambda text, error: warnings.append(text % error))
    monkeypatch.setattr(module, "publish", refuse)
    monkeypatch.setattr(module, "run_logger", lambda: logger)
    module.show_result(SimpleNamespace(root=tmp_path, commit="0a1b"), SimpleNamespace(in_place=False), RESULT, Completed())
    assert warnings == ["The results could not be shown: no server"]
