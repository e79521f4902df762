"""Hyperparameter search as a Prefect flow: each proposal of Optuna's is a child run. `python -m flows.search --help`.

The search minimises the validation loss; the test split is not used. Needs the extra `search`.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.settings import get_current_settings
from prefect.states import Failed

from flows.child_runs import run_all
from flows.descriptions import SEARCH
from flows.ending import in_time
from flows.form import NOTHING, Choices, Count, Ranges, Seed, filled
from flows.lost_runs import recorded
from flows.names import describe_search, naming
from flows.overrides import parse_lists
from flows.server import accept_server
from flows.sweep import check, conclude, exit_code
from resnet.core.errors import UserError

if TYPE_CHECKING:
    import optuna


@flow(name="search", flow_run_name=naming(describe_search), description=SEARCH, persist_result=False)
def search(
    *,
    trials: Count = 20,
    parallel: Count = 1,
    seed: Seed = 0,
    rev: str = "HEAD",
    include_changes: bool = False,
    between: Ranges = NOTHING,
    between_log: Ranges = NOTHING,
    among: Choices = NOTHING,
) -> State[None]:
    """Trains once for each proposal of Optuna's TPE sampler (Bergstra et al. 2011); each run is an experiment.

    Args:
        trials: the number of runs.
        parallel: the number of runs at a time.
        seed: of the sampler.
        rev: the Git revision to run.
        include_changes: include uncommitted changes.
        between: lowest and highest value by parameter; integers are proposed if both are integers.
        between_log: the same, on a logarithmic scale.
        among: the values to choose from by parameter.
    """
    ranges = (filled(between), filled(between_log), filled(among))

    def work(pin: Callable[[str], None]) -> State[None]:
        try:
            space = make_space(*ranges)
            commit = check_search(space, trials, parallel, rev, include_changes)
        except UserError as error:
            return Failed(message=str(error))
        pin(commit)
        import optuna

        # constant_liar keeps proposals of concurrent runs apart: it assumes a bad result for each run that has not ended.
        sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=parallel > 1)
        study = optuna.create_study(direction="minimize", sampler=sampler)
        asked: list[optuna.Trial] = []

        def proposals() -> Iterator[dict[str, Any]]:
            for _ in range(trials):
                asked.append(study.ask(space))
                yield asked[-1].params

        children = []
        for child in run_all(proposals(), flow_run.name or "search", parallel, commit, include_changes):
            trial = asked[child.number - 1]
            if child.result is None:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                study.tell(trial, child.result.val_loss)
            children.append(child)
        return conclude(children)

    return recorded(work)


def make_space(
    between: dict[str, list[Any]], between_log: dict[str, list[Any]], among: dict[str, list[Any]]
) -> "dict[str, optuna.distributions.BaseDistribution]":
    """Makes Optuna's search space.

    Raises:
        UserError: Optuna is not installed, a range is invalid, or there is nothing to search.
    """
    try:
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
    except ImportError as error:
        raise UserError("a search needs Optuna, which is not installed; run `pip install -e '.[search]'`.") from error
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
                raise UserError(f"the range of {name} must be two numbers, LOW,HIGH, but it is {ends}: {error}.") from error
    for name, values in among.items():
        if not values:
            raise UserError(f"the list of values for {name} is empty; give at least one, as in {name}=A,B,C.")
        space[name] = CategoricalDistribution(values)
    if not space:
        raise UserError("a search needs at least one parameter, as in --between-log train.learning_rate=0.0001,0.1.")
    return space


def check_search(space: "dict[str, Any]", trials: int, parallel: int, rev: str, include_changes: bool) -> str:
    """Checks the two ends of all ranges before any run starts; returns the commit of all runs.

    Raises:
        UserError: a run at one of the ends would be invalid.
    """
    if trials < 1:
        raise UserError(f"trials, the number of runs, must be at least 1, but it is {trials}.")
    ends = [{name: _end(values, last) for name, values in space.items()} for last in (False, True)]
    return check(ends, parallel, rev, include_changes)


def _end(values: Any, last: bool) -> Any:
    if hasattr(values, "choices"):
        return values.choices[-1 if last else 0]
    return values.high if last else values.low


def main(arguments: list[str] | None = None) -> int:
    """Runs a search in this process; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m flows.search", description="Search parameter values with Optuna.")
    for option, words in (
        ("--between", "a range, NAME=LOW,HIGH"),
        ("--between-log", "a range on a logarithmic scale, NAME=LOW,HIGH"),
        ("--among", "values to choose from, NAME=A,B,C"),
    ):
        parser.add_argument(option, metavar="NAME=VALUES", nargs="+", action="extend", default=[], help=words)
    parser.add_argument("--trials", type=int, default=20, metavar="N", help="number of runs (default: 20)")
    parser.add_argument("--parallel", type=int, default=1, metavar="N", help="number of runs at a time (default: 1)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the sampler (default: 0)")
    given = parser.parse_args(arguments)
    try:
        space = [parse_lists(assignments) for assignments in (given.between, given.between_log, given.among)]
        check_search(make_space(*space), given.trials, given.parallel, "HEAD", False)
        accept_server(get_current_settings().api.url)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    with in_time():
        options = {"trials": given.trials, "parallel": given.parallel, "seed": given.seed}
        state = search(**dict(zip(("between", "between_log", "among"), space, strict=True)), **options, return_state=True)
    return exit_code(state)


if __name__ == "__main__":
    sys.exit(main())
