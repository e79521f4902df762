"""A search beyond grids as one run: Optuna proposes, each proposal is a run. `python -m flows.search --help`.

What is sought is the least validation loss; the test split has no say. Needs the extra `search`.
"""

import argparse
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.settings import get_current_settings
from prefect.states import Failed

from flows.children import run_children
from flows.overrides import parse_lists
from flows.server import accept_server
from flows.sweep import check, conclude, finish
from resnet.core.errors import UserError

if TYPE_CHECKING:
    import optuna


@flow(name="search", persist_result=False)
def search(
    between: dict[str, list[Any]] | None = None,  # of float, Prefect would make floats of whole numbers
    between_log: dict[str, list[Any]] | None = None,
    among: dict[str, list[Any]] | None = None,
    *,
    trials: int = 20,
    parallel: int = 1,
    seed: int = 0,
    rev: str = "HEAD",
    include_changes: bool = False,
) -> State[None]:
    """Trains for as many proposals of Optuna's TPE sampler as there are trials; each is an experiment.

    Args:
        between: lowest and highest value by parameter; whole numbers if both are.
        between_log: the same, on a logarithmic scale.
        among: values to choose from by parameter.
        trials: how many runs.
        parallel: how many at a time.
        seed: of the sampler.
        rev: the Git revision to run.
        include_changes: take what is not committed along.
    """
    try:
        space = make_space(between or {}, between_log or {}, among or {})
        commit = check_search(space, trials, parallel, rev, include_changes)
    except UserError as error:
        return Failed(message=str(error))
    import optuna

    # A constant liar keeps runs at the same time apart.
    sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=parallel > 1)
    study = optuna.create_study(direction="minimize", sampler=sampler)
    asked: list[optuna.Trial] = []

    def proposals() -> Iterator[dict[str, Any]]:
        for _ in range(trials):
            asked.append(study.ask(space))
            yield asked[-1].params

    children = []
    for child in run_children(proposals(), flow_run.name or "search", parallel, commit, include_changes):
        trial = asked[child.number - 1]
        if child.result is None:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            study.tell(trial, child.result.val_loss)
        children.append(child)
    return conclude(children)


def make_space(
    between: dict[str, list[Any]], between_log: dict[str, list[Any]], among: dict[str, list[Any]]
) -> "dict[str, optuna.distributions.BaseDistribution]":
    """What to search, in Optuna's terms.

    Raises:
        UserError: Optuna is not installed, or something is no range.
    """
    try:
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
    except ImportError as error:
        raise UserError("a search needs Optuna, which is not installed: `pip install -e '.[search]'`.") from error
    space: dict[str, optuna.distributions.BaseDistribution] = {}
    for log, ranges in ((False, between), (True, between_log)):
        for name, ends in ranges.items():
            try:
                low, high = ends
                if isinstance(low, int) and isinstance(high, int):
                    space[name] = IntDistribution(low, high, log=log)
                else:
                    space[name] = FloatDistribution(low, high, log=log)
            except (TypeError, ValueError) as error:
                raise UserError(f"{name} is searched between two numbers, LOW,HIGH, but they are {ends}: {error}.") from error
    for name, values in among.items():
        if not values:
            raise UserError(f"{name} is searched among no values; give some, as NAME=A,B,C.")
        space[name] = CategoricalDistribution(values)
    if not space:
        raise UserError("a search needs something to search, as in --between-log train.learning_rate=0.0001,0.1.")
    return space


def check_search(space: "dict[str, Any]", trials: int, parallel: int, rev: str, include_changes: bool) -> str:
    """Refuses a search whose ends are impossible runs, before any is made; returns the commit that all runs are of."""
    if trials < 1:
        raise UserError(f"trials is how many runs there are, at least 1, but it is {trials}.")
    ends = [{name: _end(values, last) for name, values in space.items()} for last in (False, True)]
    return check(ends, parallel, rev, include_changes)


def _end(values: Any, last: bool) -> Any:
    if hasattr(values, "choices"):
        return values.choices[-1 if last else 0]
    return values.high if last else values.low


def main(arguments: list[str] | None = None) -> int:
    """Runs a search here and now; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m flows.search", description="Search parameters with Optuna.")
    for option, words in (
        ("--between", "a range, as NAME=LOW,HIGH"),
        ("--between-log", "a range on a logarithmic scale"),
        ("--among", "values to choose from, as NAME=A,B,C"),
    ):
        parser.add_argument(option, metavar="NAME=VALUES", nargs="+", action="extend", default=[], help=words)
    parser.add_argument("--trials", type=int, default=20, metavar="N", help="runs in all (default: 20)")
    parser.add_argument("--parallel", type=int, default=1, metavar="N", help="runs at a time (default: 1)")
    parser.add_argument("--seed", type=int, default=0, help="of the sampler (default: 0)")
    given = parser.parse_args(arguments)
    try:
        space = [parse_lists(assignments) for assignments in (given.between, given.between_log, given.among)]
        check_search(make_space(*space), given.trials, given.parallel, "HEAD", False)
        accept_server(get_current_settings().api.url)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    return finish(search(*space, trials=given.trials, parallel=given.parallel, seed=given.seed, return_state=True))


if __name__ == "__main__":
    sys.exit(main())
