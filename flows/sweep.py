"""Grid search as a Prefect flow: each combination of values is a child run. `python -m flows.sweep --help`."""

import argparse
import itertools
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.settings import get_current_settings
from prefect.states import Completed, Failed

from flows.child_runs import Child
from flows.descriptions import SWEEP
from flows.ending import in_time
from flows.form import Count, Grid, Text, filled
from flows.lost_runs import recorded
from flows.names import describe_sweep, naming, short_names
from flows.outcome import command_for_files
from flows.overrides import parse_lists
from flows.pool_runs import runner
from flows.results import Result, accuracy_column
from flows.server import accept_server
from flows.temporary_server import watched
from flows.workspace import Request
from resnet.core.errors import UserError
from resnet.core.words import agreeing, counted


@flow(name="sweep", flow_run_name=naming(describe_sweep), description=SWEEP, persist_result=False)
def sweep(*, parallel: Count = 1, pool: Text = "", rev: str = "HEAD", include_changes: bool = False, grid: Grid) -> State[None]:
    """Trains once for each combination of values; each run is an experiment.

    Args:
        parallel: the number of runs at a time.
        pool: the work pool whose machines do the runs, as many at a time as it has slots; empty means this machine.
        rev: the Git revision to run.
        include_changes: include uncommitted changes.
        grid: values by parameter, as {"train.learning_rate": [0.001, 0.01], "seed": [0, 1]}.
    """

    def work(pin: Callable[[str], None]) -> State[None]:
        try:
            proposals = combinations(filled(grid))
            commit = check(proposals, parallel, rev, include_changes)
            run = runner(pool or "", flow_run.name or "sweep", parallel, commit, include_changes)
        except UserError as error:
            return Failed(message=str(error))
        pin(commit)
        return conclude(list(run(proposals)), elsewhere=bool(pool) or None)

    return recorded(work)


def combinations(grid: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Lists all combinations of a grid; the last parameter changes fastest.

    Raises:
        UserError: the grid is empty, or a parameter has no values.
    """
    if not grid or not all(isinstance(values, list) and values for values in grid.values()):
        raise UserError("a sweep needs a grid with values for each parameter, as in --grid train.learning_rate=0.001,0.01.")
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def check(proposals: Iterable[Mapping[str, Any]], parallel: int, rev: str, include_changes: bool) -> str:
    """Checks all runs of a sweep before the first one starts.

    Returns:
        The commit that all runs use, even if another commit is made in the meantime.

    Raises:
        UserError: a run would be invalid.
    """
    if parallel < 1:
        raise UserError(f"parallel, the number of runs at a time, must be at least 1, but it is {parallel}.")
    request = Request(rev=rev, include_changes=include_changes)
    commit = request.check()
    check_overrides = request.checker(commit)
    for proposal in proposals:
        check_overrides(proposal)
    return commit


def conclude(children: list[Child], *, elsewhere: bool | None = None) -> State[None]:
    """Prints and publishes the table of all runs; returns the state of the parent run.

    Args:
        children: all runs.
        elsewhere: see `command_for_files` in `flows/outcome.py`.
    """
    text = table(children)
    print(text)
    create_markdown_artifact(text, key="runs", description=f"{counted(len(children), 'run')}, best first")
    failed = sum(child.result is None for child in children)
    if failed == len(children):
        subject = agreeing(failed, "The only run", f"All {failed} runs")
        return Failed(message=f"{subject} failed: {children[0].message if children else 'there were none'}")
    step = next_step(_best(children), elsewhere)
    if failed:
        return Completed(name="Partial", message=f"{failed} of {len(children)} runs failed. {step}")
    return Completed(message=f"{counted(len(children), 'run')}. {step}")


def _best(children: Iterable[Child]) -> Result:
    best = _ordered(children)[0].result
    assert best is not None
    return best


def next_step(best: Result, elsewhere: bool | None = None) -> str:
    """What to do with the run of the lowest validation loss."""
    accuracy = f", {best.named_accuracy()}" if best.accuracy() else ""
    command = command_for_files(best.experiment, elsewhere=elsewhere)
    return f"Lowest validation loss: {best.experiment}{accuracy}. Next: `{command}` for its files"


def _ordered(children: Iterable[Child]) -> list[Child]:
    return sorted(children, key=lambda child: (child.result.val_loss if child.result else float("inf"), child.number))


def table(children: Iterable[Child]) -> str:
    """Formats the runs as a Markdown table: lowest validation loss first, failed runs last.

    The order does not depend on the test split, because the best of many test accuracies overestimates the accuracy of its
    network.
    """
    ordered = _ordered(children)
    names = list(ordered[0].overrides) if ordered else []
    tested = accuracy_column(child.result for child in ordered)
    rows = [["experiment", *short_names(names).values(), "validation loss", tested]]
    for child in ordered:
        values = [str(child.overrides[name]) for name in names]
        if child.result is None:
            rows.append([f"run {child.number}", *values, "failed", child.message.replace("|", "/")])
            continue
        rows.append([child.result.experiment, *values, f"{child.result.val_loss:.4f}", child.result.accuracy()])
    return aligned(rows)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with columns of equal width; the first row is the head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [rows[0], ["-" * width for width in widths], *rows[1:]]
    return "\n".join(f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |" for row in lines)


def exit_code(state: State[Any]) -> int:
    """The exit code for the state of a sweep or search: 0 if all runs succeeded, otherwise 1 and a message on stderr."""
    if state.name != "Completed":
        print(state.message, file=sys.stderr)
        return 1
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Runs a sweep in this process; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m flows.sweep", description="Train once for each combination of a grid.")
    parser.add_argument(
        "--grid", metavar="NAME=VALUES", nargs="+", action="extend", required=True, help="values, as in seed=0,1,2"
    )
    parser.add_argument("--parallel", type=int, default=1, metavar="N", help="number of runs at a time (default: 1)")
    parser.add_argument("--pool", default="", metavar="NAME", help="do the runs on the machines of this work pool")
    parser.add_argument("--rev", default="HEAD", help="the Git revision to run (default: HEAD)")
    parser.add_argument("--include-changes", action="store_true", help="include uncommitted changes")
    given = parser.parse_args(arguments)
    try:
        grid = parse_lists(given.grid)
        commit = check(combinations(grid), given.parallel, given.rev, given.include_changes)
        accept_server(get_current_settings().api.url)
        runner(given.pool, "sweep", given.parallel, commit, given.include_changes)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    with in_time(), watched():
        options = {name: getattr(given, name) for name in ("parallel", "pool", "rev", "include_changes")}
        state = sweep(grid=grid, **options, return_state=True)
    return exit_code(state)


if __name__ == "__main__":
    sys.exit(main())
