"""Child runs: how many at a time, in which order proposals are drawn, and what a failure or an interruption does."""

import threading
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any

import pytest
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows import child_runs
from flows.child_runs import Child, run_all
from flows.results import Result

PARENT: ContextVar[str] = ContextVar("PARENT", default="none")


class FakeFlow:
    """Stands in for the flow: x = 2 raises, x = 3 fails, any other x is the validation loss."""

    def __init__(self, parallel: int = 1) -> None:
        self.parallel, self.lock, self.full = parallel, threading.Lock(), threading.Event()
        self.now, self.most = 0, 0
        self.names: list[str] = []
        self.parents: set[str] = set()

    def __call__(self, overrides: Mapping[str, Any], experiment: str, **_: Any) -> State[Any]:
        with self.lock:
            self.names.append(experiment)
            self.now += 1
            self.most = max(self.most, self.now)
            self.parents.add(PARENT.get())
            if self.now == self.parallel:
                self.full.set()
        assert self.full.wait(30), f"only {self.most} of {self.parallel} runs were started"
        with self.lock:
            self.now -= 1
        if overrides["x"] == 2:
            raise RuntimeError("broken")
        return Failed(message="sentence") if overrides["x"] == 3 else Completed(data=Result("name", {}, overrides["x"]))


def install(monkeypatch: pytest.MonkeyPatch, parallel: int = 1) -> FakeFlow:
    flow = FakeFlow(parallel)
    monkeypatch.setattr(child_runs, "train_resnet", flow)
    return flow


def test_no_more_runs_than_allowed_at_a_time_and_a_failure_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    flow = install(monkeypatch, parallel=3)
    ended = list(run_all(({"x": x} for x in range(1, 8)), "parent", 3, "HEAD", False))
    assert flow.most == 3
    assert sorted(flow.names) == [f"parent-{number:02d}" for number in range(1, 8)]
    found = {child.overrides["x"]: (child.result.val_loss if child.result else child.message) for child in ended}
    assert found == {1: 1, 2: "broken", 3: "sentence", 4: 4, 5: 5, 6: 6, 7: 7}
    assert {child.number: child.overrides["x"] for child in ended} == {number: number for number in range(1, 8)}


def test_a_proposal_is_drawn_only_when_a_run_can_start(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    events: list[str] = []
    note = events.append

    def proposals() -> Iterator[dict[str, int]]:
        for x in (4, 5):
            note(f"draw {x}")
            yield {"x": x}

    for child in run_all(proposals(), "parent", 1, "HEAD", False):
        note(f"end {child.overrides['x']}")
    assert events == ["draw 4", "end 4", "draw 5", "end 5"]


def test_children_see_the_context_of_their_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    flow = install(monkeypatch)
    token = PARENT.set("sweep")
    try:
        list(run_all([{"x": 1}], "parent", 1, "HEAD", False))
    finally:
        PARENT.reset(token)
    assert flow.parents == {"sweep"}


def test_an_interruption_ends_the_dvc_processes_and_starts_no_further_run(monkeypatch: pytest.MonkeyPatch) -> None:
    flow = install(monkeypatch)
    interrupted: list[bool] = []
    monkeypatch.setattr(child_runs, "interrupt_all", lambda: interrupted.append(True))

    def proposals() -> Iterator[dict[str, int]]:
        yield {"x": 1}
        assert flow.full.wait(30)
        raise KeyboardInterrupt

    ended: list[Child] = []
    with pytest.raises(KeyboardInterrupt):
        ended.extend(run_all(proposals(), "parent", 2, "HEAD", False))
    assert interrupted == [True]
    assert flow.names == ["parent-01"]
