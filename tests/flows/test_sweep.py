"""Grids, searches and their tables, with a stand-in for the runs."""

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pytest
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows import children, search, sweep
from flows.child_runs import Child, run_all
from flows.results import Result
from flows.search import make_space
from resnet.core.errors import UserError


def make_child(number: int, val_loss: float | None, **overrides: Any) -> Child:
    metrics = {"accuracy": 0.5, "accuracy_low": 0.4, "accuracy_high": 0.6}
    result = None if val_loss is None else Result(f"x-{number:02d}", metrics, val_loss)
    return Child(number, overrides, result, "train: a | b" if val_loss is None else "well")


def test_a_grid_is_all_combinations_the_last_changing_fastest() -> None:
    grid: dict[str, list[Any]] = {"a": [1, 2], "b": ["x", "y", "z"]}
    expected = [(1, "x"), (1, "y"), (1, "z"), (2, "x"), (2, "y"), (2, "z")]
    assert [tuple(one.values()) for one in sweep.combinations(grid)] == expected
    assert all(list(one) == ["a", "b"] for one in sweep.combinations(grid))


@pytest.mark.parametrize("grid", [{}, {"a": []}, {"a": [1], "b": []}])
def test_a_grid_without_values_is_a_sentence(grid: dict[str, list[Any]]) -> None:
    with pytest.raises(UserError, match="^a sweep needs a grid with values for each parameter"):
        sweep.combinations(grid)


def test_a_sweep_of_no_runs_at_a_time_is_a_sentence() -> None:
    with pytest.raises(UserError, match="at least 1, but it is 0.$"):
        sweep.check([], 0, "HEAD", False)


def test_the_table_is_best_first_by_validation_and_failures_are_last() -> None:
    text = sweep.table(
        [make_child(1, 0.3, lr=1), make_child(2, None, lr=2), make_child(3, 0.1, lr=3), make_child(4, 0.1, lr=4)]
    )
    assert text.splitlines() == [
        "| experiment | lr | val_loss | test accuracy | 95 % interval    |",
        "| ---------- | -- | -------- | ------------- | ---------------- |",
        "| x-03       | 3  | 0.1000   | 0.5000        | 0.4000 to 0.6000 |",
        "| x-04       | 4  | 0.1000   | 0.5000        | 0.4000 to 0.6000 |",
        "| x-01       | 1  | 0.3000   | 0.5000        | 0.4000 to 0.6000 |",
        "| run 2      | 2  | failed   | train: a / b  |                  |",
    ]


@pytest.mark.parametrize(
    ("losses", "kind", "name", "message"),
    [
        ([0.1, 0.2], "COMPLETED", "Completed", "2 runs"),
        ([0.1, None], "COMPLETED", "Partial", "1 of 2 runs failed"),
        ([None, None], "FAILED", "Failed", "All of 2 runs failed: train: a | b"),
    ],
)
def test_the_parents_state_follows_from_the_children(
    monkeypatch: pytest.MonkeyPatch, losses: list[float | None], kind: str, name: str, message: str
) -> None:
    monkeypatch.setattr(sweep, "create_markdown_artifact", lambda *_, **__: None)
    state = sweep.conclude([make_child(number, loss) for number, loss in enumerate(losses, 1)])
    assert (state.type.value, state.name, state.message) == (kind, name, message)


class FakeFlow:
    """Stands in for the flow; counts how many run at a time."""

    def __init__(self) -> None:
        self.lock, self.now, self.most, self.names = threading.Lock(), 0, 0, list[str]()

    def with_options(self, flow_run_name: str) -> "FakeFlow":
        self.names.append(flow_run_name)
        return self

    def __call__(self, overrides: Mapping[str, Any], **_: Any) -> State[Any]:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(0.05)
        with self.lock:
            self.now -= 1
        if overrides["x"] == 2:
            raise RuntimeError("broken")
        return Failed(message="sentence") if overrides["x"] == 3 else Completed(data=Result("name", {}, overrides["x"]))


def test_children_run_so_many_at_a_time_and_do_not_sink_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    flow = FakeFlow()
    monkeypatch.setattr(children, "train_resnet", flow)
    drawn: list[int] = []

    def proposals() -> Iterator[dict[str, int]]:
        for x in range(1, 8):
            drawn.append(x)
            yield {"x": x}

    ended: list[Child] = []
    for child in run_all(proposals(), "parent", 3, "HEAD", False):
        assert len(drawn) <= len(ended) + 6  # drawn when there is room, not before
        ended.append(child)
    assert flow.most == 3
    assert sorted(flow.names) == [f"parent-{number:02d}" for number in range(1, 8)]
    found = {child.overrides["x"]: (child.result.val_loss if child.result else child.message) for child in ended}
    assert found == {1: 1, 2: "broken", 3: "sentence", 4: 4, 5: 5, 6: 6, 7: 7}


def test_a_search_proposes_within_its_space_and_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("optuna").logging.set_verbosity(30)
    tried: list[Mapping[str, Any]] = []

    def fake(proposals: Iterable[Mapping[str, Any]], *_: Any) -> Iterator[Child]:
        for number, proposal in enumerate(proposals, 1):
            tried.append(dict(proposal))
            loss = None if number == 3 else (proposal["lr"] - 0.01) ** 2 + (proposal["opt"] == "bad")
            yield make_child(number, loss, **proposal)

    ended: list[list[Child]] = []
    monkeypatch.setattr(search, "run_all", fake)
    monkeypatch.setattr(search, "check", lambda *_: None)
    monkeypatch.setattr(search, "conclude", ended.append)
    space: dict[str, Any] = {"between": {"n": [2, 5]}, "between_log": {"lr": [0.0001, 1.0]}, "among": {"opt": ["good", "bad"]}}
    search.search.fn(**space, trials=40)
    assert len(tried) == len(ended[0]) == 40
    assert all(0.0001 <= one["lr"] <= 1 and one["n"] in (2, 3, 4, 5) and one["opt"] in ("good", "bad") for one in tried)
    assert sum(one["opt"] == "good" for one in tried[20:]) > 14  # by chance it would be 10
    first = list(tried)
    tried.clear()
    search.search.fn(**space, trials=40)
    assert tried == first


@pytest.mark.parametrize("ends", [[1], [2, 1], ["a", "b"], [1, 2, 3]])
def test_what_is_no_range_is_a_sentence(ends: list[Any]) -> None:
    pytest.importorskip("optuna")
    with pytest.raises(UserError, match=r"^lr is searched between two numbers, LOW,HIGH, but they are \["):
        make_space({"lr": ends}, {}, {})
    with pytest.raises(UserError, match="^a search needs something to search"):
        make_space({}, {}, {})
