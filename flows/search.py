"""Hyperparameter search as a Prefect flow: each proposal of Optuna's is a child run. `python -m flows.search --help`.

The search minimises the validation loss; the test split is not used. Needs the extra `search`. With `prune` most trials are
stopped early, see `flows/pruned_search.py`.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.settings import get_current_settings
from prefect.states import Completed, Failed
from ruamel.yaml import YAML

from commands.results import flat
from flows.child_runs import Child
from flows.descriptions import SEARCH
from flows.ending import in_time
from flows.form import NOTHING, Choices, Count, Overrides, Ranges, Seed, Text, filled, filled_overrides
from flows.halving import Plan, deciding, sizes
from flows.lost_runs import recorded
from flows.names import describe_search, naming
from flows.overrides import parse, parse_lists
from flows.pool_runs import runner
from flows.proposals import Known, propose
from flows.pruned_search import PrunedSearch, check_pruning
from flows.search_page import PAGE, table
from flows.search_record import SearchRecord, opened_record
from flows.server import accept_server
from flows.sweep import check, conclude, exit_code, next_step
from flows.temporary_server import watched
from flows.workspace import HOME
from resnet.core.errors import UserError
from resnet.core.words import counted
from tasks.stage.git import git
from tasks.stage.params import PARAMS_YAML

if TYPE_CHECKING:
    import optuna

    from flows.proposals import Space

_EPOCHS_FOR_RATES = 5  # with fewer on the first rung, trials rank by their learning rate


@flow(name="search", flow_run_name=naming(describe_search), description=SEARCH, persist_result=False)
def search(
    *,
    trials: Count = 20,
    parallel: Count = 1,
    seed: Seed = 0,
    prune: bool = False,
    pool: Text = "",
    rev: str = "HEAD",
    include_changes: bool = False,
    between: Ranges = NOTHING,
    between_log: Ranges = NOTHING,
    among: Choices = NOTHING,
    overrides: Overrides = NOTHING,
) -> State[None]:
    """Trains once for each proposal of Optuna's TPE sampler (Bergstra et al. 2011); each run is an experiment.

    Args:
        trials: the number of runs.
        parallel: the number of runs at a time.
        seed: of the sampler.
        prune: stop most trials early; the best third goes on after a ninth and after a third of the epochs.
        pool: the work pool whose machines do the runs, as many at a time as it has slots; empty means this machine.
        rev: the Git revision to run.
        include_changes: include uncommitted changes.
        between: lowest and highest value by parameter; integers are proposed if both are integers.
        between_log: the same, on a logarithmic scale.
        among: the values to choose from by parameter.
        overrides: parameters to change in all runs.
    """
    fixed = filled_overrides(overrides)
    ranges = (filled(between), filled(between_log), filled(among))

    def work(pin: Callable[[str], None]) -> State[None]:
        name = flow_run.name or "search"
        try:
            space = make_space(*ranges)
            commit = check_search(space, trials, parallel, rev, include_changes, seed=seed, overrides=fixed)
            check_place(pool or "", prune)
            if prune:
                rungs = check_pruning(space, trials, train_params(commit, fixed), include_changes)
                pin(commit)
                plan = Plan(space, *deciding(rungs, sizes(trials)), seed, commit, name, parallel, fixed)
                facts = {"commit": commit, "seed": seed, "trials": trials, "space": ranges}
                with opened_record(HOME, facts | ({"overrides": fixed} if fixed else {}), rungs) as record:
                    return search_pruned(plan, record)
            run = runner(pool or "", name, parallel, commit, include_changes)
        except UserError as error:
            return Failed(message=str(error))
        pin(commit)
        return conclude(list(_search_all(space, trials, seed, run, fixed)), elsewhere=bool(pool) or None)

    return recorded(work)


def _search_all(
    space: "Space",
    trials: int,
    seed: int,
    run: Callable[[Iterator[dict[str, Any]]], Iterator[Child]],
    fixed: Mapping[str, Any],
) -> Iterator[Child]:
    """Trains every trial to its end.

    Args:
        space: see `make_space`.
        trials: their number.
        seed: of the proposals.
        run: trains once for each proposal.
        fixed: parameters to change in all runs.
    """
    known: dict[int, Known] = {}

    def proposals() -> Iterator[dict[str, Any]]:
        for number in range(trials):
            values = propose(space, seed, number, list(known.values()))
            known[number] = Known(values, None)
            yield {**fixed, **values}

    for child in run(proposals()):
        number = child.number - 1
        if child.result is None:
            del known[number]
        else:
            known[number] = Known(known[number].values, child.result.val_loss)
        yield child


def check_place(pool: str, prune: bool) -> None:
    """Checks that trials that pause are done on this machine, which keeps their checkpoints.

    Raises:
        UserError: they would be done elsewhere.
    """
    if pool and prune:
        raise UserError(
            "trials of a search that prunes go on from checkpoints, which are on one machine: leave out the pool or prune."
        )


def search_pruned(plan: Plan, record: SearchRecord) -> State[None]:
    """Runs a search that prunes; prints and publishes its table."""
    print(plan.sentence())
    if plan.rungs[0] < _EPOCHS_FOR_RATES and "train.learning_rate" in plan.space:
        print(
            f"warning: train.learning_rate is searched, but the first trials are stopped after epoch {plan.rungs[0]}, where "
            "high rates look worse than at the end: use more epochs, leave out prune, or search for other parameters."
        )
    search = PrunedSearch(plan, record)
    search.run()
    standing = search.standing()
    text = table(standing)
    print(text)
    create_markdown_artifact(text, key="runs", description=f"{counted(len(standing.trials), 'trial')}, best first")
    finished = [standing.trials[number].result for number in standing.ordered() if standing.trials[number].result]
    failed = [one.failure for one in standing.trials.values() if one.failure]
    if not finished or finished[0] is None:
        return Failed(message=f"No trial was trained to the end: {failed[0] if failed else 'there was none'}")
    words = f"Page: {(HOME / PAGE).as_uri()}. {next_step(finished[0])}"
    if failed:
        return Completed(name="Partial", message=f"{len(failed)} of {len(standing.trials)} trials failed. {words}")
    return Completed(message=f"{counted(len(standing.trials), 'trial')}. {words}")


def train_params(commit: str, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of `train` at a commit, with overrides."""
    text = git(HOME, "show", f"{commit}:{PARAMS_YAML}")
    changed = {name.removeprefix("train."): value for name, value in flat(overrides).items() if name.startswith("train.")}
    return {**YAML(typ="safe", pure=True).load(text)["train"], **changed}


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
                order = "the lower one first and above 0" if log else "the lower one first"
                raise UserError(f"the range of {name} must be two numbers, LOW,HIGH, {order}, but it is {ends}.") from error
    for name, values in among.items():
        if not values:
            raise UserError(f"the list of values for {name} is empty; give at least one, as in {name}=A,B,C.")
        space[name] = CategoricalDistribution(values)
    if not space:
        raise UserError("a search needs at least one parameter, as in --between-log train.learning_rate=0.0001,0.1.")
    return space


def check_search(
    space: "dict[str, Any]",
    trials: int,
    parallel: int,
    rev: str,
    include_changes: bool,
    *,
    seed: int = 0,
    overrides: Mapping[str, Any] = MappingProxyType({}),
) -> str:
    """Checks the two ends of all ranges before any run starts; returns the commit of all runs.

    Raises:
        UserError: a run at one of the ends would be invalid.
    """
    if not 0 <= seed < 2**32:
        raise UserError(f"seed must be a whole number from 0 to {2**32 - 1}, but it is {seed}.")
    for name in space.keys() & overrides.keys():
        raise UserError(f"{name} is searched, so it cannot be set too: leave out one of them.")
    if trials < 1:
        raise UserError(f"trials, the number of runs, must be at least 1, but it is {trials}.")
    ends = [{**overrides, **{name: _end(values, last) for name, values in space.items()}} for last in (False, True)]
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
    parser.add_argument(
        "--prune", action="store_true", help="stop most trials early; the best ones go on from their checkpoints"
    )
    parser.add_argument("--pool", default="", metavar="NAME", help="do the runs on the machines of this work pool")
    parser.add_argument("--seed", type=int, default=0, help="seed of the sampler (default: 0)")
    parser.add_argument("--set", metavar="NAME=VALUE", action="append", default=[], help="change a parameter in all runs")
    parser.add_argument("--include-changes", action="store_true", help="include uncommitted changes; not with --prune")
    given = parser.parse_args(arguments)
    try:
        space = [parse_lists(assignments) for assignments in (given.between, given.between_log, given.among)]
        made = make_space(*space)
        overrides, changes = parse(given.set), given.include_changes
        commit = check_search(made, given.trials, given.parallel, "HEAD", changes, seed=given.seed, overrides=overrides)
        if given.prune:
            check_pruning(made, given.trials, train_params(commit, overrides), changes)
        check_place(given.pool, given.prune)
        accept_server(get_current_settings().api.url)
        runner(given.pool, "search", given.parallel, commit, changes)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    with in_time(), watched():
        options = {name: getattr(given, name) for name in ("trials", "parallel", "seed", "prune", "pool", "include_changes")}
        ranges = dict(zip(("between", "between_log", "among"), space, strict=True))
        state = search(**ranges, **options, overrides=overrides, return_state=True)
    return exit_code(state)


if __name__ == "__main__":
    sys.exit(main())
