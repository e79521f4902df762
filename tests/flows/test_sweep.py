"""The grid of a sweep, its table, its final state and its exit code."""

from typing import TYPE_CHECKING, Any

import pytest
from prefect.states import Completed, Failed

from flows import sweep
from resnet.core.errors import UserError
from tests.flows.quick import make_child

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

BEST = "Lowest validation loss: x-0{0}, test accuracy 50.0 % (40.0 to 60.0). Next: `dvc exp apply x-0{0}` for its files"


def test_a_grid_is_all_combinations_and_the_last_parameter_changes_fastest() -> None:
    grid: dict[str, list[Any]] = {"a": [1, 2], "b": ["x", "y", "z"]}
    expected = [(1, "x"), (1, "y"), (1, "z"), (2, "x"), (2, "y"), (2, "z")]
    assert [tuple(one.values()) for one in sweep.combinations(grid)] == expected
    assert all(list(one) == ["a", "b"] for one in sweep.combinations(grid))


@pytest.mark.parametrize("grid", [{}, {"a": []}, {"a": [1], "b": []}])
def test_a_grid_without_values_is_refused(grid: dict[str, list[Any]]) -> None:
    with pytest.raises(UserError, match="^a sweep needs a grid with values for each parameter"):
        sweep.combinations(grid)


def test_a_sweep_of_no_runs_at_a_time_is_refused() -> None:
    with pytest.raises(UserError, match="^parallel, the number of runs at a time, must be at least 1, but it is 0.$"):
        sweep.check([], 0, "HEAD", False)


def test_the_table_lists_the_lowest_validation_loss_first_and_failures_last() -> None:
    text = sweep.table(
        [make_child(1, 0.3, lr=1), make_child(2, None, lr=2), make_child(3, 0.1, lr=3), make_child(4, 0.1, lr=4)]
    )
    assert text.splitlines() == [
        "| experiment | lr | validation loss | test accuracy (95 % interval) |",
        "| ---------- | -- | --------------- | ----------------------------- |",
        "| x-03       | 3  | 0.1000          | 50.0 % (40.0 to 60.0)         |",
        "| x-04       | 4  | 0.1000          | 50.0 % (40.0 to 60.0)         |",
        "| x-01       | 1  | 0.3000          | 50.0 % (40.0 to 60.0)         |",
        "| run 2      | 2  | failed          | train: a / b                  |",
    ]


@pytest.mark.parametrize(
    ("losses", "kind", "name", "message"),
    [
        ([0.2, 0.1], "COMPLETED", "Completed", f"2 runs. {BEST.format(2)}"),
        ([0.1, None], "COMPLETED", "Partial", f"1 of 2 runs failed. {BEST.format(1)}"),
        ([None, None], "FAILED", "Failed", "All 2 runs failed: train: a | b"),
        ([0.2], "COMPLETED", "Completed", f"1 run. {BEST.format(1)}"),
        ([None], "FAILED", "Failed", "The only run failed: train: a | b"),
    ],
)
def test_the_parents_state_follows_from_the_children(
    monkeypatch: pytest.MonkeyPatch, losses: list[float | None], kind: str, name: str, message: str
) -> None:
    monkeypatch.setattr(sweep, "create_markdown_artifact", lambda *_, **__: None)
    state = sweep.conclude([make_child(number, loss) for number, loss in enumerate(losses, 1)])
    assert (state.type.value, state.name, state.message) == (kind, name, message)


def test_the_exit_code_is_zero_only_if_all_runs_succeeded(capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep.exit_code(Completed()) == 0
    assert capsys.readouterr().err == ""
    states: list[State[Any]] = [Completed(name="Partial", message="1 of 2 runs failed"), Failed(message="All 2 runs failed: x")]
    for state in states:
        assert sweep.exit_code(state) == 1
        assert capsys.readouterr().err == f"{state.message}\n"
