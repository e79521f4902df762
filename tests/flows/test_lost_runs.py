"""Runs whose processes were killed: what becomes of them on a real server, whatever its state and however often it is asked."""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from prefect.automations import Automation
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import State, StateType
from prefect.events.actions import DoNothing
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows import lost_runs
from flows.lost_runs import settle
from flows.run_records import FOLDER, create, process_mark
from resnet.core.errors import UserError
from tests.flows.quick import QuickProject, Server, wait_for
from tests.project import STAGES

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PINNED: dict[str, Any] = {"overrides": {"seed": 1}, "rev": COMMIT}
FINAL = ["COMPLETED", "FAILED", "CRASHED", "CANCELLED"]


class Runs:
    """Flow runs of one deployment on a real server, which no process executes."""

    def __init__(self, server: Server, home: Path) -> None:
        self.server, self.home = server, home
        name = uuid4().hex
        self.flow = server.ask("flows/", {"name": name})["id"]
        self.deployment = server.ask("deployments/", {"name": name, "flow_id": self.flow, "enforce_parameter_schema": False})[
            "id"
        ]

    def make(self, *states: str, deployed: bool = True, **parameters: Any) -> str:
        """Makes a run and puts it into states, one after the other."""
        body = {"name": "mine", "parameters": {"overrides": {"seed": 1}, **parameters}}
        if deployed:
            run = self.server.ask(f"deployments/{self.deployment}/create_flow_run", body)["id"]
        else:
            run = self.server.ask("flow_runs/", {**body, "flow_id": self.flow})["id"]
        for state in states:
            self.set(run, state)
        return str(run)

    def set(self, run: str, state: str) -> None:
        self.server.ask(f"flow_runs/{run}/set_state", {"state": {"type": state, "message": "as it was"}, "force": True})

    def lose(self, run: str, **facts: Any) -> None:
        """Writes the record of a run whose process has ended."""
        create(self.home, run, **{"api": self.server.api, "parent": None, "commit": COMMIT, **facts}).close()

    def settle(self) -> None:
        with temporary_settings({PREFECT_API_URL: self.server.api}):
            settle(self.home)

    def state(self, run: str) -> tuple[str, str, str]:
        found = self.server.ask(f"flow_runs/{run}")["state"]
        return found["type"], found["name"], found["message"]

    def others(self, *known: str) -> list[dict[str, Any]]:
        found = self.server.ask("flow_runs/filter", {"flows": {"id": {"any_": [self.flow]}}})
        return [run for run in found if run["id"] not in known]

    def records(self) -> int:
        return len(list((self.home / FOLDER).glob("*")))


@pytest.fixture
def runs(server: Server, tmp_path: Path) -> Runs:
    return Runs(server, tmp_path)


@pytest.mark.parametrize("state", FINAL)
def test_a_run_in_a_final_state_stays_so(runs: Runs, state: str) -> None:
    run = runs.make("RUNNING", state)
    runs.lose(run)
    before = runs.server.ask(f"flow_runs/{run}")["state"]["id"]
    runs.settle()
    assert runs.server.ask(f"flow_runs/{run}")["state"]["id"] == before
    assert runs.others(run) == []
    assert runs.records() == 0


@pytest.mark.parametrize("state", FINAL)
def test_a_state_that_became_final_in_the_meantime_stays(runs: Runs, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run = runs.make("RUNNING")
    runs.lose(run)
    read = SyncPrefectClient.read_flow_run

    def read_late(self: SyncPrefectClient, flow_run_id: Any) -> Any:
        found = read(self, flow_run_id)
        runs.set(run, state)
        return found

    monkeypatch.setattr(SyncPrefectClient, "read_flow_run", read_late)
    runs.settle()
    assert runs.state(run)[0] == state
    assert runs.others(run) == []


def test_a_lost_run_is_submitted_again_once_at_its_commit(runs: Runs) -> None:
    run = runs.make("RUNNING", rev="main")
    for _ in range(2):  # the record is still there if the one who settled it was killed
        runs.lose(run)
        runs.settle()
    kind, name, message = runs.state(run)
    assert (kind, name) == ("CRASHED", "Lost")
    assert "a new run of the same name continues it" in message
    (again,) = runs.others(run)
    assert (again["name"], again["parameters"], again["state_type"]) == ("mine", PINNED, "SCHEDULED")

    runs.set(again["id"], "RUNNING")
    runs.lose(again["id"])
    runs.settle()
    kind, name, message = runs.state(again["id"])
    assert (kind, name) == ("CRASHED", "Lost")
    assert "was lost once more" in message
    assert runs.others(run, again["id"]) == []


@pytest.mark.parametrize("parameters", [{"in_place": True}, {"include_changes": True}])
def test_a_run_on_files_that_may_have_changed_is_not_repeated(runs: Runs, parameters: dict[str, bool]) -> None:
    run = runs.make("RUNNING", **parameters)
    runs.lose(run)
    runs.settle()
    assert "which may have changed since" in runs.state(run)[2]
    assert runs.others(run) == []


def test_a_run_from_a_shell_is_not_repeated(runs: Runs) -> None:
    run = runs.make("RUNNING", deployed=False)
    runs.lose(run)
    runs.settle()
    assert runs.state(run)[:2] == ("CRASHED", "Lost")
    assert "start the run again" in runs.state(run)[2]
    assert runs.others(run) == []


def test_a_run_that_was_being_cancelled_is_cancelled(runs: Runs) -> None:
    run = runs.make("RUNNING", "CANCELLING")
    runs.lose(run)
    runs.settle()
    assert runs.state(run)[0] == "CANCELLED"
    assert runs.others(run) == []


def test_the_server_is_told_later_how_a_run_ended_in_its_absence(runs: Runs) -> None:
    run = runs.make("RUNNING")
    runs.lose(run, final=["COMPLETED", "Experiment mine"])
    runs.settle()
    assert runs.state(run) == ("COMPLETED", "Completed", "Experiment mine")
    assert runs.others(run) == []


def test_the_death_of_a_run_is_left_to_the_process_that_started_it(runs: Runs) -> None:
    run = runs.make("RUNNING")
    runs.lose(run, parent=process_mark(1))
    runs.settle()
    assert runs.state(run)[0] == "RUNNING"
    assert runs.records() == 1


def test_a_record_of_another_server_is_kept(runs: Runs) -> None:
    runs.lose(str(uuid4()), api="http://127.0.0.1:9/api")
    runs.lose(str(uuid4()))  # deleted on this server
    runs.settle()
    assert runs.records() == 1


def test_a_run_records_its_commit_and_its_end(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    run = runs.make("RUNNING")
    monkeypatch.setattr(lost_runs, "flow_run", SimpleNamespace(id=run))
    monkeypatch.setattr(lost_runs, "settle", lambda home: None)
    noted: dict[str, Any] = {}
    monkeypatch.setattr(lost_runs, "create", lambda *_, **facts: SimpleNamespace(note=noted.update))

    def work(pin: Callable[[str], None]) -> State[Any]:
        pin(COMMIT)
        assert noted["commit"] == COMMIT
        assert "final" not in noted
        return State(type=StateType.FAILED, message="a sentence.")

    assert lost_runs.recorded(work, runs.home).message == "a sentence."
    assert noted["final"] == ["FAILED", "a sentence."]

    def end(pin: Callable[[str], None]) -> State[Any]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lost_runs.recorded(end, runs.home)
    assert noted["final"][0] == "CRASHED"


def test_what_an_earlier_version_registered_is_removed_and_its_finished_runs_end(runs: Runs) -> None:
    finished, lost = runs.make("RUNNING", "FAILED"), runs.make("RUNNING")
    for run in (finished, lost):
        body = {"state": {"type": "SCHEDULED", "name": "Lost"}, "force": True}
        runs.server.ask(f"flow_runs/{run}/set_state", body)
    trigger = EventTrigger(expect={"never"}, posture=Posture.Reactive, threshold=1)
    with temporary_settings({PREFECT_API_URL: runs.server.api}):
        made: Any = Automation(name="train-resnet: lost runs go on", trigger=trigger, actions=[DoNothing()]).create()
        lost_runs.remove_old_automations()
        with pytest.raises(ValueError, match="not found"):
            removed: Any = Automation.read(id=made.id)
            assert removed is None
    assert runs.state(finished) == ("FAILED", "Failed", "as it was")
    assert runs.state(lost)[:2] == ("SCHEDULED", "Lost")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, server: Server) -> Iterator[QuickProject]:
    """A project in a folder whose name is not ASCII."""
    made = QuickProject(tmp_path_factory.mktemp("prüf ung ☃"), server.environment)
    assert made.repro() == STAGES
    made.commit("results")
    yield made
    made.close()


def test_a_run_survives_that_the_server_is_killed_and_started_again(project: QuickProject, server: Server) -> None:
    trained = project.noted("begin")
    run = project.start("python", "-m", "flows.train_resnet", "--set", "train.epochs=300", "--experiment", "through")
    wait_for(lambda: project.noted("begin") > trained)
    time.sleep(3)
    server.stop(signal.SIGKILL)
    time.sleep(8)
    server.start()
    assert run.wait(120) == 0
    runs = server.ask("flow_runs/filter", {"sort": "START_TIME_DESC", "limit": 1})
    wait_for(lambda: server.ask(f"flow_runs/{runs[0]['id']}")["state_type"] == "COMPLETED")
    wait_for(lambda: {task["state_type"] for task in server.tasks(runs[0]["id"]).values()} == {"COMPLETED"}, 60)
    assert set(server.tasks(runs[0]["id"])) == set(STAGES)
    assert "through" in project.experiments()
    assert project.noted("begin") == trained + 1


def test_a_run_that_is_killed_with_its_parent_is_continued_by_a_new_one(project: QuickProject, server: Server) -> None:
    trained = project.noted("begin")
    with serving(project, server):
        server.submit("train-resnet/train-resnet", "lost", {"train.epochs": 100})
        wait_for(lambda: project.noted("begin") > trained)
        wait_for(lambda: not project.kill_all())
    first = server.run("lost")
    assert first["state_type"] == "RUNNING"
    project.commit("another")  # the new run works at the commit of the lost one
    with serving(project, server):
        wait_for(lambda: len(all_runs(server, "lost")) == 2)
        wait_for(lambda: {run["state_type"] for run in all_runs(server, "lost")} == {"CRASHED", "COMPLETED"})
    assert server.ask(f"flow_runs/{first['id']}")["state"]["name"] == "Lost"
    assert project.noted("begin") == trained + 2
    commit = project.run("git", "rev-parse", "HEAD~1").stdout.strip()
    refs = project.run("git", "for-each-ref", "--format=%(refname)", "refs/exps").stdout.splitlines()
    assert f"refs/exps/{commit[:2]}/{commit[2:]}/lost" in refs


def all_runs(server: Server, name: str) -> list[dict[str, Any]]:
    return list(server.ask("flow_runs/filter", {"flow_runs": {"name": {"any_": [name]}}}))


@contextlib.contextmanager
def serving(project: QuickProject, server: Server) -> Iterator[None]:
    served = project.start("python", "-m", "flows.serve")
    try:
        wait_for(lambda: is_served(server))
        yield
        served.terminate()
        served.wait(60)
    finally:
        served.kill()
        served.wait()


def is_served(server: Server) -> bool:
    found = server.ask("deployments/filter", {"deployments": {"name": {"any_": ["train-resnet"]}}})
    return any(one["status"] == "READY" and not one["paused"] for one in found)


def test_a_file_that_is_no_record_is_left_alone(runs: Runs) -> None:
    folder = runs.home / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "backup.json").write_text("{}")
    runs.settle()
    assert (folder / "backup.json").exists()


def test_a_run_goes_on_if_others_cannot_be_settled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_: Path) -> None:
        raise RuntimeError("no answer")

    monkeypatch.setattr(lost_runs, "settle", broken)
    lost_runs._settle_others(tmp_path)
    assert capsys.readouterr().err == "lost runs of this folder could not be settled (RuntimeError: no answer)\n"


def test_a_run_on_a_machine_that_lacks_something_fails_before_its_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise UserError("the worker on here has no GPU")

    def work(pin: Any) -> State[Any]:
        raise AssertionError

    monkeypatch.setattr(lost_runs, "is_away", lambda home: True)
    monkeypatch.setattr(lost_runs, "check_machine", refuse)
    state = lost_runs.recorded(work, tmp_path)
    assert state.is_failed()
    assert state.message == "the worker on here has no GPU"
