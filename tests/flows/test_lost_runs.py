"""A server that is killed and started again; runs that are killed together with the process that started them."""

import contextlib
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.flows.quick import QuickProject, Server, wait_for
from tests.project import STAGES

LOST_AFTER = 35  # seconds; a run sends a heartbeat every 30 s


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, server: Server) -> QuickProject:
    made = QuickProject(tmp_path_factory.mktemp("revived"), server.environment)
    assert made.repro() == STAGES
    made.commit("results")
    with serving(made, server):  # registers the deployments
        pass
    return made


def kill_all(project: QuickProject) -> None:
    """Kills all processes of the project by SIGKILL, as a power cut would; the server stays."""
    wait_for(lambda: not _killed_some(project))


def _killed_some(project: QuickProject) -> bool:
    numbers = project.numbered_processes()
    for number in numbers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    return bool(numbers)


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


def test_a_run_that_is_killed_with_its_parent_resumes(project: QuickProject, server: Server) -> None:
    trained = project.noted("begin")
    with serving(project, server):
        run = submit(project, "lost", epochs=200)
        wait_for(lambda: project.noted("begin") > trained)
        time.sleep(2)  # the first heartbeat is sent
        kill_all(project)
    assert server.ask(f"flow_runs/{run}")["state_type"] == "RUNNING"
    wait_for(lambda: server.ask(f"flow_runs/{run}")["state"]["name"] == "Lost", LOST_AFTER + 60)
    with serving(project, server):
        wait_for(lambda: server.ask(f"flow_runs/{run}")["state_type"] == "COMPLETED")
    assert project.noted("begin") == trained + 2
    assert "lost" in project.experiments()


def test_a_run_that_was_lost_twice_fails(project: QuickProject, server: Server) -> None:
    trained = project.noted("begin")
    run = submit(project, "again", epochs=1)
    for _ in range(2):
        for state in ({"type": "RUNNING"}, {"type": "SCHEDULED", "name": "Lost"}):
            server.ask(f"flow_runs/{run}/set_state", {"state": state, "force": True})
    with serving(project, server):
        wait_for(lambda: server.ask(f"flow_runs/{run}")["state_type"] == "FAILED")
    assert "lost twice" in server.ask(f"flow_runs/{run}")["state"]["message"]
    assert project.noted("begin") == trained


@contextlib.contextmanager
def serving(project: QuickProject, server: Server) -> Iterator[None]:
    served = project.start("python", "-m", "flows.serve", "--lost-after", str(LOST_AFTER))
    try:
        wait_for(lambda: is_served(server))
        yield
    finally:
        served.terminate()
        served.wait(40)


def submit(project: QuickProject, name: str, epochs: int) -> str:
    parameters = ["-p", f'overrides={{"train.epochs": {epochs}}}', "--flow-run-name", name]
    return str(re.findall(r"UUID: (\S+)", project.run("prefect", "deployment", "run", "train-resnet", *parameters).stdout)[0])


def is_served(server: Server) -> bool:
    found = server.ask("deployments/filter", {"deployments": {"name": {"any_": ["train-resnet"]}}})
    return any(one["status"] == "READY" and not one["paused"] for one in found)


def test_a_project_whose_path_is_not_ascii_runs_in_a_checkout(
    tmp_path: Path, server: Server, make_quick: Callable[..., QuickProject]
) -> None:
    (tmp_path / "prüf ung ☃").mkdir()
    project = QuickProject(tmp_path / "prüf ung ☃", server.environment)
    log = project.flow("--set", "train.epochs=2", "--experiment", "there")
    assert log.count("Finished in state Completed()") == len(STAGES)
    assert "there" in project.experiments()
