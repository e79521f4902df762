"""Runs in a work pool, with a stand-in for the server; `test_deployments.py` has a real one."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.objects import State, StateType
from prefect.exceptions import ObjectNotFound

from flows import pool_runs
from flows.checkout import experiment_name
from flows.ending import ending
from flows.lost_runs import LOST
from flows.pool_runs import check_pool, fetched, read_commit, run_all_in, runner, slots
from flows.results import Result
from resnet.core.errors import UserError
from tasks.stage.git import git
from tests.imports import ROOT

ONLINE, OFFLINE = SimpleNamespace(status="ONLINE"), SimpleNamespace(status="OFFLINE")
DONE = State(type=StateType.COMPLETED, message="Experiment {}: test accuracy 99 %. Next: nothing")


class Pool:
    """A server with one pool, which ends the runs that a test tells it to end, whenever it is asked for their states."""

    def __init__(self, limit: int | None, ends: list[list[int]], states: dict[int, State[Any]] | None = None) -> None:
        self.limit, self.ends, self.states = limit, ends, states or {}
        self.workers = [ONLINE, OFFLINE, ONLINE]
        self.runs: list[SimpleNamespace] = []
        self.most = 0
        self.cancelled: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def read_work_pool(self, name: str) -> SimpleNamespace:
        if name != "pool":
            raise ObjectNotFound(Exception())
        return SimpleNamespace(concurrency_limit=self.limit)

    def read_work_pools(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(name="pool"), SimpleNamespace(name="other")]

    def read_workers_for_work_pool(self, name: str) -> list[SimpleNamespace]:
        return self.workers

    def create_flow_run_from_deployment(self, deployment: UUID, **options: Any) -> SimpleNamespace:
        self.runs.append(self.make(**options))
        self.most = max(self.most, sum(not run.state.is_final() for run in self.runs))
        return self.runs[-1]

    def make(self, **options: Any) -> SimpleNamespace:
        return SimpleNamespace(id=uuid4(), state=State(type=StateType.RUNNING), **options)

    def read_flow_runs(self, flow_run_filter: Any, limit: int) -> list[SimpleNamespace]:
        if key := flow_run_filter.idempotency_key:
            return [run for run in self.runs if getattr(run, "idempotency_key", None) in key.any_]
        for number in self.ends.pop(0) if self.ends else range(1, len(self.runs) + 1):
            run = self.runs[number - 1]
            state = self.states.get(number, DONE)
            if not run.state.is_final():
                run.state = state.model_copy(update={"message": (state.message or "").format(run.parameters["experiment"])})
        ended = flow_run_filter.state is not None
        found = [run for run in self.runs if run.id in flow_run_filter.id.any_ and (run.state.is_final() or not ended)]
        return found[::-1][:limit]  # in no useful order

    def count_flow_runs(self, flow_run_filter: Any) -> int:
        return sum(run.id in flow_run_filter.id.any_ for run in self.runs)

    def set_flow_run_state(self, run: UUID, state: State[Any]) -> None:
        self.cancelled.append(f"{[one.id for one in self.runs].index(run) + 1} {state.name}")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_runs, "_POLL_SECONDS", 0)
    monkeypatch.setattr(pool_runs, "fetched", lambda home, rev, names: dict.fromkeys(names, "commit"))
    monkeypatch.setattr(pool_runs, "read_commit", lambda home, commit, name: Result(name, {}, 0.5))
    monkeypatch.setattr(ending, "wait", lambda seconds: False)
    monkeypatch.setattr(pool_runs, "list_experiments", lambda home, commits: None)


def run(pool: Pool, proposals: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(pool_runs, "get_client", lambda **_: pool)
    return run_all_in(proposals, pool="pool", deployment=uuid4(), name="my sweep", rev="abc", home=ROOT)


def test_as_many_runs_as_slots_are_in_flight_and_a_proposal_is_drawn_when_one_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []

    def proposals() -> Iterator[dict[str, int]]:
        for seed in range(5):
            drawn.append(seed)
            yield {"seed": seed}

    pool = Pool(2, [[], [2], [1], [4, 3]])
    children = run(pool, proposals(), monkeypatch)
    assert next(children).number == 2
    assert drawn == [0, 1]
    rest = [(child.number, child.overrides, child.result and child.result.experiment) for child in children]
    assert rest == [(number, {"seed": number - 1}, f"my-sweep-{number:02d}") for number in (1, 3, 4, 5)]
    assert pool.most == 2
    assert pool.runs[0].parameters == {"overrides": {"seed": 0}, "rev": "abc", "experiment": experiment_name("my sweep-01", "")}


def test_two_hundred_runs_end_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Pool(350, [])
    found = list(run(pool, [{"seed": seed} for seed in range(450)], monkeypatch))
    assert [child.number for child in found] == list(range(1, 451))
    assert pool.most == 350  # more than the server returns in one answer


def test_experiments_that_came_back_are_read_for_the_list_of_experiments(monkeypatch: pytest.MonkeyPatch) -> None:
    listed: list[str] = []
    monkeypatch.setattr(pool_runs, "fetched", lambda home, rev, names: {name: f"commit of {name}" for name in names})
    monkeypatch.setattr(pool_runs, "list_experiments", lambda home, commits: listed.extend(commits))
    pool = Pool(3, [[2], [1, 3]], {1: State(type=StateType.FAILED, message="train: no")})
    list(run(pool, [{"seed": seed} for seed in range(3)], monkeypatch))
    assert listed == ["commit of my-sweep-02", "commit of my-sweep-03"]


def test_a_run_that_fails_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Pool(3, [], {1: State(type=StateType.FAILED, message="train: no"), 2: State(type=StateType.CANCELLED)})
    found = list(run(pool, [{"seed": seed} for seed in range(3)], monkeypatch))
    assert [(child.result is None, child.message.partition(":")[0]) for child in found] == [
        (True, "train"),
        (True, "Cancelled"),
        (False, "Experiment my-sweep-03"),
    ]


def test_a_lost_run_is_followed_to_the_run_that_continues_it(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = State(type=StateType.CRASHED, name=LOST, message="The process was killed")
    pool = Pool(1, [[1], [1], [2]], {1: lost})
    children = run(pool, [{"seed": 0}], monkeypatch)

    before = pool.read_flow_runs

    def read_flow_runs(flow_run_filter: Any, limit: int) -> list[SimpleNamespace]:
        found = before(flow_run_filter, limit)
        if flow_run_filter.idempotency_key and len(pool.runs) == 1 and not pool.ends[1:]:  # seen lost once without it
            pool.runs.append(pool.make(idempotency_key=f"again-{pool.runs[0].id}", parameters={"experiment": "x"}))
        return found

    monkeypatch.setattr(pool, "read_flow_runs", read_flow_runs)
    assert [child.result and child.result.experiment for child in children] == ["x"]
    alone = list(run(Pool(1, [], {1: lost}), [{"seed": 0}], monkeypatch))
    assert [child.message for child in alone] == ["The process was killed"]


def test_a_run_that_was_deleted_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Pool(2, [[]])
    children = run(pool, [{"seed": seed} for seed in range(2)], monkeypatch)
    monkeypatch.setattr(pool, "read_flow_runs", lambda **_: [])
    monkeypatch.setattr(pool, "count_flow_runs", lambda **_: 0)
    assert [(child.number, child.message) for child in children] == [(1, "The run was deleted."), (2, "The run was deleted.")]


def test_an_end_cancels_what_is_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Pool(2, [[1], []])
    children = run(pool, [{"seed": seed} for seed in range(9)], monkeypatch)
    assert next(children).number == 1
    monkeypatch.setattr(ending, "wait", lambda seconds: True)
    with pytest.raises(Exception, match="the run is being ended"):
        next(children)
    assert pool.cancelled == ["2 Cancelling"]


def test_the_slots_are_the_limit_of_the_pool_or_its_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    client: Any = Pool(8, [])
    assert slots(client, "pool") == 8
    client.limit = None
    assert slots(client, "pool") == 2
    client.workers = []
    assert slots(client, "pool") == 1


def test_what_the_workers_could_not_do_is_refused_before_a_run_is_submitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployments: list[Any] = []
    pool: Any = Pool(1, [])
    pool.read_deployments = lambda **_: deployments
    monkeypatch.setattr(pool_runs, "get_client", lambda **_: pool)
    monkeypatch.setattr(pool_runs, "require_server", lambda api: None)
    origin, home = tmp_path / "origin", tmp_path / "home"
    git(tmp_path, "init", "--quiet", "--bare", str(origin))
    git(tmp_path, "clone", "--quiet", str(origin), str(home))
    git(home, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--allow-empty", "--message", "one")
    commit = git(home, "rev-parse", "HEAD")

    def refusal(name: str = "pool", *, changes: bool = False) -> str:
        with pytest.raises(UserError) as error:
            check_pool(name, commit, changes, home)
        return str(error.value)

    assert refusal(changes=True).startswith("workers get the code from Git, without uncommitted changes")
    assert refusal() == f"commit {commit[:7]} is not in the repository `origin`, where workers get it: run `git push` first."
    git(home, "push", "--quiet", "origin", "HEAD:main")
    assert refusal("nowhere") == "there is no work pool 'nowhere'; there are: pool, other."
    assert refusal() == "the work pool pool has no deployment of train-resnet: run `prefect deploy --all`."
    deployments += [SimpleNamespace(id=1, name="a-nightly"), SimpleNamespace(id=2, name="train-resnet")]
    assert check_pool("pool", commit, False, home) == 2
    with pytest.raises(UserError, match="parallel is 3, but the work pool pool decides how many runs it does at a time"):
        runner("pool", "sweep", 3, commit, False)


def test_a_result_is_read_from_the_experiment_that_a_worker_pushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    origin, home = tmp_path / "origin", tmp_path / "home"
    git(tmp_path, "init", "--quiet", str(origin))
    (origin / "reports").mkdir()
    (origin / "dvc.yaml").write_bytes((ROOT / "dvc.yaml").read_bytes())
    (origin / "reports" / "metrics.json").write_text('{"accuracy": 0.75}')
    (origin / "reports" / "training.json").write_text("{}")
    (origin / "reports" / "history.csv").write_text("epoch,val_loss\n1,0.5\n2,0.25\n")
    git(origin, "add", "--all")
    git(origin, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--message", "results")
    ref = "refs/exps/ab/cdef/low-rate"
    git(origin, "update-ref", ref, "HEAD")
    git(tmp_path, "clone", "--quiet", str(origin), str(home))
    theirs = git(origin, "rev-parse", "HEAD")
    assert fetched(home, "abcdef", ["low-rate", "rate"]) == {"low-rate": theirs}
    assert read_commit(home, theirs, "low-rate") == Result("low-rate", {"accuracy": 0.75}, 0.25)
    assert git(home, "rev-parse", ref) == theirs
    mine = git(home, "-c", "user.name=a", "-c", "user.email=a@b", "commit-tree", "HEAD^{tree}", "-m", "mine")
    git(home, "update-ref", ref, mine)
    assert fetched(home, "abcdef", ["low-rate"]) == {"low-rate": theirs}
    assert git(home, "rev-parse", ref) == mine
