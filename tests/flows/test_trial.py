"""A part of a trial: what it asks of the stages, and what it says of where the trial is."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prefect.states import Completed

from flows import trial as module
from flows.stages import PAUSED
from flows.workspace import Request
from resnet.core.errors import UserError

DVC_YAML = "stages:\n  train:\n    cmd: train\n    plots:\n    - history.csv:\n        x: epoch\n"


class FakeWorkspace:
    """The folder of a run in which training has paused after two epochs."""

    commit = "0a1b"

    def __init__(self, root: Path, start: Mapping[str, Any] | None) -> None:
        self.root = root
        self.saved: list[str] = []
        (root / "dvc.yaml").write_text(DVC_YAML)
        (root / "history.csv").write_text("epoch,val_loss,val_accuracy\n1,0.5,0.8\n2,0.25,0.9\n")
        if start is not None:
            (root / "train.jsonl").write_text(json.dumps({"event": "start", "time": 1.0, "epochs": 9, "steps": 5, **start}))

    def record(self, stage: str) -> Path:
        return self.root / f"{stage}.jsonl"

    def save(self, name: str) -> str:
        self.saved.append(name)
        return name


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the flow asks for; the key `start` sets where training starts, and `error` lets a stage fail."""
    found: dict[str, Any] = {"start": {"epoch": 1, "step": 0, "run": "0123"}}

    @contextmanager
    def opened(request: Request, name: str, say: Any, environment: Mapping[str, str]) -> Iterator[FakeWorkspace]:
        found["environment"] = environment
        found["workspace"] = FakeWorkspace(tmp_path, found["start"])
        yield found["workspace"]

    def run_stages(workspace: FakeWorkspace, *, measured: bool) -> Any:
        found["measured"] = measured
        if "error" in found:
            raise UserError(found["error"])
        return Completed(name="Completed" if measured else PAUSED)

    monkeypatch.setattr(module, "opened", opened)
    monkeypatch.setattr(module, "run_stages", run_stages)
    monkeypatch.setattr(module, "show_result", lambda *_: None)
    return found


def run(until: int, last: bool) -> Any:
    commits: list[str] = []
    state = module._run(Request(), "search-01", until, last, commits.append)
    assert commits == ["0a1b"]
    return state


def test_a_part_pauses_after_its_epoch_and_is_no_experiment(asked: dict[str, Any]) -> None:
    state = run(2, False)
    assert asked["environment"] == {"TRAIN_RESNET_STOP_AFTER": "2"}
    assert asked["measured"] is False
    assert asked["workspace"].saved == []
    reached = state.data
    assert [(row["epoch"], row["val_loss"]) for row in reached.history] == [(1, 0.5), (2, 0.25)]
    assert (reached.run, reached.fresh, reached.result) == ("0123", True, None)
    assert state.message == "2 epochs, lowest validation loss 0.2500"


def test_the_last_part_is_evaluated_and_saved(asked: dict[str, Any]) -> None:
    reached = run(9, True).data
    assert asked["measured"] is True
    assert asked["workspace"].saved == ["search-01"]
    assert (reached.result.experiment, reached.result.val_loss) == ("search-01", 0.25)


@pytest.mark.parametrize("start", [{"epoch": 2, "step": 0, "run": "0123"}, {"epoch": 1, "step": 3, "run": "0123"}, None])
def test_a_run_that_had_a_checkpoint_or_is_in_the_cache_was_not_begun_by_the_search(
    asked: dict[str, Any], start: dict[str, Any] | None
) -> None:
    asked["start"] = start
    reached = run(2, False).data
    assert reached.fresh is False
    assert reached.run == ("" if start is None else "0123")


def test_a_mistake_of_the_users_is_one_sentence(asked: dict[str, Any]) -> None:
    asked["error"] = "train: the loss became nan"
    state = run(2, False)
    assert state.is_failed()
    assert state.message == "train: the loss became nan"
