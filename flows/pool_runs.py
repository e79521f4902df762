"""Runs of a sweep or a search on the machines of a work pool: as many at a time as the pool has slots.

Each run is a run of the pool's own deployment of `train-resnet`, which a worker takes. Its experiment comes back through Git;
its files stay in the DVC remote until `dvc exp pull` gets them.
"""

import io
import re
import sys
import tarfile
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterIdempotencyKey,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import TERMINAL_STATES
from prefect.exceptions import ObjectNotFound
from prefect.settings import get_current_settings
from prefect.states import Cancelling

from flows.checkout import experiment_name
from flows.child_runs import Child, run_all
from flows.dvc_process import list_experiments
from flows.ending import RunEndedError, ending
from flows.lost_runs import LOST, key_of_successor
from flows.results import Result, read_result
from flows.server import require_server
from flows.train_resnet import train_resnet
from flows.workspace import HOME, is_away
from resnet.core.errors import UserError
from tasks.stage.git import git, git_bytes
from tasks.stage.graph import DVC_YAML

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

_POLL_SECONDS = 2.0
_PAGE = 200  # runs that the server returns at most
_TRIES, _RETRY_SECONDS = 60, 30
_LOST_POLLS = 15  # whoever finds a lost run submits it again in the next moment


def check_pool(pool: str, commit: str, include_changes: bool, home: Path = HOME) -> UUID:
    """Checks that the workers of a pool can do the runs of a sweep; returns the deployment.

    Args:
        pool: its name.
        commit: of all runs.
        include_changes: whether the runs are to have uncommitted changes.
        home: the project.

    Raises:
        UserError: they cannot.
    """
    require_server(get_current_settings().api.url)
    if include_changes:
        raise UserError("workers get the code from Git, without uncommitted changes: commit and push, or leave out the pool.")
    git(home, "fetch", "--quiet", "origin")
    theirs = "refs/heads" if is_away(home) else "refs/remotes/origin"
    if not git(home, "for-each-ref", "--contains", commit, theirs, "refs/tags"):
        raise UserError(f"commit {commit[:7]} is not in the repository `origin`, where workers get it: run `git push` first.")
    with get_client(sync_client=True) as client:
        try:
            client.read_work_pool(pool)
        except ObjectNotFound as error:
            names = ", ".join(one.name for one in client.read_work_pools()) or "none"
            raise UserError(f"there is no work pool {pool!r}; there are: {names}.") from error
        if not _online(client, pool):
            print(
                f"No worker of the pool {pool} is online: the runs wait for `prefect worker start --pool {pool}`.", flush=True
            )
        found = client.read_deployments(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[train_resnet.name])),
            work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])),
        )
    if not found:
        raise UserError(f"the work pool {pool} has no deployment of {train_resnet.name}: run `prefect deploy --all`.")
    return min(found, key=lambda one: (one.name != train_resnet.name, one.name)).id


def slots(client: SyncPrefectClient, pool: str) -> int:
    """How many runs a pool does at a time: its concurrency limit, or else the number of its workers that are online."""
    limit = client.read_work_pool(pool).concurrency_limit
    if limit is not None:
        return max(1, limit)
    return max(1, _online(client, pool))


def _online(client: SyncPrefectClient, pool: str) -> int:
    return sum(getattr(one.status, "value", one.status) == "ONLINE" for one in client.read_workers_for_work_pool(pool))


def runner(
    pool: str, name: str, parallel: int, rev: str, include_changes: bool
) -> Callable[[Iterable[Mapping[str, Any]]], Iterator[Child]]:
    """A function that does one run for each proposal: in this process, or on the machines of a work pool.

    Args:
        pool: its name; empty for this process.
        name: prefix of the names of the experiments.
        parallel: the number of runs at a time in this process.
        rev: the commit of all runs.
        include_changes: see `flows/train_resnet.py`.

    Raises:
        UserError: the pool cannot do the runs.
    """
    if not pool:
        return partial(run_all, name=name, parallel=parallel, rev=rev, include_changes=include_changes)
    if parallel != 1:
        raise UserError(
            f"parallel is {parallel}, but the work pool {pool} decides how many runs it does at a time: leave out parallel, "
            f"and see `prefect work-pool set-concurrency-limit {pool} N`."
        )
    return partial(run_all_in, pool=pool, deployment=check_pool(pool, rev, include_changes), name=name, rev=rev)


def run_all_in(
    proposals: Iterable[Mapping[str, Any]], *, pool: str, deployment: UUID, name: str, rev: str, home: Path = HOME
) -> Iterator[Child]:
    """Does one run for each proposal and yields each run when it has ended.

    A proposal is drawn only when the pool has a free slot, so that a search can use the results so far. On an exception here,
    such as that of a signal, all runs are cancelled.

    Args:
        proposals: the overrides of each run.
        pool: the name of the work pool.
        deployment: see `check_pool`.
        name: prefix of the names of the experiments.
        rev: the commit of all runs.
        home: the project.
    """
    numbered = enumerate(proposals, start=1)
    with get_client(sync_client=True) as client:
        flight = _Flight(client)
        try:
            while True:
                here = git(home, "for-each-ref", "--format=%(refname)", "refs/exps")
                for number, proposal in islice(numbered, max(0, slots(client, pool) - len(flight.runs))):
                    experiment = experiment_name(f"{name}-{number:02d}", here)
                    parameters = {"overrides": dict(proposal), "rev": rev, "experiment": experiment}
                    run = client.create_flow_run_from_deployment(deployment, parameters=parameters, tags=[name])
                    flight.runs[run.id] = (number, proposal)
                if not flight.runs:
                    return
                yield from _children(home, rev, list(flight.landed()))
                if ending.wait(_POLL_SECONDS):
                    raise RunEndedError("the run is being ended")
        except BaseException:
            flight.cancel()
            raise


class _Flight:
    """The runs that were submitted and have not ended.

    Attributes:
        runs: the number and the overrides of each, by the ID of the run.
    """

    def __init__(self, client: SyncPrefectClient) -> None:
        self._client = client
        self._lost: dict[UUID, int] = {}  # how often each lost run was seen without its successor
        self.runs: dict[UUID, tuple[int, Mapping[str, Any]]] = {}

    def landed(self) -> Iterator[tuple["FlowRun | None", int, Mapping[str, Any]]]:
        """Takes the runs that have ended, in the order in which they were submitted; None stands for one that was deleted."""
        found: dict[UUID, FlowRun | None] = {}
        ids = list(self.runs)
        for start in range(0, len(ids), _PAGE):
            found |= self._final(ids[start : start + _PAGE])
        for one in sorted(found, key=lambda one: self.runs[one][0]):
            run = found[one]
            if run is None or not self._goes_on(run):
                number, proposal = self.runs.pop(one)
                yield run, number, proposal

    def _final(self, ids: list[UUID]) -> "dict[UUID, FlowRun | None]":
        """Those of some runs that have ended or were deleted. The others are only counted: an answer with 200 runs is slow."""
        every, ended = FlowRunFilterId(any_=ids), FlowRunFilterState(type=FlowRunFilterStateType(any_=[*TERMINAL_STATES]))
        ask = self._client.read_flow_runs
        found: dict[UUID, FlowRun | None] = {
            run.id: run for run in ask(flow_run_filter=FlowRunFilter(id=every, state=ended), limit=_PAGE)
        }
        if self._client.count_flow_runs(flow_run_filter=FlowRunFilter(id=every)) < len(ids):
            left = {run.id for run in ask(flow_run_filter=FlowRunFilter(id=every), limit=_PAGE)}
            found |= dict.fromkeys(one for one in ids if one not in left)
        return found

    def _goes_on(self, run: "FlowRun") -> bool:
        """Whether a lost run was, or may yet be, submitted again; see `flows/lost_runs.py`."""
        if run.state is None or run.state.name != LOST:
            return False
        key = FlowRunFilterIdempotencyKey(any_=[key_of_successor(run.id)])
        again = self._client.read_flow_runs(flow_run_filter=FlowRunFilter(idempotency_key=key), limit=1)
        if again:
            self.runs[again[0].id] = self.runs.pop(run.id)
            return True
        self._lost[run.id] = self._lost.get(run.id, 0) + 1
        return self._lost[run.id] <= _LOST_POLLS

    def cancel(self) -> None:
        """Cancels the runs; their workers stop them."""
        for run in self.runs:
            with suppress(Exception):  # the server is gone, or the run has ended
                self._client.set_flow_run_state(run, Cancelling(message="The sweep or search of this run was ended."))


def _children(home: Path, rev: str, landed: "list[tuple[FlowRun | None, int, Mapping[str, Any]]]") -> Iterator[Child]:
    """The runs that have ended; their experiments are fetched in one go, and read for `dvc exp show`."""
    messages = [_message(run) for run, _, _ in landed]
    names = [found and found[1] for found in (re.match(r"Experiment (\S+): ", message) for message in messages)]
    completed = [bool(run and run.state and run.state.is_completed()) for run, _, _ in landed]
    wanted = [name for name, well in zip(names, completed, strict=True) if name and well]
    commits = _patiently(partial(fetched, home, rev, wanted))
    if commits:
        list_experiments(home, commits.values())
    for (_, number, proposal), message, name, well in zip(landed, messages, names, completed, strict=True):
        if not (name and well):
            yield Child(number, proposal, None, message)
        elif name not in commits:
            yield Child(number, proposal, None, f"The repository `origin` has no experiment {name}, which a worker has pushed.")
        else:
            yield Child(number, proposal, read_commit(home, commits[name], name), message)


def _patiently(fetch: Callable[[], dict[str, str]]) -> dict[str, str]:
    """Tries for half an hour: that Git cannot be reached for a while must not cancel the runs on other machines."""
    for left in reversed(range(_TRIES)):
        try:
            return fetch()
        except UserError as error:
            print(f"{error} Tries again in {_RETRY_SECONDS} s." if left else f"{error}", file=sys.stderr, flush=True)
        if left and ending.wait(_RETRY_SECONDS):
            raise RunEndedError("the run is being ended")
    return {}  # the runs are then reported without their results


def _message(run: "FlowRun | None") -> str:
    if run is None:
        return "The run was deleted."
    return (run.state and (run.state.message or run.state.name)) or ""


def fetched(home: Path, rev: str, experiments: Collection[str]) -> dict[str, str]:
    """Fetches experiments from the repository, without the files that DVC keeps.

    An experiment that has the same name here and is another one stays.

    Args:
        home: the project.
        rev: the commit that the experiments are based on.
        experiments: their names.

    Returns:
        The commits of those that the repository has, by name.
    """
    if not experiments:
        return {}
    base = f"refs/exps/{rev[:2]}/{rev[2:]}/"
    lines = [line.split("\t") for line in git(home, "ls-remote", "--quiet", "origin", f"{base}*").splitlines()]
    found = {name: commit for commit, ref in lines if (name := ref.removeprefix(base)) in experiments}
    here = set(git(home, "for-each-ref", "--format=%(refname)", base).splitlines())
    refs = [f"{base}{name}" for name in found]
    if refs:
        git(home, "fetch", "--quiet", "origin", *(ref if ref in here else f"{ref}:{ref}" for ref in refs))
    return found


def read_commit(home: Path, commit: str, experiment: str) -> Result:
    """Reads the result of an experiment from Git."""
    kept = (str(DVC_YAML), "*.json", "*.csv")  # what a result is read from, and little else
    with (
        tempfile.TemporaryDirectory() as folder,
        tarfile.open(fileobj=io.BytesIO(git_bytes(home, "archive", commit, *kept))) as files,
    ):
        files.extractall(folder, filter="data")
        return read_result(Path(folder), experiment)
