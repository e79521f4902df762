"""The decisions of a stage's task, with a stand-in for DVC."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from prefect.states import Completed, Failed

from flows import stages
from flows.dvc_process import DvcError
from flows.stages import POLICIES, Policy, StageError, StagePausedError, bring_up_to_date, run_logger
from resnet.core.errors import UserError
from tasks.training.pause import PausedError
from tests.project import STAGES

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State


class FakeWorkspace:
    """Gives prepared answers and notes the calls."""

    def __init__(self, *seen: tuple[bool, bool], ran: bool = True, lines: tuple[str, ...] = (), error: str = "") -> None:
        self.seen, self.ran, self.lines, self.error = list(seen), ran, lines, error
        self.asked: list[Any] = []
        self.home = self.root = Path("home")
        self.busy = len(seen) > 1
        self.devices = 1
        self.environment: dict[str, str] = {}
        self.ends: list[dict[str, Any]] = []  # what training records at its end

    def record(self, stage: str) -> Path:
        return self.root / ".dvc" / "tmp" / "events" / f"{stage}.jsonl"

    def look(self, stage: str) -> dict[str, Any]:
        unchanged, restorable = self.seen.pop(0) if len(self.seen) > 1 else self.seen[0]
        params = {"params.yaml": {"seed": 0, "train": {"devices": self.devices}}}
        key = None if unchanged else "0123456789abcdef0123"
        return {"unchanged": unchanged, "restorable": restorable, "key": key, "params": params}

    @contextmanager
    def lock(self, name: str, on_wait: Callable[[], None]) -> Iterator[None]:
        self.asked.append(f"lock {name}")
        if self.busy:
            on_wait()
        yield

    def reproduce(self, stage: str, environment: Mapping[str, str], on_line: Callable[[str], None]) -> bool:
        self.asked.append({name: value for name, value in environment.items() if name != "TRAIN_RESNET_EVENTS"})
        self.events = Path(environment["TRAIN_RESNET_EVENTS"])
        for line in self.lines:
            on_line(line)
        for end in self.ends:
            self.events.parent.mkdir(parents=True)
            self.events.write_text(json.dumps(end), encoding="utf-8")
        if self.error:
            raise DvcError(self.error)
        return self.ran


@pytest.fixture(autouse=True)
def one_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")


def bring(workspace: FakeWorkspace, stage: str = "train", policy: Policy = POLICIES["train"]) -> Any:
    return bring_up_to_date(workspace, stage, policy, run_logger())  # type: ignore[arg-type]


def test_each_stage_has_a_policy_and_only_training_takes_a_slot() -> None:
    assert list(POLICIES) == STAGES
    assert [stage for stage, policy in POLICIES.items() if policy.slot] == ["train"]


def test_an_unchanged_stage_is_cached_and_takes_no_lock() -> None:
    workspace = FakeWorkspace((True, True))
    assert bring(workspace).name == "Cached"
    assert workspace.asked == []


def test_a_stage_that_runs_takes_a_lock_and_a_slot() -> None:
    workspace = FakeWorkspace((False, False))
    assert bring(workspace).name == "Completed"
    assert workspace.asked == ["lock train-0123456789abcdef", {"DVC_ROOT": "home", "CUDA_VISIBLE_DEVICES": "7"}]


def test_training_on_two_devices_takes_two_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7,8,9")
    workspace = FakeWorkspace((False, False))
    workspace.devices = 2
    bring(workspace)
    assert workspace.asked[1] == {"DVC_ROOT": "home", "CUDA_VISIBLE_DEVICES": "7,8"}


def test_a_stage_is_told_where_to_record_its_events(tmp_path: Path) -> None:
    workspace = FakeWorkspace((False, False))
    workspace.root = tmp_path
    old = tmp_path / ".dvc/tmp/events/train.jsonl"
    old.parent.mkdir(parents=True)
    old.write_text("of an earlier run")
    bring(workspace)
    assert workspace.events == old
    assert not old.exists()


def test_a_restored_stage_takes_no_slot() -> None:
    workspace = FakeWorkspace((False, True), ran=False)
    assert bring(workspace).name == "Cached"
    assert workspace.asked[1] == {"DVC_ROOT": "home"}


def test_a_stage_that_another_run_finished_in_the_meantime_is_cached() -> None:
    workspace = FakeWorkspace((False, False), (True, True))
    assert bring(workspace).name == "Cached"
    assert workspace.asked == ["lock train-0123456789abcdef"]


@pytest.mark.parametrize(
    ("lines", "error", "kind", "message"),
    [
        (
            ("epoch 1/2: x", "train: too hot; cool it."),
            "failed to run: x, exited with 1",
            UserError,
            "train: too hot; cool it.",
        ),
        (
            ("Traceback", "ValueError: x"),
            "failed to run: x, exited with 1",
            StageError,
            "train ended with code 1: ValueError: x",
        ),
        (("train: done",), "failed to run: x, exited with -9", StageError, "train ended with code -9: train: done"),
        ((), "failed to run: x, exited with -15", StageError, "train ended with code -15: it printed nothing"),
        ((), "missing data 'source': data/raw", UserError, "missing data 'source': data/raw"),
    ],
)
def test_a_mistake_of_the_users_is_told_from_other_failures(
    lines: tuple[str, ...], error: str, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind) as found:
        bring(FakeWorkspace((False, False), lines=lines, error=error))
    assert type(found.value) in (kind, DvcError)
    assert str(found.value) == message


@pytest.mark.parametrize(
    ("asked", "ends", "kind"),
    [
        (True, ["paused"], StagePausedError),
        (False, ["paused"], UserError),  # the variable is set in the shell
        (True, ["failed"], StageError),  # another program ended with this code
        (True, [], StageError),
    ],
)
def test_a_pause_is_told_from_a_failure_by_the_exit_code_and_the_record(
    asked: bool, ends: list[str], kind: type[Exception], tmp_path: Path
) -> None:
    workspace = FakeWorkspace((False, False), lines=("train: paused after epoch 3",), error="failed to run: x, exited with 75")
    workspace.home = workspace.root = tmp_path
    workspace.environment = {"TRAIN_RESNET_STOP_AFTER": "3"} if asked else {}
    workspace.ends = [{"event": "end", "time": 1.0, "outcome": outcome} for outcome in ends]
    with pytest.raises(kind, match="train: paused after epoch 3$") as found:
        bring(workspace)
    assert type(found.value) is kind
    assert workspace.asked[1].get("TRAIN_RESNET_STOP_AFTER") == ("3" if asked else None)


@pytest.mark.parametrize("asked", [True, False])
def test_a_pause_that_the_flow_asked_for_gives_no_advice(asked: bool, tmp_path: Path) -> None:
    line = f"train: {PausedError(3, 9)}"
    workspace = FakeWorkspace((False, False), lines=(line,), error="failed to run: x, exited with 75")
    workspace.home = workspace.root = tmp_path
    workspace.environment = {"TRAIN_RESNET_STOP_AFTER": "3"} if asked else {}
    workspace.ends = [{"event": "end", "time": 1.0, "outcome": "paused"}]
    with pytest.raises(StagePausedError if asked else UserError) as found:
        bring(workspace)
    assert str(found.value) == ("train: paused after epoch 3 of 9" if asked else line)


def test_only_failures_that_are_no_mistake_of_the_users_are_retried() -> None:
    outcomes: list[State[Any]] = [Failed(message="one sentence"), Failed(data=StageError("x"))]
    assert [stages._is_worth_a_retry(None, None, state) for state in outcomes] == [False, True]


def test_a_failed_task_stops_the_flow_with_its_message(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes: Iterator[State[Any]] = iter([Completed(name="Cached"), Failed(message="train: too hot; cool it.")])
    monkeypatch.setattr(stages, "task", lambda **_: lambda function: lambda *_: next(outcomes))
    train: Any = stages.stage_task("train")
    assert train(SimpleNamespace()).name == "Cached"
    with pytest.raises(UserError, match="^train: too hot; cool it.$"):
        train(SimpleNamespace())
